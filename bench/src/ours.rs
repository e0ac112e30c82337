//! Our own objects behind the traits of their peers.

use crate::{locks::Lock, processes::Failure};
use std::{
    mem, process, ptr,
    sync::atomic::{AtomicU32, Ordering},
};

/// Opens an object under a name that nobody else has, and removes the name at once: processes that
/// are forked later have the object, and it goes with the last of them, however that one ends.
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

/// Something that must not call the system.
pub struct FastPath {
    pub name: &'static str,
    /// Does it so many times.
    pub walk: fn(u64) -> Result<(), Failure>,
}

/// All of them, with nobody who waits.
pub const FAST_PATHS: &[FastPath] = &[
    FastPath {
        name: "Mutex: lock, unlock",
        walk: many::<shmkey::Mutex<u64>>,
    },
    FastPath {
        name: "Semaphore: wait, post",
        walk: many::<shmkey::Semaphore>,
    },
];

fn many<L: Lock>(count: u64) -> Result<(), Failure> {
    let lock = L::new()?;
    (0..count).for_each(|_| lock.take_and_give());
    Ok(())
}

/// While it lives no signal ends this process.
struct Undisturbed(libc::sigset_t);

impl Undisturbed {
    fn new() -> Undisturbed {
        // SAFETY: the sets are plain bits, zero is a set, and both may be written.
        unsafe {
            let mut all: libc::sigset_t = mem::zeroed();
            let mut before = all;
            libc::sigfillset(&mut all);
            libc::sigprocmask(libc::SIG_BLOCK, &all, &mut before);
            Undisturbed(before)
        }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        // SAFETY: the set is the one there was.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }
}
