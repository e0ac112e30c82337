//! Mutexes for C.

use super::{
    failure::{keeping_errno, or_minus_one, or_null},
    object::{close, deadline, handle, keyed, named, object, with_layout, within},
};
use crate::{Error, Place, object::mutex};
use core::ffi::{c_char, c_int, c_void};

/// A robust mutex around some bytes: one thread of one process has them at a time, and they survive
/// its death. The next one is told, and puts them in order.
///
/// A lock of a process in another PID namespace is recovered when that process has ended. For this, a
/// process outside of the initial PID namespace, or one that shares an object with processes of other
/// namespaces, keeps a segment of one byte, a token of life, which ipcs(1) shows with the status dest.
/// The lock of an owner whose state is unknown is not recovered: across namespaces, that is a thread
/// that died while its process lives, and a process of the initial namespace that took the lock before
/// the first process of another namespace opened the mutex. Unlock before exec: a token ends with it,
/// and without one the new program has the lock.
///
/// A thread that comes when the mutex is unlocked locks it before those that sleep; one that has waited
/// for 50 ms is next. A thread that waits notices the death of the owner within 10 ms during the
/// first 100 ms, and within 300 ms later.
#[allow(non_camel_case_types)]
pub struct shm_mutex(mutex::RawMutex);

/// Opens a mutex around `size` bytes, or makes it; the bytes are 0 at first.
///
/// layout: a name for the type of the bytes, at most 128 bytes long, that all who open it must give
/// alike; NULL or "" for none.
///
/// Returns: a mutex, to be closed by shm_mutex_close(); or NULL.
/// Errors: those of opening; EACCES if the segment's mode does not let this process write.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_open(
    name: *const c_char,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_mutex {
    // SAFETY: both accept every pointer.
    open(size, || unsafe { with_layout(named(name, flags)?, layout) })
}

/// The same by path and project id; EFAULT if path is NULL.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_open_key(
    path: *const c_char,
    proj_id: c_int,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_mutex {
    // SAFETY: the caller hands over a string, or a pointer that leads nowhere.
    open(size, || unsafe {
        with_layout(keyed(path, proj_id, flags)?, layout)
    })
}

/// The same in a segment, at an offset: 1024 bytes and `size`.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_open_in(
    id: c_int,
    offset: usize,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_mutex {
    // SAFETY: with_layout accepts every pointer.
    open(size, || unsafe {
        with_layout(within(id, offset, flags)?, layout)
    })
}

fn open(size: usize, place: impl FnOnce() -> Result<Place, Error>) -> *mut shm_mutex {
    handle(keeping_errno(|| {
        mutex::RawMutex::open(&place()?, size, |_| {}).map(shm_mutex)
    }))
}

/// Locks it for the calling thread.
///
/// Returns: 0, locked; EOWNERDEAD (a positive number), locked too, and its last owner died while it
/// had it: put the bytes in order and call shm_mutex_consistent(), or they are lost when it is
/// unlocked; or -1, not locked.
/// Errors: ETIMEDOUT, EAGAIN; EDEADLK this thread has it already; ENOTRECOVERABLE the bytes are lost.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_lock(mutex: *mut shm_mutex, timeout: i64) -> c_int {
    // SAFETY: the caller hands over an open mutex, or NULL.
    match unsafe { mutex.as_ref() } {
        Some(mutex) if timeout >= -1 && mutex.0.lock_at_once() => 0,
        // SAFETY: as above.
        _ => unsafe { lock(mutex, timeout) },
    }
}

/// Locks, with room for an error.
///
/// # Safety
/// As for [`shm_mutex_lock`].
#[inline(never)]
unsafe fn lock(mutex: *mut shm_mutex, timeout: i64) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open mutex.
        let owner_died = unsafe { object(mutex) }?.0.lock(deadline(timeout)?)?;
        Ok(if owner_died { libc::EOWNERDEAD } else { 0 })
    }))
}

/// The bytes, 64-byte aligned. They are the calling thread's to read and write while it has the
/// lock; the address stays the same until the mutex is closed.
///
/// Returns: the address; or NULL (EFAULT).
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_data(mutex: *mut shm_mutex) -> *mut c_void {
    // SAFETY: the caller hands over an open mutex.
    or_null(unsafe { object(mutex) }.map(|mutex| mutex.0.object().payload()))
}

/// Says that the bytes are in order again, after EOWNERDEAD.
///
/// Returns: 0, also if there was nothing to put in order; or -1.
/// Errors: EPERM this thread does not have the lock.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_consistent(mutex: *mut shm_mutex) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open mutex.
        unsafe { object(mutex) }?.0.consistent().map(|()| 0)
    }))
}

/// Unlocks it.
///
/// Returns: 0, or -1.
/// Errors: EPERM this thread does not have the lock.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_unlock(mutex: *mut shm_mutex) -> c_int {
    // SAFETY: the caller hands over an open mutex, or NULL.
    match unsafe { mutex.as_ref() } {
        Some(mutex) if mutex.0.unlock_at_once() => 0,
        // SAFETY: as above.
        _ => unsafe { unlock(mutex) },
    }
}

/// Unlocks, with room for an error.
///
/// # Safety
/// As for [`shm_mutex_unlock`].
#[cold]
unsafe fn unlock(mutex: *mut shm_mutex) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open mutex.
        unsafe { object(mutex) }?.0.unlock().map(|()| 0)
    }))
}

/// The id of the segment that it lies in.
///
/// Returns: the id, or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_id(mutex: *const shm_mutex) -> c_int {
    // SAFETY: the caller hands over an open mutex.
    or_minus_one(unsafe { object(mutex) }.map(|mutex| mutex.0.object().id()))
}

/// Says whether the segment that it lies in has been removed. If so, only the processes that have this
/// mutex open still share it, and a process that opens it anew gets another one: close this one and
/// open it anew to share that. Makes one system call, which takes some 0.3 us.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EACCES only before Linux 4.17, if this process has lost read permission.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_removed(mutex: *const shm_mutex) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object(mutex) }?.0.object().is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes it. Unlock it before: one that is closed while it is locked stays so until its thread ends.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_close(mutex: *mut shm_mutex) {
    // SAFETY: the caller gives it up.
    unsafe { close(mutex) }
}
