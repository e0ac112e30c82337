//! Where segments live.
//!
//! A backend fulfils the contract of `shmget(2)`, `shmat(2)`, `shmdt(2)` and `shmctl(2)`, with Linux' error
//! numbers. Segments, the C API and the drop-in call these functions and do not depend on which backend
//! answers. The only backend is System V IPC in the kernel; another one would be a module beside `kernel`, and
//! this module would choose.
//!
//! `semaphores` and `messages` are the other two kinds of System V IPC: as much of them as the command needs to
//! list, create and remove them. These are always the kernel's.

mod kernel;
pub mod messages;
pub mod semaphores;

use crate::sys::Errno;
use core::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
};

pub use kernel::IPC_INFO;
pub use kernel::{
    Limits, Occupant, Usage, find, is_removed, limits, remove, set, stat, stat_at, usage,
};
pub use kernel::{SHM_DEST, SHM_INFO, SHM_LOCKED, SHM_STAT, SHM_STAT_ANY};
pub use kernel::{attach, control, create_or_get, detach};

/// Returns the result of a command, and the structure that it has written.
///
/// # Safety
/// `command` must write at most one `T` to the address that it is given, and `T` must be a C structure of integers.
unsafe fn fill<T: Copy>(
    command: impl FnOnce(*mut c_void) -> Result<c_int, Errno>,
) -> Result<(c_int, T), Errno> {
    let mut record = MaybeUninit::<T>::zeroed();
    let value = command(record.as_mut_ptr().cast())?;
    // SAFETY: of integers, zeroes are valid, and so is what the kernel wrote over them.
    Ok((value, unsafe { record.assume_init() }))
}
