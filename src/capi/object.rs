//! What the objects have in common for C: flags and layouts, how long to wait, and that their handles
//! may be NULL.

use super::{
    SHMKEY_DROP_OLDEST, SHMKEY_FOREVER, SHMKEY_LOSSY, SHMKEY_MANY_SENDERS,
    failure::or_null,
    open::{NAME_MAX, read_name},
};
use crate::{
    Error, ErrorKind, Place,
    error::{Action, What},
    kind::Kind,
    memory::boxed,
    object::Object,
    sync::{Buffer, Deadline, Source},
};
use core::{
    ffi::{c_char, c_int, c_void},
    ptr::NonNull,
    time::Duration,
};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The flags that the objects' functions know.
const OPEN_FLAGS: c_int = 0o777 | libc::IPC_CREAT | libc::SHM_RDONLY;

/// Adds to a place what the flags say: whether to create the object, with which mode, or to read only.
pub(super) fn with_flags(place: Place, flags: c_int) -> Result<Place, Error> {
    if flags & (SHMKEY_MANY_SENDERS | SHMKEY_DROP_OLDEST) != 0 {
        return Err(Error::invalid(
            "open",
            "SHMKEY_MANY_SENDERS and SHMKEY_DROP_OLDEST are options of a ring: they go into the argument options \
             of shm_ring_open(), and not into flags",
        ));
    }
    if flags & SHMKEY_LOSSY != 0 {
        return Err(Error::invalid(
            "open",
            "SHMKEY_LOSSY is an option of a broadcast: it goes into the argument options of shm_broadcast_open(), and not \
             into flags",
        ));
    }
    if flags & libc::IPC_EXCL != 0 {
        return Err(Error::invalid(
            "open",
            "SHMKEY_EXCLUSIVE is a flag of a segment; leave it out: SHMKEY_CREATE opens an object that exists, and \
             creates one that does not",
        ));
    }
    if flags & !OPEN_FLAGS != 0 {
        return Err(Error::undefined_flags("open", flags & !OPEN_FLAGS));
    }
    Ok(place
        .mode((flags & 0o777) as u32)
        .create(flags & libc::IPC_CREAT != 0)
        .read_only(flags & libc::SHM_RDONLY != 0))
}

/// Finds a place for an object of this kind, and adds the name of a layout, which may be NULL.
///
/// # Safety
/// None for this process's memory; the name means something only if it is a string.
pub(super) unsafe fn with_layout(
    kind: Kind,
    layout: *const c_char,
    place: impl FnOnce(Kind) -> Result<Place, Error>,
) -> Result<Place, Error> {
    let place = place(kind)?;
    if layout.is_null() {
        return Ok(place);
    }
    let mut buffer = [0; NAME_MAX + 1];
    let not_text = |_| Error::invalid("open", "the name of a layout is text in UTF-8");
    // SAFETY: read_name accepts every pointer.
    let text = match unsafe { read_name(layout, &mut buffer) } {
        Ok(layout) => core::str::from_utf8(layout).map_err(not_text),
        Err(error) if error.errno() == libc::ENAMETOOLONG => Err(Error::layout_too_long()),
        Err(error) if error.errno() == libc::EFAULT => Err(Error::bad_pointer(
            "open",
            "the layout is an invalid pointer",
        )),
        Err(error) => Err(error),
    };
    match text {
        Ok(text) => Ok(place.layout(text)),
        Err(error) => Err(error.opening(kind, place.site.name())),
    }
}

/// Converts a timeout of C: SHMKEY_FOREVER is no duration, any other is a number of nanoseconds. Returns
/// `None` if it is negative otherwise.
pub(super) fn timeout_of(timeout: i64) -> Option<Option<Duration>> {
    match timeout {
        SHMKEY_FOREVER => Some(None),
        0.. => Some(Some(Duration::from_nanos(timeout as u64))),
        _ => None,
    }
}

/// Returns when a wait for an object with this timeout ends.
pub(super) fn deadline(
    object: &Object,
    action: Action,
    timeout: i64,
) -> Result<Deadline<'_>, Error> {
    let why = || {
        let error = object.error(ErrorKind::InvalidArgument).during(action);
        error.with(What::Timeout, timeout as u64, 0)
    };
    Ok(Deadline::after(timeout_of(timeout).ok_or_else(why)?))
}

/// Returns the number of a descriptor for C.
pub(super) fn fd_of(descriptor: Result<BorrowedFd<'_>, Error>) -> Result<c_int, Error> {
    descriptor.map(|descriptor| descriptor.as_raw_fd())
}

/// Makes a handle of an object, for C, which passes it to `close` at the end.
pub(super) fn handle<T>(opened: Result<T, Error>) -> *mut T {
    let handle = opened.and_then(|object| Ok(boxed(object)?));
    or_null(handle.map(|handle| NonNull::from(Box::leak(handle)).cast())).cast()
}

/// Returns the object that a handle stands for, in this call.
///
/// # Safety
/// It must be NULL, or come from `handle` and not have been closed.
pub(super) unsafe fn object<'a, T>(call: &'static str, handle: *const T) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or_else(|| no_handle(call))
}

#[cold]
fn no_handle(call: &'static str) -> Error {
    Error::bad_pointer(
        call,
        "the handle is NULL; check the result of opening it (in C++, an object that was moved from or closed has none)",
    )
}

/// Closes a handle.
///
/// # Safety
/// As for `object`; and it must not be used afterwards.
pub(super) unsafe fn close<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: `handle` has made it of a box, and it is not used again.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// Checks a pointer to `len` bytes of the caller's, as far as that can be done at no cost.
pub(super) fn expect_bytes(
    object: &Object,
    action: Action,
    bytes: *const c_void,
    len: usize,
) -> Result<(), Error> {
    if bytes.is_null() && len != 0 || len > isize::MAX as usize {
        let error = object.error(ErrorKind::BadPointer).during(action);
        return Err(error.with(What::Buffer, len as u64, 0));
    }
    Ok(())
}

/// Checks a pointer to an array of the caller's, as far as that can be done at no cost.
pub(super) fn expect_array<T>(
    object: &Object,
    action: Action,
    array: *const T,
    count: usize,
) -> Result<(), Error> {
    let size = count.checked_mul(size_of::<T>());
    if size.is_none_or(|size| size > isize::MAX as usize) {
        let error = object.error(ErrorKind::InvalidArgument).during(action);
        return Err(error.with(What::TooMany, count as u64, 0));
    }
    if array.is_null() && count != 0 {
        let error = object.error(ErrorKind::BadPointer).during(action);
        return Err(error.with(What::Array, count as u64, 0));
    }
    Ok(())
}

/// A message of the caller's. One that is longer than PTRDIFF_MAX is longer than any capacity, too.
///
/// # Safety
/// As for [`source`].
pub(super) unsafe fn message<'a>(
    object: &Object,
    action: Action,
    capacity: usize,
    bytes: *const c_void,
    len: usize,
) -> Result<Source<'a>, Error> {
    if len > isize::MAX as usize {
        let error = object.error(ErrorKind::TooLong).during(action);
        return Err(error.with(What::TooLong, len as u64, capacity as u64));
    }
    // SAFETY: the caller's promise.
    unsafe { source(object, action, bytes, len) }
}

/// Bytes of the caller's to copy from. They may lie in shared memory.
///
/// # Safety
/// Unless `len` is 0, `len` bytes from `bytes` on must be readable as long as the result is used.
pub(super) unsafe fn source<'a>(
    object: &Object,
    action: Action,
    bytes: *const c_void,
    len: usize,
) -> Result<Source<'a>, Error> {
    expect_bytes(object, action, bytes, len)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { Source::new(bytes.cast(), len) })
}

/// Bytes of the caller's to copy to. They may lie in shared memory.
///
/// # Safety
/// Unless `len` is 0, `len` bytes from `bytes` on must be writable as long as the result is used.
pub(super) unsafe fn buffer<'a>(
    object: &Object,
    action: Action,
    bytes: *mut c_void,
    len: usize,
) -> Result<Buffer<'a>, Error> {
    expect_bytes(object, action, bytes, len)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { Buffer::new(bytes.cast(), len) })
}
