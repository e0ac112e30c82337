//! Latest values for C.

use super::{
    failure::{keeping_errno, or_minus_one, or_null},
    interrupt::{canceller, set_interruptible, shm_canceller},
    object::{close, deadline, expect_bytes, fd_of, handle, object, source, with_layout},
    place::{described, named, shm_place},
};
use crate::{
    Error, ErrorKind, Place,
    error::Action,
    kind::Kind,
    object::latest::{RawLatest, Writer},
    sync::Deadline,
};
use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_int, c_void},
};

/// The newest value of something: one handle publishes it, any number read it, and none waits for another. A reader
/// sees the newest value, and always a whole one; it can miss values in between.
///
/// The first handle that publishes is the publisher until it is closed or its process ends; then another can
/// publish. If the publisher is killed, at any instruction, the last value that it has published stays. Read
/// permission is enough to read. A reader that cannot write is not woken: it notices a newer value within 8 ms during
/// the first 100 ms of its wait, and after that within 250 ms.
///
/// A child made by fork(2) may use its parent's handle. It does not have its parent's role: while the parent is the
/// publisher, the child reads, and publishing fails with EBUSY.
#[allow(non_camel_case_types)]
pub struct shm_latest {
    raw: RawLatest,
    /// The right to publish, once this process has published. One thread at a time uses it, while others may read.
    writer: UnsafeCell<Option<Writer>>,
}

/// Opens a latest value, or creates one in which no value is published yet. All processes make this call. If another
/// process is creating the latest value, this call waits up to 5 seconds for it to finish.
///
/// name: 1 to 256 bytes of any value and a NUL.
/// size: the size of a value in bytes; 0 or more. All processes give the same.
/// layout: a name for the type of the value, at most 128 bytes of UTF-8; NULL or "" for none. All processes give the
/// same.
/// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600, creates it
/// if it does not exist; 0 opens one that exists; SHMKEY_READ_ONLY opens one that exists, and attaches its segment for
/// reading only.
///
/// Returns: a handle, which shm_latest_close() closes; or NULL. The segment stays until
/// shm_remove(shm_latest_id(latest)).
/// Errors: ENOENT it does not exist, and flags has no SHMKEY_CREATE or has SHMKEY_READ_ONLY; EINVAL the name is empty
/// or too long, size is too large, layout is too long or not UTF-8, the mode lacks a bit of 0600, or flags has an
/// undefined bit; EFAULT the name is NULL, or the name or layout is an invalid pointer; EACCES the segment's mode does
/// not let this process read; ENOTUNIQ another name or file has this key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind
/// of object, another size or layout, or no object of this library is there; EPROTONOSUPPORT, ENOEXEC another version
/// of this library, or a program for another architecture, created it; ENODATA, EBADMSG the segment is too small or
/// malformed; ETIMEDOUT the process that creates it is live and has not finished; ENOSPC, ENOMEM, ENOSYS as for
/// shmget(2).
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_open(
    name: *const c_char,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_latest {
    // SAFETY: both accept every pointer.
    open(size, || unsafe {
        with_layout(Kind::Latest, layout, |kind| named(kind, name, flags))
    })
}

/// Opens a latest value at a place: by a name, by a path and a project id, or in a segment that exists. There it takes
/// 1024 bytes plus several times the size rounded up to a multiple of 64: four times if that is at most 256, else
/// twice. Apart from that, it does the same as shm_latest_open().
///
/// place: where the value lies, how long to wait for its creator, and who must own the segment. It is read during
/// the call only.
/// size: the size of a value in bytes; 0 or more. All processes give the same.
/// layout: a name for the type of the value, at most 128 bytes of UTF-8; NULL or "" for none. All processes give the
/// same.
/// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the place
/// has a name or a path. 0 opens one that exists; SHMKEY_READ_ONLY opens one that exists, and attaches its segment for
/// reading only.
///
/// Returns: a handle, which shm_latest_close() closes; or NULL.
/// Errors: those of shm_latest_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
/// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
/// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
/// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_open_at(
    place: *const shm_place,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_latest {
    // SAFETY: the caller hands over a place; with_layout accepts every pointer.
    open(size, || unsafe {
        with_layout(Kind::Latest, layout, |kind| described(kind, place, flags))
    })
}

fn open(size: usize, place: impl FnOnce() -> Result<Place, Error>) -> *mut shm_latest {
    handle(keeping_errno(|| {
        Ok(shm_latest {
            raw: RawLatest::open(&place()?, size)?,
            writer: UnsafeCell::default(),
        })
    }))
}

/// Publishes a value and wakes the threads that wait for one. The first handle that publishes is the publisher
/// until it is closed or its process ends.
///
/// latest: a handle that is open.
/// value: the value, of the size that the handle was opened with. The bytes are copied, and may lie in shared memory.
///
/// Returns: 0; or -1.
/// Errors: EBUSY another handle is the publisher, and its process is not known to be dead; EACCES the handle was
/// opened with SHMKEY_READ_ONLY, or the segment's mode does not let this process write; EFAULT latest is NULL, or
/// value is NULL and its size is not 0.
/// Threads: one at a time publishes with a handle, while others read with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_publish(
    latest: *mut shm_latest,
    value: *const c_void,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let latest = unsafe { object("shm_latest_publish", latest) }?;
        // SAFETY: the caller hands over that many bytes.
        let value = unsafe {
            source(
                latest.raw.object(),
                Action::Publish,
                value,
                latest.raw.size(),
            )
        }?;
        // SAFETY: the caller publishes by one thread at a time.
        let own = unsafe { &mut *latest.writer.get() };
        let writer = match own {
            Some(writer) if latest.raw.is_held(writer) => writer,
            // Not yet, or in a child of the publisher, or another process has taken the role over.
            _ => own.insert(latest.raw.claim()?),
        };
        // SAFETY: they are as many as it was opened with.
        unsafe { latest.raw.publish(writer, value) }.map(|()| 0)
    }))
}

/// Copies the newest value. Readers and the publisher never wait for each other.
///
/// latest: a handle that is open.
/// value: room for a value, of the size that the handle was opened with.
///
/// Returns: the value's version, 1 for the first published value; 0 if none was published, and then the bytes at
/// value are arbitrary; or -1.
/// Errors: ESTALE the publisher overtook the copy 100,000 times in a row; EFAULT latest is NULL, or value is NULL and
/// its size is not 0.
/// Threads: any number at a time; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_read(latest: *const shm_latest, value: *mut c_void) -> i64 {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let latest = unsafe { object("shm_latest_read", latest) }?;
        expect_bytes(latest.raw.object(), Action::Read, value, latest.raw.size())?;
        // SAFETY: the caller hands over that many bytes.
        unsafe { read(latest, value) }
    }))
}

/// # Safety
/// `value` must be NULL, or point to as many bytes as a value has.
unsafe fn read(latest: &shm_latest, value: *mut c_void) -> Result<i64, Error> {
    // SAFETY: the caller's promise.
    let version = unsafe { latest.raw.read(value.cast()) }?;
    Ok((version & i64::MAX as u64) as i64)
}

/// Waits until the newest value has another version than seen, and copies that value. Signals do not end the wait,
/// unless shm_latest_set_interruptible() allows it.
///
/// latest: a handle that is open.
/// seen: the version that the caller has read last; 0 for none.
/// value: room for a value, of the size that the handle was opened with.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: the value's version, 1 or more; or -1.
/// Errors: ETIMEDOUT no such value was published in time; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; EINTR,
/// ECANCELED a signal handler or shm_cancel() has ended the wait; ESTALE the publisher overtook the copy 100,000
/// times in a row; EBADMSG the object is malformed; EINVAL timeout is less than -1; EFAULT latest is NULL, or value
/// is NULL and its size is not 0.
/// Threads: any number at a time; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_read_newer(
    latest: *const shm_latest,
    seen: i64,
    value: *mut c_void,
    timeout: i64,
) -> i64 {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let latest = unsafe { object("shm_latest_read_newer", latest) }?;
        let object = latest.raw.object();
        expect_bytes(object, Action::WaitNewer, value, latest.raw.size())?;
        let deadline: Deadline = deadline(object, Action::WaitNewer, timeout)?;
        latest.raw.wait(seen as u64, deadline)?;
        // SAFETY: the caller hands over that many bytes.
        match unsafe { read(latest, value) }? {
            // Another process has overwritten the version with 0.
            0 => Err(latest
                .raw
                .object()
                .error(ErrorKind::Damaged)
                .during(Action::WaitNewer)),
            version => Ok(version),
        }
    }))
}

/// Returns a descriptor that is readable when there may be a newer value: for poll(2), select(2), epoll(7) (level- or
/// edge-triggered) and event loops.
///
/// When the descriptor is readable, call shm_latest_read_newer() with SHMKEY_NO_WAIT until that fails with EAGAIN. The
/// call that fails makes the descriptor unreadable until the next value is published, but for at most 250 ms. Do not
/// read or close it. The first poll returns at once. shm_ring_fd() says when such a descriptor becomes readable; that
/// of a handle with SHMKEY_READ_ONLY becomes readable only 250 ms after each EAGAIN.
///
/// latest: a handle that is open.
///
/// Returns: the descriptor, the same for each call, which belongs to the handle: shm_latest_close() and execve(2) close
/// it; or -1.
/// Errors: EMFILE, ENFILE the process or the system cannot open three more descriptors; ENOMEM, ENOBUFS there is no
/// memory; EADDRINUSE no free socket address was found, try again; EAFNOSUPPORT, EPERM, EACCES, ENOSYS the system does
/// not let this process make a socket of the family AF_UNIX, a timerfd or an epoll descriptor; EFAULT latest is NULL.
/// Threads: any, but one at a time waits with the descriptor; not in a signal handler. A child made by fork(2) calls
/// this again, and gets a descriptor of its own.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_fd(latest: *const shm_latest) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        fd_of(unsafe { object("shm_latest_fd", latest) }?.raw.descriptor())
    }))
}

/// Returns a latest value, for shm_wait_any().
///
/// # Safety
/// As for `object`.
pub(super) unsafe fn to_wait<'a>(latest: *const shm_latest) -> Result<&'a RawLatest, Error> {
    // SAFETY: the caller's promise.
    Ok(&unsafe { object("shm_wait_any", latest) }?.raw)
}

/// Returns the version of the newest value without copying it.
///
/// latest: a handle that is open.
///
/// Returns: 1 or more; 0 if no value was published; or -1.
/// Errors: EFAULT latest is NULL.
/// Threads: any number at a time; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_version(latest: *const shm_latest) -> i64 {
    // SAFETY: the caller hands over an open one.
    let latest = unsafe { object("shm_latest_version", latest) };
    or_minus_one(latest.map(|latest| (latest.raw.version() & i64::MAX as u64) as i64))
}

/// Sets whether a signal handler that runs during a wait of shm_latest_read_newer() ends it: the call then fails with
/// EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before the wait, or
/// between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was installed
/// with SA_RESTART ends a wait, too, unless shm_latest_canceller() was called before.
///
/// latest: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT latest is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_set_interruptible(latest: *mut shm_latest, on: c_int) -> c_int {
    // SAFETY: the caller hands over an open one.
    let latest = unsafe { object("shm_latest_set_interruptible", latest) };
    or_minus_one(latest.map(|latest| set_interruptible(latest.raw.object(), on)))
}

/// Returns the canceller of a handle, with which shm_cancel() ends a wait of shm_latest_read_newer(). Call this before
/// the wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by futex_waitv(2).
/// Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends within 8 ms, and the
/// handle wakes up every 8 ms while it waits.
///
/// latest: a handle that is open.
///
/// Returns: the canceller, which is valid until the handle is closed; or NULL.
/// Errors: EFAULT latest is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_canceller(latest: *mut shm_latest) -> *mut shm_canceller {
    // SAFETY: the caller hands over an open one.
    let latest = unsafe { object("shm_latest_canceller", latest) };
    or_null(latest.map(|latest| canceller(latest.raw.object()))).cast()
}

/// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
///
/// latest: a handle that is open.
///
/// Returns: the id, 0 or more; or -1.
/// Errors: EFAULT latest is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_id(latest: *const shm_latest) -> c_int {
    // SAFETY: the caller hands over an open one.
    or_minus_one(unsafe { object("shm_latest_id", latest) }.map(|latest| latest.raw.object().id()))
}

/// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
/// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
/// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
/// call, about 0.3 us.
///
/// latest: a handle that is open.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EFAULT latest is NULL; EACCES only before Linux 4.17, this process has lost read permission.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_removed(latest: *const shm_latest) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object("shm_latest_removed", latest) }?
            .raw
            .object()
            .is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes a handle. If it was the publisher, another handle can become the publisher. A child made by fork(2)
/// closes its own copy.
///
/// latest: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
/// undefined, like the use of memory after free(3).
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_close(latest: *mut shm_latest) {
    // SAFETY: the caller gives it up.
    unsafe { close(latest) }
}

impl Drop for shm_latest {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.get_mut() {
            self.raw.release(writer);
        }
    }
}
