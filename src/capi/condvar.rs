//! Condition variables for C.

use super::{
    failure::{keeping_errno, or_minus_one, or_null},
    interrupt::{canceller, set_interruptible, shm_canceller},
    mutex::shm_mutex,
    object::{close, deadline, handle, object},
    place::{described, named, shm_place},
};
use crate::{Condvar, Error, Place, error::Action, kind::Kind, sync::Acquired};
use core::ffi::{c_char, c_int};

/// A condition variable. A thread that has a mutex, and finds that the bytes are not yet as it needs them, waits here
/// with the mutex unlocked, until another thread has changed the bytes and notifies it.
///
/// No notification is lost: one that comes after shm_condvar_wait() has unlocked the mutex ends the wait, and it is not
/// taken by a thread that begins to wait after it. A process that is killed while it waits or notifies delays the other
/// threads by at most 300 ms. A child made by fork(2) may use its parent's handle.
#[allow(non_camel_case_types)]
pub struct shm_condvar(Condvar);

/// Opens a condition variable, or creates it. All processes make this call. If another process is creating the
/// condition variable, this call waits up to 5 seconds for it to finish.
///
/// name: 1 to 256 bytes of any value and a NUL.
/// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
/// creates it if it does not exist; 0 opens one that exists.
///
/// Returns: a handle, which shm_condvar_close() closes; or NULL. The segment stays until
/// shm_remove(shm_condvar_id(condvar)).
/// Errors: ENOENT it does not exist and flags has no SHMKEY_CREATE; EINVAL the name is empty or too long, the mode
/// lacks a bit of 0600, or flags has an undefined bit; EFAULT the name is NULL or an invalid pointer; EACCES flags has
/// SHMKEY_READ_ONLY, or the segment's mode does not let this process write; ENOTUNIQ another name or file has this key;
/// EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind of object, another layout, or no object of this library is there;
/// EPROTONOSUPPORT, ENOEXEC another version of this library, or a program for another architecture, created it;
/// ENODATA, EBADMSG the segment is too small or malformed; ETIMEDOUT the process that creates it is live and has not
/// finished; ENOSPC, ENOMEM, ENOSYS as for shmget(2).
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_open(name: *const c_char, flags: c_int) -> *mut shm_condvar {
    // SAFETY: named accepts every pointer.
    open(|| unsafe { named(Kind::Condvar, name, flags) })
}

/// Opens a condition variable at a place: by a name, by a path and a project id, or in a segment that exists, where it
/// takes 1024 bytes. Apart from that, it does the same as shm_condvar_open().
///
/// place: where the condition variable lies, how long to wait for its creator, and who must own the segment. It is read
/// during the call only.
/// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
/// place has a name or a path. 0 opens one that exists.
///
/// Returns: a handle, which shm_condvar_close() closes; or NULL.
/// Errors: those of shm_condvar_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
/// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
/// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
/// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_open_at(
    place: *const shm_place,
    flags: c_int,
) -> *mut shm_condvar {
    // SAFETY: the caller hands over a place.
    open(|| unsafe { described(Kind::Condvar, place, flags) })
}

fn open(place: impl FnOnce() -> Result<Place, Error>) -> *mut shm_condvar {
    handle(keeping_errno(|| Condvar::open(place()?).map(shm_condvar)))
}

/// Unlocks a mutex, waits for a notification, and locks the mutex again. Call it in a loop, until the bytes are as the
/// thread needs them: a wait may end without a notification. If the result is 0 or EOWNERDEAD, or errno is ETIMEDOUT,
/// EAGAIN, EINTR or ECANCELED, the thread HAS the mutex. Signals do not end the wait, unless
/// shm_condvar_set_interruptible() allows it.
///
/// condvar: a handle that is open.
/// mutex: a handle that is open, of a mutex that this thread has. All threads that wait at the same time use the same
/// mutex.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER. It limits the wait for a
/// notification; the wait for the mutex after that has no limit, and neither a signal nor a cancellation ends it.
///
/// Returns: 0, the wait has ended; EOWNERDEAD, a positive number, it has ended, and the last owner died while it had
/// the mutex, as for shm_mutex_lock(); or -1.
/// Errors: ETIMEDOUT no notification came for that long; EAGAIN no notification came, and timeout is SHMKEY_NO_WAIT;
/// EINTR, ECANCELED a signal handler or shm_cancel() has ended the wait (if the call returns EOWNERDEAD instead, a
/// cancellation is kept). With the following errors, the thread does not have the mutex: EPERM it did not have it
/// before, and has not waited; ENOTRECOVERABLE the bytes are lost, because this thread, before the wait, or another one
/// unlocked the mutex without shm_mutex_consistent(). With the following errors, the call has done nothing: EINVAL
/// timeout is less than -1; EFAULT condvar or mutex is NULL.
/// Threads: the one that has the mutex; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_wait(
    condvar: *mut shm_condvar,
    mutex: *mut shm_mutex,
    timeout: i64,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open condition variable.
        let condvar = &unsafe { object("shm_condvar_wait", condvar) }?.0;
        // SAFETY: the caller hands over an open mutex.
        let mutex = unsafe { object("shm_condvar_wait(mutex)", mutex) }?.raw();
        let deadline =
            deadline(condvar.object(), Action::Wait, timeout)?.or_at(condvar.object().interrupt());
        let waited = condvar.wait_with(mutex, deadline)?;
        if waited.acquired == Acquired::OwnerDied {
            Ok(libc::EOWNERDEAD)
        } else if waited.is_notified {
            Ok(0)
        } else {
            Err(condvar.not_notified(deadline))
        }
    }))
}

/// Notifies one thread that waits; does nothing if none waits. The caller may have the mutex, but need not. The waits
/// of the other threads end, too, within 300 ms.
///
/// condvar: a handle that is open.
///
/// Returns: 0; or -1.
/// Errors: EFAULT condvar is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_notify_one(condvar: *mut shm_condvar) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open condition variable.
        unsafe { object("shm_condvar_notify_one", condvar) }?
            .0
            .notify_one();
        Ok(0)
    }))
}

/// Notifies all threads that wait; does nothing if none waits. The caller may have the mutex, but need not.
///
/// condvar: a handle that is open.
///
/// Returns: 0; or -1.
/// Errors: EFAULT condvar is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_notify_all(condvar: *mut shm_condvar) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open condition variable.
        unsafe { object("shm_condvar_notify_all", condvar) }?
            .0
            .notify_all();
        Ok(0)
    }))
}

/// Sets whether a signal handler that runs while shm_condvar_wait() waits for a notification ends that wait: the call
/// then fails with EINTR, and the thread has the mutex. By default, signals do not end waits. A handler that runs just
/// before the wait, or between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A
/// handler that was installed with SA_RESTART ends a wait, too, unless shm_condvar_canceller() was called before.
///
/// condvar: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT condvar is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_set_interruptible(
    condvar: *mut shm_condvar,
    on: c_int,
) -> c_int {
    // SAFETY: the caller hands over an open one.
    let condvar = unsafe { object("shm_condvar_set_interruptible", condvar) };
    or_minus_one(condvar.map(|condvar| set_interruptible(condvar.0.object(), on)))
}

/// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_condvar_wait(). Call this before the
/// wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by futex_waitv(2).
/// Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends within 8 ms, and the
/// handle wakes up every 8 ms while it waits.
///
/// condvar: a handle that is open.
///
/// Returns: the canceller, which is valid until the handle is closed; or NULL.
/// Errors: EFAULT condvar is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_canceller(condvar: *mut shm_condvar) -> *mut shm_canceller {
    // SAFETY: the caller hands over an open one.
    let condvar = unsafe { object("shm_condvar_canceller", condvar) };
    or_null(condvar.map(|condvar| canceller(condvar.0.object()))).cast()
}

/// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
///
/// condvar: a handle that is open.
///
/// Returns: the id, 0 or more; or -1.
/// Errors: EFAULT condvar is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_id(condvar: *const shm_condvar) -> c_int {
    // SAFETY: the caller hands over an open condvar.
    or_minus_one(
        unsafe { object("shm_condvar_id", condvar) }.map(|condvar| condvar.0.object().id()),
    )
}

/// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
/// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
/// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
/// call, about 0.3 us.
///
/// condvar: a handle that is open.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EFAULT condvar is NULL; EACCES only before Linux 4.17, this process has lost read permission.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_removed(condvar: *const shm_condvar) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object("shm_condvar_removed", condvar) }?
            .0
            .is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes a handle. A child made by fork(2) closes its own copy.
///
/// condvar: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
/// undefined, like the use of memory after free(3).
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_condvar_close(condvar: *mut shm_condvar) {
    // SAFETY: the caller gives it up.
    unsafe { close(condvar) }
}
