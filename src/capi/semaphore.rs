//! Semaphores for C.

use super::{
    failure::{keeping_errno, or_minus_one},
    object::{close, deadline, handle, keyed, named, object, within},
};
use crate::{Error, Place, Semaphore};
use core::ffi::{c_char, c_int, c_uint};

/// A counting semaphore in shared memory: shm_semaphore_post() raises the count by one,
/// shm_semaphore_wait() lowers it by one, and sleeps while it is 0. What was written before a post is
/// seen after the wait that took it. It survives the death of any process; one takes along what it
/// had taken.
#[allow(non_camel_case_types)]
pub struct shm_semaphore(Semaphore);

/// Opens a semaphore, or makes it with this first count, 0 to 2147483647.
///
/// Returns: a semaphore, to be closed by shm_semaphore_close(); or NULL.
/// Errors: those of opening; EOVERFLOW for the count; EACCES if the segment's mode does not
/// let this process write.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_open(
    name: *const c_char,
    first: c_uint,
    flags: c_int,
) -> *mut shm_semaphore {
    // SAFETY: named accepts every pointer.
    open(first, || unsafe { named(name, flags) })
}

/// The same by path and project id; EFAULT if path is NULL.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_open_key(
    path: *const c_char,
    proj_id: c_int,
    first: c_uint,
    flags: c_int,
) -> *mut shm_semaphore {
    // SAFETY: the caller hands over a string, or a pointer that leads nowhere.
    open(first, || unsafe { keyed(path, proj_id, flags) })
}

/// The same in a segment, at an offset: 1024 bytes.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_semaphore_open_in(
    id: c_int,
    offset: usize,
    first: c_uint,
    flags: c_int,
) -> *mut shm_semaphore {
    open(first, || within(id, offset, flags))
}

fn open(first: c_uint, place: impl FnOnce() -> Result<Place, Error>) -> *mut shm_semaphore {
    handle(keeping_errno(|| {
        Semaphore::open(place()?, first).map(shm_semaphore)
    }))
}

/// Raises the count by one, and wakes one who waits.
///
/// Returns: 0, or -1.
/// Errors: EOVERFLOW at 2147483647, and then nothing changes.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_post(semaphore: *mut shm_semaphore) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open semaphore.
        unsafe { object(semaphore) }?.0.post().map(|()| 0)
    }))
}

/// Lowers the count by one, waiting until that is possible.
///
/// Returns: 0, or -1.
/// Errors: ETIMEDOUT, EAGAIN.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_wait(semaphore: *mut shm_semaphore, timeout: i64) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open semaphore.
        let semaphore = unsafe { object(semaphore) }?;
        semaphore.0.wait_until(deadline(timeout)?).map(|()| 0)
    }))
}

/// The count at this moment.
///
/// Returns: 0 to 2147483647, or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_value(semaphore: *const shm_semaphore) -> c_int {
    // SAFETY: the caller hands over an open semaphore.
    or_minus_one(unsafe { object(semaphore) }.map(|semaphore| semaphore.0.value() as c_int))
}

/// The id of the segment that it lies in.
///
/// Returns: the id, or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_id(semaphore: *const shm_semaphore) -> c_int {
    // SAFETY: the caller hands over an open semaphore.
    or_minus_one(unsafe { object(semaphore) }.map(|semaphore| semaphore.0.object().id()))
}

/// Says whether the segment that it lies in has been removed. If so, only the processes that have this
/// semaphore open still share it, and a process that opens it anew gets another one: close this one and
/// open it anew to share that. Makes one system call, which takes some 0.3 us.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EACCES only before Linux 4.17, if this process has lost read permission.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_removed(semaphore: *const shm_semaphore) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object(semaphore) }?.0.is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes it. What it counts stays.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_close(semaphore: *mut shm_semaphore) {
    // SAFETY: the caller gives it up.
    unsafe { close(semaphore) }
}
