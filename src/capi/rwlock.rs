//! Reader-writer locks for C.

use super::{
    failure::{keeping_errno, or_minus_one, or_null},
    interrupt::{canceller, set_interruptible, shm_canceller},
    object::{close, deadline, handle, object, with_layout},
    place::{described, named, shm_place},
};
use crate::{Error, Place, error::Action, kind::Kind, object::rwlock};
use core::ffi::{c_char, c_int, c_void};

/// A robust reader-writer lock around some bytes: up to 64 threads read them at a time, or one thread of one process
/// changes them. The bytes survive the death of all of these threads. After a writer has died, every call that locks
/// for reading or writing returns EOWNERDEAD, until a writer has repaired the bytes and called shm_rwlock_consistent().
///
/// A thread that asks for the lock while a writer waits gets it after that writer, so neither readers nor writers
/// starve. A thread that waits notices the death of a thread that has the lock within 10 ms during the first 100 ms of
/// its wait, and after that within 300 ms. Between PID namespaces, a lock is recovered when the process of that thread
/// has ended: shmkey(3) says what this takes. A child made by fork(2) may use its parent's handle, and does not have
/// its parent's lock.
#[allow(non_camel_case_types)]
pub struct shm_rwlock(rwlock::RawRwLock);

/// Opens a reader-writer lock around some bytes, or creates it with bytes that are 0. All processes make this call. If
/// another process is creating the lock, this call waits up to 5 seconds for it to finish.
///
/// name: 1 to 256 bytes of any value and a NUL.
/// size: how many bytes the lock protects; 0 or more. All processes give the same.
/// layout: a name for the type of the bytes, at most 128 bytes of UTF-8; NULL or "" for none. All processes give
/// the same.
/// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
/// creates it if it does not exist; 0 opens one that exists.
///
/// Returns: a handle, which shm_rwlock_close() closes; or NULL. The segment stays until
/// shm_remove(shm_rwlock_id(lock)).
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
pub unsafe extern "C" fn shm_rwlock_open(
    name: *const c_char,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_rwlock {
    // SAFETY: both accept every pointer.
    open(size, || unsafe {
        with_layout(Kind::RwLock, layout, |kind| named(kind, name, flags))
    })
}

/// Opens a reader-writer lock at a place: by a name, by a path and a project id, or in a segment that exists, where it
/// takes 5184 bytes plus size. Apart from that, it does the same as shm_rwlock_open().
///
/// place: where the lock lies, how long to wait for its creator, and who must own the segment. It is read during
/// the call only.
/// size: how many bytes the lock protects; 0 or more. All processes give the same.
/// layout: a name for the type of the bytes, at most 128 bytes of UTF-8; NULL or "" for none. All processes give
/// the same.
/// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
/// place has a name or a path. 0 opens one that exists.
///
/// Returns: a handle, which shm_rwlock_close() closes; or NULL.
/// Errors: those of shm_rwlock_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
/// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
/// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
/// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_open_at(
    place: *const shm_place,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_rwlock {
    // SAFETY: the caller hands over a place; with_layout accepts every pointer.
    open(size, || unsafe {
        with_layout(Kind::RwLock, layout, |kind| described(kind, place, flags))
    })
}

fn open(size: usize, place: impl FnOnce() -> Result<Place, Error>) -> *mut shm_rwlock {
    handle(keeping_errno(|| {
        rwlock::RawRwLock::open(&place()?, size, |_| {}).map(shm_rwlock)
    }))
}

/// Locks a reader-writer lock for reading, for the calling thread. There are THREE results, and the thread has the
/// lock after two of them. A thread may lock it for reading several times, and then unlocks it as many times.
/// Signals do not end the wait, unless shm_rwlock_set_interruptible() allows it.
///
/// lock: a handle that is open.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: 0, the thread has the lock; EOWNERDEAD, a positive number, the thread HAS the lock, but a writer died while
/// it had the lock, so the bytes may be half changed; -1, the thread does NOT have the lock, and errno says why.
/// EOWNERDEAD is not a failure, and does not change errno and shm_last_error(). A reader cannot repair the bytes: after
/// EOWNERDEAD, it unlocks the lock, which loses nothing, and locks it for writing.
/// Errors: ETIMEDOUT this thread did not get the lock in that time; EAGAIN another thread has it locked for writing,
/// waits for that, or is just locking it, or 64 threads read, and timeout is SHMKEY_NO_WAIT; EINTR, ECANCELED a signal
/// handler or shm_cancel() has ended the wait; EDEADLK this thread has it locked for writing; ENOTRECOVERABLE the bytes
/// are lost, because a writer died and the next one did not mark them as consistent: remove the segment, and create the
/// lock again; EINVAL timeout is less than -1; EFAULT lock is NULL.
/// Threads: any; not in a signal handler. The lock belongs to the thread, and not to a child made by fork(2).
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_read(lock: *mut shm_rwlock, timeout: i64) -> c_int {
    // SAFETY: the caller hands over an open lock, or NULL.
    match unsafe { lock.as_ref() } {
        Some(lock) if timeout >= -1 && lock.0.read_at_once() => 0,
        // SAFETY: as above.
        _ => unsafe { read(lock, timeout) },
    }
}

/// Locks for reading, with room for an error.
///
/// # Safety
/// As for [`shm_rwlock_read`].
#[inline(never)]
unsafe fn read(lock: *mut shm_rwlock, timeout: i64) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open lock.
        let lock = &unsafe { object("shm_rwlock_read", lock) }?.0;
        let owner_died = lock.read(deadline(lock.object(), Action::LockForReading, timeout)?)?;
        Ok(if owner_died { libc::EOWNERDEAD } else { 0 })
    }))
}

/// Locks a reader-writer lock for writing, for the calling thread. There are THREE results, and the thread has the lock
/// after two of them. Signals do not end the wait, unless shm_rwlock_set_interruptible() allows it.
///
/// lock: a handle that is open.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: 0, the thread has the lock; EOWNERDEAD, a positive number, the thread HAS the lock, but a writer died while
/// it had the lock: repair the bytes and call shm_rwlock_consistent() before shm_rwlock_unlock(), or the bytes are lost
/// to all processes; -1, the thread does NOT have the lock, and errno says why. EOWNERDEAD is not a failure, and does
/// not change errno and shm_last_error().
/// Errors: ETIMEDOUT this thread did not get the lock in that time; EAGAIN another thread has it, or is just locking
/// it, and timeout is SHMKEY_NO_WAIT; EINTR, ECANCELED a signal handler or shm_cancel() has ended the wait; EDEADLK
/// this thread has it already, for reading or for writing; ENOTRECOVERABLE the bytes are lost, because a writer died
/// and the next one did not mark them as consistent: remove the segment, and create the lock again; EINVAL timeout is
/// less than -1; EFAULT lock is NULL.
/// Threads: any; not in a signal handler. The lock belongs to the thread, and not to a child made by fork(2).
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_write(lock: *mut shm_rwlock, timeout: i64) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open lock.
        let lock = &unsafe { object("shm_rwlock_write", lock) }?.0;
        let owner_died = lock.write(deadline(lock.object(), Action::LockForWriting, timeout)?)?;
        Ok(if owner_died { libc::EOWNERDEAD } else { 0 })
    }))
}

/// Returns the bytes that a reader-writer lock protects. A thread may read them while it has the lock, and change them
/// while it has the lock for writing.
///
/// lock: a handle that is open.
///
/// Returns: their address, 64-byte aligned, the same until the handle is closed; or NULL.
/// Errors: EFAULT lock is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_data(lock: *mut shm_rwlock) -> *mut c_void {
    // SAFETY: the caller hands over an open lock.
    or_null(unsafe { object("shm_rwlock_data", lock) }.map(|lock| lock.0.value()))
}

/// Marks the bytes as consistent, after shm_rwlock_write() has returned EOWNERDEAD.
///
/// lock: a handle that is open.
///
/// Returns: 0, even if they are marked already; or -1.
/// Errors: EPERM this thread does not have the lock for writing; EFAULT lock is NULL.
/// Threads: the one that has the lock; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_consistent(lock: *mut shm_rwlock) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open lock.
        unsafe { object("shm_rwlock_consistent", lock) }?
            .0
            .consistent()
            .map(|()| 0)
    }))
}

/// Unlocks a reader-writer lock that this thread has for reading or for writing.
///
/// lock: a handle that is open.
///
/// Returns: 0; or -1.
/// Errors: EPERM this thread does not have the lock; EFAULT lock is NULL.
/// Threads: the one that has the lock; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_unlock(lock: *mut shm_rwlock) -> c_int {
    // SAFETY: the caller hands over an open lock, or NULL.
    match unsafe { lock.as_ref() } {
        Some(lock) if lock.0.unlock_at_once() => 0,
        // SAFETY: as above.
        _ => unsafe { unlock(lock) },
    }
}

/// Unlocks, with room for an error.
///
/// # Safety
/// As for [`shm_rwlock_unlock`].
#[cold]
unsafe fn unlock(lock: *mut shm_rwlock) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open lock.
        unsafe { object("shm_rwlock_unlock", lock) }?
            .0
            .unlock()
            .map(|()| 0)
    }))
}

/// Sets whether a signal handler that runs during a wait of shm_rwlock_read() or shm_rwlock_write() ends it: the call
/// then fails with EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before
/// the wait, or between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that
/// was installed with SA_RESTART ends a wait, too, unless shm_rwlock_canceller() was called before.
///
/// lock: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT lock is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_set_interruptible(lock: *mut shm_rwlock, on: c_int) -> c_int {
    // SAFETY: the caller hands over an open one.
    let lock = unsafe { object("shm_rwlock_set_interruptible", lock) };
    or_minus_one(lock.map(|lock| set_interruptible(lock.0.object(), on)))
}

/// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_rwlock_read() or shm_rwlock_write().
/// Call this before the wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by
/// futex_waitv(2). Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends
/// within 8 ms, and the handle wakes up every 8 ms while it waits.
///
/// lock: a handle that is open.
///
/// Returns: the canceller, which is valid until the handle is closed; or NULL.
/// Errors: EFAULT lock is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_canceller(lock: *mut shm_rwlock) -> *mut shm_canceller {
    // SAFETY: the caller hands over an open one.
    let lock = unsafe { object("shm_rwlock_canceller", lock) };
    or_null(lock.map(|lock| canceller(lock.0.object()))).cast()
}

/// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
///
/// lock: a handle that is open.
///
/// Returns: the id, 0 or more; or -1.
/// Errors: EFAULT lock is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_id(lock: *const shm_rwlock) -> c_int {
    // SAFETY: the caller hands over an open lock.
    or_minus_one(unsafe { object("shm_rwlock_id", lock) }.map(|lock| lock.0.object().id()))
}

/// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
/// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
/// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
/// call, about 0.3 us.
///
/// lock: a handle that is open.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EFAULT lock is NULL; EACCES only before Linux 4.17, this process has lost read permission.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_removed(lock: *const shm_rwlock) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object("shm_rwlock_removed", lock) }?
            .0
            .object()
            .is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes a handle. Unlock the lock first: if this thread closes the handle while it has the lock, the lock stays
/// locked until the thread ends. A child made by fork(2) closes its own copy.
///
/// lock: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
/// undefined, like the use of memory after free(3).
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_rwlock_close(lock: *mut shm_rwlock) {
    // SAFETY: the caller gives it up.
    unsafe { close(lock) }
}
