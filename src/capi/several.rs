//! Waiting for one of several objects, for C.

use super::{
    broadcast::shm_broadcast,
    failure::{keeping_errno, or_minus_one},
    latest::shm_latest,
    object::timeout_of,
    ring::shm_ring,
    semaphore::shm_semaphore,
};
use crate::{
    Error,
    object::several::{At, MOST, check, wait_at_any},
    sync::Deadline,
};
use core::{
    ffi::{c_int, c_void},
    mem::size_of,
    slice,
};

/// An object that shm_wait_any() can wait for: one of the handles, and NULL for the others, as in {.ring = orders} or
/// {.latest = position, .seen = version}.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct shm_waitable {
    /// Waits for a message, or until the senders have ended or died. The handle becomes the receiver.
    pub ring: *mut shm_ring,
    /// Waits until the count is not 0.
    pub semaphore: *mut shm_semaphore,
    /// Waits for a value whose version is not seen.
    pub latest: *mut shm_latest,
    /// Waits for a message, or until the publisher has ended or died. The handle is subscribed.
    pub broadcast: *mut shm_broadcast,
    /// With latest: the version that the caller has read last; 0 for none.
    pub seen: i64,
    /// NULL; reserved.
    pub reserved: [*mut c_void; 3],
}

// No padding: later versions find every byte initialised.
const _: () = assert!(size_of::<shm_waitable>() == 64);

/// Waits until one of several objects has something: a message, a count, a newer value, or a peer that has ended or died.
/// Takes nothing from it: call the function that does with SHMKEY_NO_WAIT, which fails with EAGAIN if another thread
/// was faster. Signals do not end the wait.
///
/// A thread's search begins behind the object that it found last, so an object that always has something does not hide the
/// others. A peer that wakes the thread makes one system call. Before Linux 5.16, or where a seccomp filter forbids
/// futex_waitv(2), the thread polls the descriptors of the objects, which it makes for that: see shm_ring_fd().
///
/// objects: the objects, in any mix; none of them twice.
/// count: their number, 1 to 128.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: the index of an object that has something, 0 to count - 1; or -1.
/// Errors: ETIMEDOUT no object had anything for that long; EAGAIN none has, and timeout is SHMKEY_NO_WAIT; EINVAL
/// count is 0 or more than 128, timeout is less than -1, or an element has no handle, two handles, or a reserved
/// field that is not NULL; EBUSY another handle is the receiver of a ring, and its process is not known to be dead;
/// EPERM a handle of a broadcast is not subscribed; EFAULT objects is NULL; and those of shm_ring_fd() where
/// descriptors are needed.
/// Threads: one at a time receives with the handle of a ring or a broadcast; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_wait_any(
    objects: *const shm_waitable,
    count: usize,
    timeout: i64,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        let call = "shm_wait_any";
        check(count)?;
        if objects.is_null() {
            return Err(Error::bad_pointer(
                call,
                "the address of the objects is NULL",
            ));
        }
        let timeout = timeout_of(timeout).ok_or_else(|| {
            Error::invalid(
                call,
                "the timeout is negative; SHMKEY_FOREVER, which is -1, waits without limit",
            )
        })?;
        // SAFETY: the caller hands over so many structures.
        let objects = unsafe { slice::from_raw_parts(objects, count) };
        let mut waiting = [const { None }; MOST];
        for (index, (to, object)) in waiting.iter_mut().zip(objects).enumerate() {
            // SAFETY: the caller hands over open handles, none twice, and receives by one thread at a time.
            *to = Some(unsafe { at(index, object) }?);
        }
        let found = wait_at_any(&mut waiting[..count], Deadline::after(timeout))?;
        Ok(found as c_int)
    }))
}

/// Returns what a structure stands for.
///
/// # Safety
/// The handles must be NULL or open; no other thread may receive by them.
unsafe fn at<'a>(index: usize, object: &shm_waitable) -> Result<At<'a>, Error> {
    let handles = [
        object.ring.cast(),
        object.semaphore.cast(),
        object.latest.cast(),
        object.broadcast.cast::<c_void>(),
    ];
    let given = handles.iter().filter(|handle| !handle.is_null()).count();
    let why = match given {
        0 => "has no handle: each struct shm_waitable has one",
        2.. => "has several handles: each struct shm_waitable has one, and NULL for all others",
        _ if object.reserved.iter().any(|field| !field.is_null()) => {
            "has a reserved field that is not NULL"
        }
        _ => "",
    };
    if !why.is_empty() {
        return Err(Error::element("shm_wait_any", index, why));
    }
    if !object.ring.is_null() {
        // SAFETY: the caller's promise.
        let (raw, end) = unsafe { super::ring::to_wait(object.ring) }?;
        Ok(At::Ring(raw, end))
    } else if !object.broadcast.is_null() {
        // SAFETY: as above.
        let (raw, end) = unsafe { super::broadcast::to_wait(object.broadcast) }?;
        Ok(At::Broadcast(raw, end))
    } else if !object.latest.is_null() {
        // SAFETY: as above.
        let raw = unsafe { super::latest::to_wait(object.latest) }?;
        Ok(At::Latest(raw, object.seen as u64))
    } else {
        // SAFETY: as above.
        let semaphore = unsafe { super::semaphore::to_wait(object.semaphore) }?;
        Ok(At::Semaphore(semaphore))
    }
}
