//! What the objects have in common for C: flags and layouts, how long to wait, and that their handles
//! may be NULL.

use super::{
    SHMKEY_DROP_OLDEST, SHMKEY_FOREVER, SHMKEY_MANY_SENDERS,
    failure::or_null,
    open::{NAME_MAX, read_name},
};
use crate::{
    Error, Place,
    sync::{Buffer, Deadline, Source},
};
use core::{
    ffi::{c_char, c_int, c_void},
    ptr::NonNull,
    time::Duration,
};

/// The flags that the objects' functions know.
const OPEN_FLAGS: c_int = 0o777 | libc::IPC_CREAT | libc::SHM_RDONLY;

/// A place with what the flags say: whether to create the object, with which mode, or to read only.
pub(super) fn with_flags(place: Place, flags: c_int) -> Result<Place, Error> {
    if flags & (SHMKEY_MANY_SENDERS | SHMKEY_DROP_OLDEST) != 0 {
        return Err(Error::invalid(
            "open",
            "SHMKEY_MANY_SENDERS and SHMKEY_DROP_OLDEST are options of a ring: they go into the argument options \
             of shm_ring_open(), and not into flags",
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

/// Adds the name of a layout, which may be NULL.
///
/// # Safety
/// None for this process' memory; the name means something only if it is a string.
pub(super) unsafe fn with_layout(place: Place, layout: *const c_char) -> Result<Place, Error> {
    if layout.is_null() {
        return Ok(place);
    }
    let mut buffer = [0; NAME_MAX + 1];
    // SAFETY: read_name accepts every pointer.
    let layout = unsafe { read_name(layout, &mut buffer) }?;
    let not_text = |_| Error::invalid("open", "the name of a layout is text in UTF-8");
    Ok(place.layout(core::str::from_utf8(layout).map_err(not_text)?))
}

/// A timeout of C's: SHMKEY_FOREVER is none, else it is a number of nanoseconds.
pub(super) fn timeout_of(timeout: i64) -> Result<Option<Duration>, Error> {
    match timeout {
        SHMKEY_FOREVER => Ok(None),
        0.. => Ok(Some(Duration::from_nanos(timeout as u64))),
        _ => Err(Error::invalid(
            "timeout",
            "a timeout is SHMKEY_FOREVER (-1), SHMKEY_NO_WAIT (0) or a number of nanoseconds",
        )),
    }
}

/// When a wait with this timeout ends.
pub(super) fn deadline(timeout: i64) -> Result<Deadline, Error> {
    timeout_of(timeout).map(Deadline::after)
}

/// An object handed to C, which gives it back to `close`.
pub(super) fn handle<T>(opened: Result<T, Error>) -> *mut T {
    let leaked = |object| NonNull::from(Box::leak(Box::new(object))).cast();
    or_null(opened.map(leaked)).cast()
}

/// What C's handle stands for.
///
/// # Safety
/// It must be NULL, or come from `handle` and not have been closed.
pub(super) unsafe fn object<'a, T>(handle: *const T) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or_else(no_handle)
}

fn no_handle() -> Error {
    Error::bad_pointer(
        "object",
        "the object is NULL; opening it has failed, perhaps",
    )
}

/// Gives an object up.
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
pub(super) fn expect_bytes(bytes: *const c_void, len: usize) -> Result<(), Error> {
    if bytes.is_null() && len != 0 || len > isize::MAX as usize {
        return Err(Error::bad_pointer(
            "object",
            "the buffer is NULL, or longer than any memory",
        ));
    }
    Ok(())
}

/// Bytes of the caller's to copy from. They may lie in shared memory.
///
/// # Safety
/// Unless `len` is 0, `len` bytes from `bytes` on must be readable as long as the result is used.
pub(super) unsafe fn source<'a>(bytes: *const c_void, len: usize) -> Result<Source<'a>, Error> {
    expect_bytes(bytes, len)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { Source::new(bytes.cast(), len) })
}

/// Bytes of the caller's to copy to. They may lie in shared memory.
///
/// # Safety
/// Unless `len` is 0, `len` bytes from `bytes` on must be writable as long as the result is used.
pub(super) unsafe fn buffer<'a>(bytes: *mut c_void, len: usize) -> Result<Buffer<'a>, Error> {
    expect_bytes(bytes, len)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { Buffer::new(bytes.cast(), len) })
}
