//! Semaphores for C.

use super::{
    failure::{keeping_errno, or_minus_one, or_null},
    interrupt::{canceller, set_interruptible, shm_canceller},
    object::{close, deadline, fd_of, handle, object},
    place::{described, named, shm_place},
};
use crate::{Error, Place, Semaphore, error::Action, kind::Kind};
use core::ffi::{c_char, c_int, c_uint};

/// A counting semaphore: shm_semaphore_post() raises the count by one, shm_semaphore_wait() lowers it by one, and waits
/// while it is 0. It survives the death of any process; a count that a dead process has taken stays taken. A child
/// made by fork(2) may use its parent's handle.
#[allow(non_camel_case_types)]
pub struct shm_semaphore(Semaphore);

/// Opens a semaphore, or creates it. All processes make this call. If another process is creating the semaphore, this
/// call waits up to 5 seconds for it to finish.
///
/// name: 1 to 256 bytes of any value and a NUL.
/// first: the count of a new semaphore, 0 to 2147483647.
/// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
/// creates it if it does not exist; 0 opens one that exists.
///
/// Returns: a handle, which shm_semaphore_close() closes; or NULL. The segment stays until
/// shm_remove(shm_semaphore_id(semaphore)).
/// Errors: ENOENT it does not exist and flags has no SHMKEY_CREATE; EOVERFLOW first is too large; EINVAL the name is
/// empty or too long, the mode lacks a bit of 0600, or flags has an undefined bit; EFAULT the name is NULL or an
/// invalid pointer; EACCES flags has SHMKEY_READ_ONLY, or the segment's mode does not let this process write; ENOTUNIQ
/// another name or file has this key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind of object, another layout, or no
/// object of this library is there; EPROTONOSUPPORT, ENOEXEC another version of this library, or a program for another
/// architecture, created it; ENODATA, EBADMSG the segment is too small or malformed; ETIMEDOUT the process that creates
/// it is live and has not finished; ENOSPC, ENOMEM, ENOSYS as for shmget(2).
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_open(
    name: *const c_char,
    first: c_uint,
    flags: c_int,
) -> *mut shm_semaphore {
    // SAFETY: named accepts every pointer.
    open(first, || unsafe { named(Kind::Semaphore, name, flags) })
}

/// Opens a semaphore at a place: by a name, by a path and a project id, or in a segment that exists, where it takes
/// 1024 bytes. Apart from that, it does the same as shm_semaphore_open().
///
/// place: where the semaphore lies, how long to wait for its creator, and who must own the segment. It is read
/// during the call only.
/// first: the count of a new semaphore, 0 to 2147483647.
/// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
/// place has a name or a path. 0 opens one that exists.
///
/// Returns: a handle, which shm_semaphore_close() closes; or NULL.
/// Errors: those of shm_semaphore_open(); EINVAL the place names no segment or names one in two ways, its offset is not
/// a multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
/// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
/// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_open_at(
    place: *const shm_place,
    first: c_uint,
    flags: c_int,
) -> *mut shm_semaphore {
    // SAFETY: the caller hands over a place.
    open(first, || unsafe {
        described(Kind::Semaphore, place, flags)
    })
}

fn open(first: c_uint, place: impl FnOnce() -> Result<Place, Error>) -> *mut shm_semaphore {
    handle(keeping_errno(|| {
        Semaphore::open(place()?, first).map(shm_semaphore)
    }))
}

/// Raises the count by one, and wakes one thread that waits. What this thread has written before is seen by the
/// thread whose wait takes this count.
///
/// semaphore: a handle that is open.
///
/// Returns: 0; or -1.
/// Errors: EOVERFLOW the count is 2147483647, and is not changed; EFAULT semaphore is NULL.
/// Threads: any; not in a signal handler. After the last post, another thread may close the handle.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_post(semaphore: *mut shm_semaphore) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open semaphore.
        unsafe { object("shm_semaphore_post", semaphore) }?
            .0
            .post()
            .map(|()| 0)
    }))
}

/// Lowers the count by one; waits while it is 0. A count that this process has taken stays taken if it
/// dies. Signals do not end the wait, unless shm_semaphore_set_interruptible() allows it.
///
/// semaphore: a handle that is open.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: 0; or -1.
/// Errors: ETIMEDOUT the count was 0 for that long; EAGAIN the count is 0 and timeout is SHMKEY_NO_WAIT; EINTR,
/// ECANCELED a signal handler or shm_cancel() has ended the wait; EINVAL timeout is less than -1; EFAULT semaphore is
/// NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_wait(semaphore: *mut shm_semaphore, timeout: i64) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open semaphore.
        let semaphore = unsafe { object("shm_semaphore_wait", semaphore) }?;
        let deadline = deadline(semaphore.0.object(), Action::Wait, timeout)?;
        semaphore.0.wait_until(deadline).map(|()| 0)
    }))
}

/// Returns a descriptor that is readable when the count may be above 0: for poll(2), select(2), epoll(7) (level- or
/// edge-triggered) and event loops.
///
/// When the descriptor is readable, call shm_semaphore_wait() with SHMKEY_NO_WAIT until that fails with EAGAIN. The
/// call that fails makes the descriptor unreadable until the next shm_semaphore_post(), but for at most 250 ms. Do not
/// read or close it. The first poll returns at once. shm_ring_fd() says when such a descriptor becomes readable.
///
/// semaphore: a handle that is open.
///
/// Returns: the descriptor, the same for each call, which belongs to the handle: shm_semaphore_close() and execve(2)
/// close it; or -1.
/// Errors: EMFILE, ENFILE the process or the system cannot open three more descriptors; ENOMEM, ENOBUFS there is no
/// memory; EADDRINUSE no free socket address was found, try again; EAFNOSUPPORT, EPERM, EACCES, ENOSYS the system does
/// not let this process make a socket of the family AF_UNIX, a timerfd or an epoll descriptor; EFAULT semaphore is
/// NULL.
/// Threads: any; not in a signal handler. A child made by fork(2) calls this again, and gets a descriptor of its own.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_fd(semaphore: *const shm_semaphore) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open semaphore.
        fd_of(unsafe { object("shm_semaphore_fd", semaphore) }?.0.fd())
    }))
}

/// Returns a semaphore, for shm_wait_any().
///
/// # Safety
/// As for `object`.
pub(super) unsafe fn to_wait<'a>(semaphore: *const shm_semaphore) -> Result<&'a Semaphore, Error> {
    // SAFETY: the caller's promise.
    Ok(&unsafe { object("shm_wait_any", semaphore) }?.0)
}

/// Returns the count. Another thread may change it at any time.
///
/// semaphore: a handle that is open.
///
/// Returns: 0 to 2147483647; or -1.
/// Errors: EFAULT semaphore is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_value(semaphore: *const shm_semaphore) -> c_int {
    // SAFETY: the caller hands over an open semaphore.
    or_minus_one(
        unsafe { object("shm_semaphore_value", semaphore) }
            .map(|semaphore| semaphore.0.value() as c_int),
    )
}

/// Sets whether a signal handler that runs during a wait of shm_semaphore_wait() ends it: the call then fails with
/// EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before the wait, or
/// between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was installed
/// with SA_RESTART ends a wait, too, unless shm_semaphore_canceller() was called before.
///
/// semaphore: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT semaphore is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_set_interruptible(
    semaphore: *mut shm_semaphore,
    on: c_int,
) -> c_int {
    // SAFETY: the caller hands over an open one.
    let semaphore = unsafe { object("shm_semaphore_set_interruptible", semaphore) };
    or_minus_one(semaphore.map(|semaphore| set_interruptible(semaphore.0.object(), on)))
}

/// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_semaphore_wait(). Call this before the
/// wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by futex_waitv(2).
/// Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends within 8 ms, and the
/// handle wakes up every 8 ms while it waits.
///
/// semaphore: a handle that is open.
///
/// Returns: the canceller, which is valid until the handle is closed; or NULL.
/// Errors: EFAULT semaphore is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_canceller(
    semaphore: *mut shm_semaphore,
) -> *mut shm_canceller {
    // SAFETY: the caller hands over an open one.
    let semaphore = unsafe { object("shm_semaphore_canceller", semaphore) };
    or_null(semaphore.map(|semaphore| canceller(semaphore.0.object()))).cast()
}

/// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
///
/// semaphore: a handle that is open.
///
/// Returns: the id, 0 or more; or -1.
/// Errors: EFAULT semaphore is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_id(semaphore: *const shm_semaphore) -> c_int {
    // SAFETY: the caller hands over an open semaphore.
    or_minus_one(
        unsafe { object("shm_semaphore_id", semaphore) }.map(|semaphore| semaphore.0.object().id()),
    )
}

/// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
/// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
/// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
/// call, about 0.3 us.
///
/// semaphore: a handle that is open.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EFAULT semaphore is NULL; EACCES only before Linux 4.17, this process has lost read permission.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_removed(semaphore: *const shm_semaphore) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object("shm_semaphore_removed", semaphore) }?
            .0
            .is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes a handle. The count stays in the segment. A child made by fork(2) closes its own copy.
///
/// semaphore: a handle, which no other thread uses, except in shm_semaphore_post(); NULL does nothing. Later calls on
/// it, or with its canceller, are undefined, like the use of memory after free(3).
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_semaphore_close(semaphore: *mut shm_semaphore) {
    // SAFETY: the caller gives it up.
    unsafe { close(semaphore) }
}
