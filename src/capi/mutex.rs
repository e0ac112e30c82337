//! Mutexes for C.

use super::{
    failure::{keeping_errno, or_minus_one, or_null},
    interrupt::{canceller, set_interruptible, shm_canceller},
    object::{close, deadline, handle, object, with_layout},
    place::{described, named, shm_place},
};
use crate::{Error, Place, error::Action, kind::Kind, object::mutex};
use core::ffi::{c_char, c_int, c_void};

/// A robust mutex around some bytes: one thread of one process has them at a time, and they survive its death. The next
/// owner then gets EOWNERDEAD, and repairs the bytes.
///
/// A thread that tries to lock the mutex when it has just been unlocked gets it before the threads that sleep; one that
/// has waited for 50 ms is next. A thread that is waiting notices the death of the owner within 10 ms during the first
/// 100 ms of its wait, and after that within 300 ms. Between PID namespaces, a lock is recovered when the owner's
/// process has ended: shmkey(3) says what this takes. A child made by fork(2) may use its parent's handle, and does not
/// have its parent's lock.
#[allow(non_camel_case_types)]
pub struct shm_mutex(mutex::RawMutex);

impl shm_mutex {
    pub(super) fn raw(&self) -> &mutex::RawMutex {
        &self.0
    }
}

/// Opens a mutex around some bytes, or creates it with bytes that are 0. All processes make this call. If another
/// process is creating the mutex, this call waits up to 5 seconds for it to finish.
///
/// name: 1 to 256 bytes of any value and a NUL.
/// size: how many bytes the mutex protects; 0 or more. All processes give the same.
/// layout: a name for the type of the bytes, at most 128 bytes of UTF-8; NULL or "" for none. All processes give the
/// same.
/// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
/// creates it if it does not exist; 0 opens one that exists.
///
/// Returns: a handle, which shm_mutex_close() closes; or NULL. The segment stays until
/// shm_remove(shm_mutex_id(mutex)).
/// Errors: ENOENT it does not exist and flags has no SHMKEY_CREATE; EINVAL the name is empty or too long, size is too
/// large, layout is too long or not UTF-8, the mode lacks a bit of 0600, or flags has an undefined bit; EFAULT the name
/// is NULL, or the name or layout is an invalid pointer; EACCES flags has SHMKEY_READ_ONLY, or the segment's mode does
/// not let this process write; ENOTUNIQ another name or file has this key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind
/// of object, another size or layout, or no object of this library is there; EPROTONOSUPPORT, ENOEXEC another version
/// of this library, or a program for another architecture, created it; ENODATA, EBADMSG the segment is too small or
/// malformed; ETIMEDOUT the process that creates it is live and has not finished; ENOSPC, ENOMEM, ENOSYS as for
/// shmget(2).
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_open(
    name: *const c_char,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_mutex {
    // SAFETY: both accept every pointer.
    open(size, || unsafe {
        with_layout(Kind::Mutex, layout, |kind| named(kind, name, flags))
    })
}

/// Opens a mutex at a place: by a name, by a path and a project id, or in a segment that exists, where it takes 1024
/// bytes plus size. Apart from that, it does the same as shm_mutex_open().
///
/// place: where the mutex lies, how long to wait for its creator, and who must own the segment. It is read during
/// the call only.
/// size: how many bytes the mutex protects; 0 or more. All processes give the same.
/// layout: a name for the type of the bytes, at most 128 bytes of UTF-8; NULL or "" for none. All processes give the
/// same.
/// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
/// place has a name or a path. 0 opens one that exists.
///
/// Returns: a handle, which shm_mutex_close() closes; or NULL.
/// Errors: those of shm_mutex_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
/// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
/// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
/// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_open_at(
    place: *const shm_place,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_mutex {
    // SAFETY: the caller hands over a place; with_layout accepts every pointer.
    open(size, || unsafe {
        with_layout(Kind::Mutex, layout, |kind| described(kind, place, flags))
    })
}

fn open(size: usize, place: impl FnOnce() -> Result<Place, Error>) -> *mut shm_mutex {
    handle(keeping_errno(|| {
        mutex::RawMutex::open(&place()?, size, |_| {}).map(shm_mutex)
    }))
}

/// Locks a mutex for the calling thread. There are THREE results, and the thread has the lock after two of them.
/// Signals do not end the wait, unless shm_mutex_set_interruptible() allows it.
///
/// mutex: a handle that is open.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: 0, the thread has the lock; EOWNERDEAD, a positive number, the thread HAS the lock, but the last owner died
/// while it had the lock: repair the bytes and call shm_mutex_consistent() before shm_mutex_unlock(), or the bytes are
/// lost to all processes; -1, the thread does NOT have the lock, and errno says why. So switch (shm_mutex_lock(mutex,
/// timeout)) has case 0, case EOWNERDEAD and default. EOWNERDEAD is not a failure, and does not change errno and
/// shm_last_error().
/// Errors: ETIMEDOUT another thread had the lock for that long; EAGAIN another thread has it and timeout is
/// SHMKEY_NO_WAIT; EINTR, ECANCELED a signal handler or shm_cancel() has ended the wait; EDEADLK this thread has it
/// already; ENOTRECOVERABLE the bytes are lost, because an owner died and the next one did not mark them as consistent:
/// remove the segment, and create the mutex again; EINVAL timeout is less than -1; EFAULT mutex is NULL.
/// Threads: any; not in a signal handler. The lock belongs to the thread, and not to a child made by fork(2).
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
        let mutex = &unsafe { object("shm_mutex_lock", mutex) }?.0;
        let owner_died = mutex.lock(deadline(mutex.object(), Action::Lock, timeout)?)?;
        Ok(if owner_died { libc::EOWNERDEAD } else { 0 })
    }))
}

/// Returns the bytes that a mutex protects. Only the thread that has the lock may read and write them.
///
/// mutex: a handle that is open.
///
/// Returns: their address, 64-byte aligned, the same until the handle is closed; or NULL.
/// Errors: EFAULT mutex is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_data(mutex: *mut shm_mutex) -> *mut c_void {
    // SAFETY: the caller hands over an open mutex.
    or_null(unsafe { object("shm_mutex_data", mutex) }.map(|mutex| mutex.0.object().payload()))
}

/// Marks the bytes as consistent, after shm_mutex_lock() has returned EOWNERDEAD.
///
/// mutex: a handle that is open.
///
/// Returns: 0, even if they are marked already; or -1.
/// Errors: EPERM this thread does not have the lock; EFAULT mutex is NULL.
/// Threads: the one that has the lock; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_consistent(mutex: *mut shm_mutex) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open mutex.
        unsafe { object("shm_mutex_consistent", mutex) }?
            .0
            .consistent()
            .map(|()| 0)
    }))
}

/// Unlocks a mutex.
///
/// mutex: a handle that is open.
///
/// Returns: 0; or -1.
/// Errors: EPERM this thread does not have the lock; EFAULT mutex is NULL.
/// Threads: the one that has the lock; not in a signal handler.
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
        unsafe { object("shm_mutex_unlock", mutex) }?
            .0
            .unlock()
            .map(|()| 0)
    }))
}

/// Sets whether a signal handler that runs during a wait of shm_mutex_lock() ends it: the call then fails with EINTR
/// and has changed nothing. By default, signals do not end waits. A handler that runs just before the wait, or between
/// two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was installed with
/// SA_RESTART ends a wait, too, unless shm_mutex_canceller() was called before.
///
/// mutex: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT mutex is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_set_interruptible(mutex: *mut shm_mutex, on: c_int) -> c_int {
    // SAFETY: the caller hands over an open one.
    let mutex = unsafe { object("shm_mutex_set_interruptible", mutex) };
    or_minus_one(mutex.map(|mutex| set_interruptible(mutex.0.object(), on)))
}

/// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_mutex_lock(). Call this before the
/// wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by futex_waitv(2).
/// Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends within 8 ms, and the
/// handle wakes up every 8 ms while it waits.
///
/// mutex: a handle that is open.
///
/// Returns: the canceller, which is valid until the handle is closed; or NULL.
/// Errors: EFAULT mutex is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_canceller(mutex: *mut shm_mutex) -> *mut shm_canceller {
    // SAFETY: the caller hands over an open one.
    let mutex = unsafe { object("shm_mutex_canceller", mutex) };
    or_null(mutex.map(|mutex| canceller(mutex.0.object()))).cast()
}

/// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
///
/// mutex: a handle that is open.
///
/// Returns: the id, 0 or more; or -1.
/// Errors: EFAULT mutex is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_id(mutex: *const shm_mutex) -> c_int {
    // SAFETY: the caller hands over an open mutex.
    or_minus_one(unsafe { object("shm_mutex_id", mutex) }.map(|mutex| mutex.0.object().id()))
}

/// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
/// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
/// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
/// call, about 0.3 us.
///
/// mutex: a handle that is open.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EFAULT mutex is NULL; EACCES only before Linux 4.17, this process has lost read permission.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_removed(mutex: *const shm_mutex) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object("shm_mutex_removed", mutex) }?
            .0
            .object()
            .is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes a handle. Unlock the mutex first: if this thread closes the handle while it has the lock, the mutex stays
/// locked until the thread ends. A child made by fork(2) closes its own copy.
///
/// mutex: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
/// undefined, like the use of memory after free(3).
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_mutex_close(mutex: *mut shm_mutex) {
    // SAFETY: the caller gives it up.
    unsafe { close(mutex) }
}
