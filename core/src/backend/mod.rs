//! Where segments live: in the kernel, or in a directory of files.
//!
//! A backend fulfils the contract of `shmget(2)`, `shmat(2)`, `shmdt(2)` and `shmctl(2)`, with Linux' error
//! numbers. Segments, the C API and the drop-in call these functions and do not depend on which backend
//! answers.
//!
//! | backend | segments |
//! |---|---|
//! | kernel | System V IPC of this IPC namespace |
//! | `user` | files in a directory, for systems and sandboxes without System V IPC |
//!
//! `choice` decides between the two, once for each process. `commands` has one function for each command of
//! `shmctl(2)`. `semaphores` and `messages` are the other two kinds of System V IPC: as much of them as the command
//! needs to list, create and remove them. These are always the kernel's.

mod choice;
mod commands;
pub mod messages;
pub mod semaphores;
pub mod user;

use crate::sys::{self, Errno};
use core::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
};

use choice::usable;

pub use choice::{Backend, choose, chosen, is_valid_choice};
pub use commands::IPC_INFO;
pub use commands::{
    Limits, Occupant, Usage, find, is_removed, limits, remove, set, stat, stat_at, usage,
};
pub use commands::{SHM_DEST, SHM_INFO, SHM_LOCKED, SHM_STAT, SHM_STAT_ANY};
pub use user::directory;

/// Returns whether `shm_nattch` counts every process. The user backend does not count a child made by a bare `clone(2)`,
/// which shares its parent's attachments.
pub fn counts_every_process() -> bool {
    chosen() == Backend::Kernel
}

/// `shmget(2)`.
#[inline]
pub fn create_or_get(key: c_int, size: usize, flags: c_int) -> Result<c_int, Errno> {
    match usable()? {
        Backend::Kernel => sys::shmget(key, size, flags),
        Backend::User => user::create_or_get(key, size, flags),
    }
}

/// `shmat(2)`.
///
/// # Safety
/// With `SHM_REMAP` in `flags` the mappings at `addr` are replaced, and must not be in use. Without it the call is
/// safe for every argument.
#[inline]
pub unsafe fn attach(id: c_int, addr: *const c_void, flags: c_int) -> Result<*mut c_void, Errno> {
    // SAFETY: the caller's promise.
    unsafe {
        match usable()? {
            Backend::Kernel => sys::shmat(id, addr, flags),
            Backend::User => user::attach(id, addr, flags),
        }
    }
}

/// `shmdt(2)`.
///
/// # Safety
/// If a segment is attached at `addr`, that memory must not be used from now on.
#[inline]
pub unsafe fn detach(addr: *const c_void) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe {
        match usable()? {
            Backend::Kernel => sys::shmdt(addr),
            Backend::User => user::detach(addr),
        }
    }
}

/// `shmctl(2)`.
///
/// # Safety
/// `buf` must be what the command needs: a `shmid_ds`, `shminfo` or `shm_info` to be read or written, or anything
/// for a command that uses none. (`EFAULT` is returned only for an address that the kernel cannot use.)
pub unsafe fn control(id: c_int, command: c_int, buf: *mut c_void) -> Result<c_int, Errno> {
    // SAFETY: the caller's promise.
    unsafe {
        match usable()? {
            Backend::Kernel => sys::shmctl(id, command, buf),
            Backend::User => user::control(id, command, buf),
        }
    }
}

/// Returns the result of a command, and the structure that it has written.
///
/// # Safety
/// `command` must write at most one `T` to the address that it is given, and `T` must be a C structure of integers.
unsafe fn fill<T: Copy>(
    command: impl FnOnce(*mut c_void) -> Result<c_int, Errno>,
) -> Result<(c_int, T), Errno> {
    let mut record = MaybeUninit::<T>::zeroed();
    let value = command(record.as_mut_ptr().cast())?;
    // SAFETY: of integers, zeroes are valid, and so is what the command wrote over them.
    Ok((value, unsafe { record.assume_init() }))
}
