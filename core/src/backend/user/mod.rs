//! System V shared memory in a directory of files.

use crate::sys::Errno;
use core::ffi::{c_int, c_void};

mod directory;

pub use directory::{Directory, directory};

/// `shmget(2)`.
pub fn create_or_get(_key: c_int, _size: usize, _flags: c_int) -> Result<c_int, Errno> {
    Err(Errno(libc::ENOSYS))
}

/// `shmat(2)`.
///
/// # Safety
/// As for `backend::attach`.
pub unsafe fn attach(
    _id: c_int,
    _addr: *const c_void,
    _flags: c_int,
) -> Result<*mut c_void, Errno> {
    Err(Errno(libc::ENOSYS))
}

/// `shmdt(2)`.
///
/// # Safety
/// As for `backend::detach`.
pub unsafe fn detach(_addr: *const c_void) -> Result<(), Errno> {
    Err(Errno(libc::ENOSYS))
}

/// `shmctl(2)`.
///
/// # Safety
/// As for `backend::control`.
pub unsafe fn control(_id: c_int, _command: c_int, _buf: *mut c_void) -> Result<c_int, Errno> {
    Err(Errno(libc::ENOSYS))
}
