//! Latest values for C.

use super::{
    failure::{keeping_errno, or_minus_one},
    object::{
        close, deadline, expect_bytes, handle, keyed, named, object, source, with_layout, within,
    },
};
use crate::{
    Error, ErrorKind, Place,
    error::Action,
    object::latest::{RawLatest, Writer},
    sync::Deadline,
};
use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_int, c_void},
};

/// The newest value of something: one process publishes it, any number of processes read it, and
/// nobody waits for anybody. What readers see is whole and the newest; those in between may never
/// be seen.
///
/// The first process that publishes is the publisher until it closes the object or ends; then another
/// one can be. Killed at any instruction, it leaves the last value that it has published. Read
/// permission on the segment is enough to read; a reader with SHM_RDONLY in its flags gets memory
/// that it cannot write, whatever the permissions are. A reader that cannot write is not woken when it
/// waits: it notices a newer value within 8 ms during the first 100 ms, and within 250 ms later.
/// Threads: reading and waiting by any number at a time; publishing by one at a time.
#[allow(non_camel_case_types)]
pub struct shm_latest {
    raw: RawLatest,
    /// The right to publish, once this process has published. For one thread at a time; others may
    /// read meanwhile.
    writer: UnsafeCell<Option<Writer>>,
}

/// Opens a latest value of `size` bytes, or makes it without a value.
///
/// layout: a name for the type of the value, at most 128 bytes long, that all who open it must give
/// alike; NULL or "" for none.
/// flags: also SHM_RDONLY.
///
/// Returns: a latest value, to be closed by shm_latest_close(); or NULL.
/// Errors: those of opening.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_open(
    name: *const c_char,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_latest {
    // SAFETY: both accept every pointer.
    open(size, || unsafe { with_layout(named(name, flags)?, layout) })
}

/// The same by path and project id; EFAULT if path is NULL.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_open_key(
    path: *const c_char,
    proj_id: c_int,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_latest {
    // SAFETY: the caller hands over a string, or a pointer that leads nowhere.
    open(size, || unsafe {
        with_layout(keyed(path, proj_id, flags)?, layout)
    })
}

/// The same in a segment, at an offset: 1024 bytes, and four times the size rounded up to a multiple
/// of 64 if that is at most 256, else twice.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_open_in(
    id: c_int,
    offset: usize,
    size: usize,
    layout: *const c_char,
    flags: c_int,
) -> *mut shm_latest {
    // SAFETY: with_layout accepts every pointer.
    open(size, || unsafe {
        with_layout(within(id, offset, flags)?, layout)
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

/// Publishes a value: the `size` bytes that it was opened with.
///
/// Returns: 0, or -1.
/// Errors: EBUSY another handle or a live process is the publisher; EACCES it was opened with
/// SHM_RDONLY, or the segment's mode does not let this process write.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_publish(
    latest: *mut shm_latest,
    value: *const c_void,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let latest = unsafe { object(latest) }?;
        // SAFETY: the caller hands over that many bytes.
        let value = unsafe { source(value, latest.raw.size()) }?;
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

/// Copies the newest value, `size` bytes.
///
/// Returns: its version, 1 or more: the how-manieth it is; 0 if nothing was published yet, and then
/// what is at value may be anything; or -1.
/// Errors: ESTALE the publisher was faster than the copy 100,000 times in a row.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_read(latest: *const shm_latest, value: *mut c_void) -> i64 {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let latest = unsafe { object(latest) }?;
        // SAFETY: the caller hands over that many bytes.
        unsafe { read(latest, value) }
    }))
}

/// # Safety
/// `value` must be NULL, or lead to as many bytes as a value has.
unsafe fn read(latest: &shm_latest, value: *mut c_void) -> Result<i64, Error> {
    let size = latest.raw.size();
    expect_bytes(value, size)?;
    // SAFETY: the caller's promise.
    let version = unsafe { latest.raw.read(value.cast()) }?;
    Ok((version & i64::MAX as u64) as i64)
}

/// Waits until there is a value of another version than `seen`, and copies the newest. Begin with
/// 0, which no value has.
///
/// Returns: its version; or -1.
/// Errors: ETIMEDOUT, EAGAIN; ESTALE.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_read_newer(
    latest: *const shm_latest,
    seen: i64,
    value: *mut c_void,
    timeout: i64,
) -> i64 {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let latest = unsafe { object(latest) }?;
        let deadline: Deadline = deadline(timeout)?;
        latest.raw.wait(seen as u64, deadline)?;
        // SAFETY: the caller hands over that many bytes.
        match unsafe { read(latest, value) }? {
            // Somebody has written a version of zero, who should not.
            0 => Err(latest
                .raw
                .object()
                .error(ErrorKind::Damaged)
                .during(Action::WaitNewer)),
            version => Ok(version),
        }
    }))
}

/// The version of the newest value, without copying it.
///
/// Returns: 1 or more; 0 if nothing was published yet; or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_version(latest: *const shm_latest) -> i64 {
    // SAFETY: the caller hands over an open one.
    let latest = unsafe { object(latest) };
    or_minus_one(latest.map(|latest| (latest.raw.version() & i64::MAX as u64) as i64))
}

/// The id of the segment that it lies in.
///
/// Returns: the id, or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_id(latest: *const shm_latest) -> c_int {
    // SAFETY: the caller hands over an open one.
    or_minus_one(unsafe { object(latest) }.map(|latest| latest.raw.object().id()))
}

/// Says whether the segment that it lies in has been removed. If so, only the processes that have this
/// value open still share it, and a process that opens it anew gets another one: close this one and
/// open it anew to share that. Makes one system call, which takes some 0.3 us.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EACCES only before Linux 4.17, if this process has lost read permission.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_latest_removed(latest: *const shm_latest) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object(latest) }?.raw.object().is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes it. If this process was the publisher, another one can be.
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
