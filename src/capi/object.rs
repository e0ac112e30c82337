//! What the objects have in common for C: where they lie, how long to wait, and that their handles
//! may be NULL.

use super::{
    failure::or_null,
    open::{NAME_MAX, file_at, read_name},
};
use crate::{
    Error, Place, Segment,
    object::attach_segment,
    sync::{Buffer, Deadline, Source},
};
use core::{
    ffi::{c_char, c_int, c_void},
    ptr::NonNull,
    time::Duration,
};
use std::sync::Arc;

/// The flags that the objects' functions know.
const OPEN_FLAGS: c_int = 0o777 | libc::IPC_CREAT | libc::SHM_RDONLY;

/// A place by its name.
///
/// # Safety
/// None for this process' memory; the name means something only if it is a string.
pub(super) unsafe fn named(name: *const c_char, flags: c_int) -> Result<Place, Error> {
    let mut buffer = [0; NAME_MAX + 1];
    // SAFETY: read_name accepts every pointer.
    let name = unsafe { read_name(name, &mut buffer) }?;
    with_flags(Place::named(name), flags)
}

/// A place by its path and project id.
///
/// # Safety
/// As for `named`.
pub(super) unsafe fn keyed(path: *const c_char, id: c_int, flags: c_int) -> Result<Place, Error> {
    // SAFETY: the caller's promise.
    let file = unsafe { file_at(path, id) }?;
    with_flags(Place::file(file, id), flags)
}

/// A place in a segment.
pub(super) fn within(id: c_int, offset: usize, flags: c_int) -> Result<Place, Error> {
    let memory = attach_segment(&Segment::from_id(id), flags & libc::SHM_RDONLY != 0)?;
    with_flags(Place::within(Arc::new(memory), offset), flags)
}

fn with_flags(place: Place, flags: c_int) -> Result<Place, Error> {
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
/// As for `named`.
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

/// A time as C has it: -1 for ever, 0 one try, else nanoseconds.
pub(super) fn deadline(timeout: i64) -> Result<Deadline, Error> {
    match timeout {
        -1 => Ok(Deadline::Never),
        0 => Ok(Deadline::Now),
        1.. => Ok(Deadline::after(Some(Duration::from_nanos(timeout as u64)))),
        _ => Err(Error::invalid(
            "timeout",
            "a timeout is -1 (for ever), 0 (one try) or a number of nanoseconds",
        )),
    }
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
/// As for `object`; and nobody may use it afterwards.
pub(super) unsafe fn close<T>(handle: *mut T) {
    if !handle.is_null() {
        // SAFETY: `handle` has made it of a box, and it is not used again.
        drop(unsafe { Box::from_raw(handle) });
    }
}

/// Checks a pointer to `len` bytes of the caller's, as far as that can be done at no cost.
pub(super) fn expect_bytes(bytes: *const c_void, len: usize) -> Result<(), Error> {
    match bytes.is_null() && len != 0 || len > isize::MAX as usize {
        true => Err(Error::bad_pointer(
            "object",
            "the buffer is NULL, or longer than any memory",
        )),
        false => Ok(()),
    }
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
