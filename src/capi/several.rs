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
    /// Waits for a message, or until the senders have released their roles or died. The handle becomes the receiver.
    pub ring: *mut shm_ring,
    /// Waits until the count is not 0.
    pub semaphore: *mut shm_semaphore,
    /// Waits for a value whose version differs from the field seen.
    pub latest: *mut shm_latest,
    /// Waits for a message, or until the publisher has released its role or died. The handle must be subscribed.
    pub broadcast: *mut shm_broadcast,
    /// With latest: the version of the last value that the caller has read; 0 if it has read none.
    pub seen: i64,
    /// NULL; reserved.
    pub reserved: [*mut c_void; 3],
}

// No padding: later versions find every byte initialised.
const _: () = assert!(size_of::<shm_waitable>() == 64);

/// Waits until one of several objects is ready: until it has a message, a count above 0 or a newer value, or its peer
/// has released its role or died. Receives nothing from it: then call shm_ring_recv(), shm_semaphore_wait() and so on
/// with SHMKEY_NO_WAIT, which fails with EAGAIN if another thread was faster.
///
/// A cancellation of one of the handles (shm_cancel()) ends the wait, or the next one. It also does so if an object is
/// ready only because its peers have released their roles or died; the next call then returns that object. A call with
/// SHMKEY_NO_WAIT is not a wait, and does not use up a cancellation. A signal handler ends the wait if one of the
/// handles allows that, as by shm_ring_set_interruptible(), and the handler was installed without SA_RESTART.
///
/// An object whose peers have released their roles or died stays ready. Leave it out of later calls, or make its handle
/// wait for the next peer, for example with shm_ring_set_keep_waiting().
///
/// A thread's search begins with the object after the one that its last call returned, so an object that is always
/// ready does not hide the others. A peer that wakes the thread makes one system call. Before Linux 5.16, or where a
/// seccomp filter forbids futex_waitv(2), the thread polls the descriptors of the objects, as shm_ring_fd() returns
/// them, and this call creates them.
///
/// objects: the objects, in any mix; the handle of a ring or a broadcast at most once.
/// count: their number, 1 to 128.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: the index of an object that is ready, 0 to count - 1; or -1.
/// Errors: ETIMEDOUT no object was ready in that time; EAGAIN none is, and timeout is SHMKEY_NO_WAIT; EINTR, ECANCELED
/// a signal handler or shm_cancel() has ended the wait; EINVAL count is 0 or more than 128, timeout is less than -1, or
/// an element has no handle, two handles, the same handle of a ring or a broadcast as another element, or a reserved
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
        let timeout = timeout_of(timeout).ok_or_else(|| Error::timeout(call, timeout))?;
        // SAFETY: the caller hands over `count` structures.
        let objects = unsafe { slice::from_raw_parts(objects, count) };
        let mut waiting = [const { None }; MOST];
        for (index, (to, object)) in waiting.iter_mut().zip(objects).enumerate() {
            expect_another(&objects[..index], object)
                .map_err(|why| Error::element(call, index, why))?;
            // SAFETY: the caller hands over open handles, and receives by one thread at a time. No handle of a ring or
            // a broadcast occurs twice.
            *to = Some(unsafe { at(index, object) }?);
        }
        let found = wait_at_any(&mut waiting[..count], Deadline::after(timeout))?;
        Ok(found as c_int)
    }))
}

/// Fails if a structure before this one has the same ring or broadcast: the wait uses the receiving end of each.
fn expect_another(before: &[shm_waitable], object: &shm_waitable) -> Result<(), &'static str> {
    let is_same = |other: &shm_waitable| {
        (!object.ring.is_null() && other.ring == object.ring)
            || (!object.broadcast.is_null() && other.broadcast == object.broadcast)
    };
    if before.iter().any(is_same) {
        Err("has the same handle as an earlier element")
    } else {
        Ok(())
    }
}

/// Returns what a structure stands for.
///
/// # Safety
/// The handles must be NULL or open; no other thread and no other `At` may receive by them.
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
