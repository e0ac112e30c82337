//! Objects that leave no segment behind.

use crate::processes::{Failure, Undisturbed};
use std::{
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Opens an object under a unique name, and removes its segment at once: processes that are forked later inherit the
/// object, and the kernel destroys it when the last of them ends.
pub fn nameless<T>(
    open: impl FnOnce(&str) -> Result<T, shmkey::Error>,
    remove: impl FnOnce(&T) -> Result<(), shmkey::Error>,
) -> Result<T, Failure> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let _undisturbed = Undisturbed::new();
    let object = open(&format!("shmkey-bench {} {number}", process::id()))?;
    remove(&object)?;
    Ok(object)
}
