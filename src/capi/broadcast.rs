//! Broadcasts for C.

use super::{
    failure::{keeping_errno, or_minus_one, or_null},
    interrupt::{canceller, set_interruptible, shm_canceller},
    object::{buffer, close, deadline, expect_array, fd_of, handle, message, object},
    place::{described, named, shm_place},
    ring::{shm_bytes, shm_message, shm_slot},
};
use crate::{
    Error, ErrorKind, Place,
    error::{Action, What},
    kind::{Kind, LOSSY},
    object::broadcast::{Peeked, PublishEnd, RawBroadcast, SubscribeEnd},
};
use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_int, c_void},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Messages from one process to up to 64 subscribers, each of which receives all of them in order. A message has any
/// length up to the capacity.
///
/// The first handle that publishes is the publisher, until shm_broadcast_end_publishing() or shm_broadcast_close(), or
/// until its process ends; then another handle can take the role. A handle subscribes with shm_broadcast_subscribe(),
/// and receives what is published from then on; without a subscription, receiving fails with EPERM.
///
/// No subscriber of a lossless broadcast misses a message: the publisher waits for the slowest subscriber, and drops
/// one that is dead. Without a subscriber, the publisher does not wait, and overwrites the oldest messages. With
/// SHMKEY_LOSSY the publisher never waits and overwrites the oldest messages; a subscriber that had not received them
/// continues with the oldest message that is left, and shm_broadcast_missed() counts those that it missed.
///
/// A message that was committed is received, whichever process dies; one that was not committed is never received. When
/// the publisher has released its role, a subscriber gets the messages that are left and then EPIPE; or EOWNERDEAD, if
/// the publisher died. Until a process first takes the role, the subscribers wait for it. After that, the broadcast
/// remembers how the role ended, also for later runs of the programs: a subscriber that starts before the next
/// publisher gets EPIPE or EOWNERDEAD at once (with SHMKEY_FROM_OLDEST, after the messages that are left). To make it
/// wait for that publisher, call shm_broadcast_set_keep_waiting(), or remove the broadcast at the end of each run.
///
/// A child made by fork(2) may use its parent's handle. It does not have its parent's role, slot, message or
/// subscription: while the parent is the publisher, publishing fails with EBUSY, and the child receives after it has
/// called shm_broadcast_subscribe() itself.
///
/// Memory: at most 5888 bytes plus 9/8 of the capacity. A message takes its length plus 16 bytes, rounded up to a
/// multiple of 64.
#[allow(non_camel_case_types)]
pub struct shm_broadcast {
    raw: RawBroadcast,
    /// One thread at a time uses each; two threads may use both at the same time.
    publishing: UnsafeCell<Publishing>,
    subscribing: UnsafeCell<Subscribing>,
}

/// The publishing side of a handle.
struct Publishing {
    end: Option<PublishEnd>,
    /// The number of the last reserved slot.
    slot: u64,
}

/// The subscribing side of a handle.
struct Subscribing {
    end: Option<SubscribeEnd>,
    /// The peeked message that is not released.
    peeked: Option<Peeked>,
    /// The number of the last peeked message.
    message: u64,
    /// Whether it continues to wait when the publisher has released its role or died.
    keep_waiting: bool,
}

/// An option of a broadcast: the publisher never waits, and overwrites the oldest messages.
pub const SHMKEY_LOSSY: c_int = 1 << 18;

/// An option of shm_broadcast_subscribe(): the first message is the oldest one that is not overwritten.
pub const SHMKEY_FROM_OLDEST: c_int = 1;

/// Opens a broadcast, or creates it. All processes make this call. If another process is creating the broadcast, this
/// call waits up to 5 seconds for it to finish.
///
/// name: 1 to 256 bytes of any value and a NUL.
/// capacity: in bytes, 64 or more: the length of the longest message. There is room for one such message, or for
/// shorter ones that together take as much or a little more; each takes its length plus 16 bytes, rounded up to a
/// multiple of 64. All processes give the same. 0 opens a broadcast that exists, whatever its capacity and options are.
/// options: 0, or SHMKEY_LOSSY. All processes give the same.
/// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
/// creates it if it does not exist; 0 opens one that exists; SHMKEY_READ_ONLY opens a lossy one that exists, to
/// subscribe.
///
/// Returns: a handle, which shm_broadcast_close() closes; or NULL. The segment stays until
/// shm_remove(shm_broadcast_id(broadcast)).
/// Errors: ENOENT it does not exist, and flags has no SHMKEY_CREATE or has SHMKEY_READ_ONLY, or capacity is 0; EINVAL
/// the name is empty or too long, capacity is 1 to 63 or too large, the mode lacks a bit of 0600, or options or flags
/// has an undefined bit (a flag is undefined in options, and an option in flags); EFAULT the name is NULL or an invalid
/// pointer; EACCES the segment's mode does not let this process read, or the broadcast is lossless and flags has
/// SHMKEY_READ_ONLY or the mode does not let this process write; ENOTUNIQ another name or file has this key;
/// EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind of object, another capacity or other options, or no object of this
/// library is there; EPROTONOSUPPORT, ENOEXEC another version of this library, or a program for another architecture,
/// created it; ENODATA, EBADMSG the segment is too small or malformed; ETIMEDOUT the process that creates it is live
/// and has not finished; ENOSPC, ENOMEM, ENOSYS as for shmget(2).
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_open(
    name: *const c_char,
    capacity: usize,
    options: c_int,
    flags: c_int,
) -> *mut shm_broadcast {
    // SAFETY: named accepts every pointer.
    open(capacity, options, || unsafe {
        named(Kind::Broadcast, name, flags)
    })
}

/// Opens a broadcast at a place: by a name, by a path and a project id, or in a segment that exists, where it takes at
/// most 5888 bytes plus 9/8 of the capacity. Apart from that, it does the same as shm_broadcast_open().
///
/// place: where the broadcast lies, how long to wait for its creator, and who must own the segment. It is read during
/// the call only.
/// capacity: in bytes, 64 or more: the length of the longest message. There is room for one such message, or for
/// shorter ones that together take as much or a little more; each takes its length plus 16 bytes, rounded up to a
/// multiple of 64. All processes give the same. 0 opens a broadcast that exists, whatever its capacity and options are.
/// options: 0, or SHMKEY_LOSSY. All processes give the same.
/// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
/// place has a name or a path. 0 opens one that exists; SHMKEY_READ_ONLY opens a lossy one that exists, to subscribe.
///
/// Returns: a handle, which shm_broadcast_close() closes; or NULL.
/// Errors: those of shm_broadcast_open(); EINVAL the place names no segment or names one in two ways, its offset is not
/// a multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
/// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
/// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_open_at(
    place: *const shm_place,
    capacity: usize,
    options: c_int,
    flags: c_int,
) -> *mut shm_broadcast {
    // SAFETY: the caller hands over a place.
    open(capacity, options, || unsafe {
        described(Kind::Broadcast, place, flags)
    })
}

/// The first number that the next handle gives to its slots and messages.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

fn open(
    capacity: usize,
    options: c_int,
    place: impl FnOnce() -> Result<Place, Error>,
) -> *mut shm_broadcast {
    handle(keeping_errno(|| {
        let place = place()?;
        let options = options_of(options)
            .map_err(|error| error.opening(Kind::Broadcast, place.site.name()))?;
        // Relaxed: only has to differ from those of other handles. No handle ever has that many slots.
        let first = NUMBERS.fetch_add(1 << 40, Relaxed);
        Ok(shm_broadcast {
            raw: RawBroadcast::open(place, capacity, options)?,
            publishing: UnsafeCell::new(Publishing {
                end: None,
                slot: first,
            }),
            subscribing: UnsafeCell::new(Subscribing {
                end: None,
                peeked: None,
                message: first,
                keep_waiting: false,
            }),
        })
    }))
}

/// Returns the options of a broadcast for the argument of a C function.
fn options_of(options: c_int) -> Result<u32, Error> {
    const OF_FLAGS: c_int = 0o777 | libc::IPC_CREAT | libc::IPC_EXCL | libc::SHM_RDONLY;
    match options {
        0 => Ok(0),
        SHMKEY_LOSSY => Ok(LOSSY),
        _ if options & OF_FLAGS != 0 => Err(Error::invalid(
            "open",
            "SHMKEY_CREATE and the permission bits go into flags, the last argument, and not into options, which \
             are 0 or SHMKEY_LOSSY",
        )),
        _ => Err(Error::undefined_flags("open", options & !SHMKEY_LOSSY)),
    }
}

/// Returns the broadcast of a handle, and the handle's publishing side.
///
/// # Safety
/// As for `object`; and no other thread may publish at the same time.
unsafe fn publishing<'a>(
    call: &'static str,
    broadcast: *mut shm_broadcast,
) -> Result<(&'a RawBroadcast, &'a mut Publishing), Error> {
    // SAFETY: the caller's promise.
    let broadcast = unsafe { object(call, broadcast) }?;
    // SAFETY: this is only for the thread that publishes.
    Ok((&broadcast.raw, unsafe { &mut *broadcast.publishing.get() }))
}

/// Returns the broadcast of a handle, and the handle's subscribing side.
///
/// # Safety
/// As for `object`; and no other thread may receive at the same time.
unsafe fn subscribing<'a>(
    call: &'static str,
    broadcast: *mut shm_broadcast,
) -> Result<(&'a RawBroadcast, &'a mut Subscribing), Error> {
    // SAFETY: the caller's promise.
    let broadcast = unsafe { object(call, broadcast) }?;
    // SAFETY: this is only for the thread that receives.
    Ok((&broadcast.raw, unsafe { &mut *broadcast.subscribing.get() }))
}

/// Returns the same for a call that receives or peeks, which ends the access to a peeked message.
///
/// # Safety
/// As for `subscribing`.
unsafe fn subscribing_anew<'a>(
    call: &'static str,
    broadcast: *mut shm_broadcast,
) -> Result<(&'a RawBroadcast, &'a mut Subscribing), Error> {
    // SAFETY: the caller's promise.
    let (raw, subscribing) = unsafe { subscribing(call, broadcast) }?;
    subscribing.peeked = None;
    Ok((raw, subscribing))
}

/// Returns the error for a slot or a message that this handle does not hold.
#[cold]
fn not_held(raw: &RawBroadcast, action: Action) -> Error {
    raw.object().error(ErrorKind::NotOwner).during(action)
}

/// Returns the error for a slot or a message that is NULL.
#[cold]
fn null(raw: &RawBroadcast, action: Action) -> Error {
    let error = raw.object().error(ErrorKind::BadPointer);
    error.during(action).with(What::Null, 0, 0)
}

/// Reads a structure of the caller's, aligned or not; `None` for NULL.
///
/// # Safety
/// `from` must be NULL, or point to one.
unsafe fn read<T: Copy>(raw: &RawBroadcast, from: *const T, action: Action) -> Result<T, Error> {
    if from.is_null() {
        return Err(null(raw, action));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { from.read_unaligned() })
}

impl Publishing {
    /// Returns the publishing end, which this process takes when it first publishes. A child made by fork takes its
    /// own.
    fn end(&mut self, raw: &RawBroadcast, action: Action) -> Result<&mut PublishEnd, Error> {
        match &self.end {
            Some(end) if raw.is_reserved(end) => {
                let error = raw.object().error(ErrorKind::InvalidArgument);
                return Err(error.during(action).with(What::Reserved, 0, 0));
            }
            Some(end) if raw.is_publisher(end) => {}
            _ => self.end = Some(raw.publisher(Some(raw.object().interrupt()))?),
        }
        let end = self.end.as_mut();
        end.ok_or_else(|| Error::invalid("shm_broadcast", "no publisher"))
    }

    /// Returns the end that has reserved a slot.
    ///
    /// # Safety
    /// `slot` must be NULL, or point to one.
    unsafe fn end_of(
        &mut self,
        raw: &RawBroadcast,
        slot: *const shm_slot,
        action: Action,
    ) -> Result<&mut PublishEnd, Error> {
        // SAFETY: the caller's promise.
        let number = unsafe { read(raw, slot, action) }?.number;
        match &mut self.end {
            Some(end) if number == self.slot => Ok(end),
            _ => Err(not_held(raw, action)),
        }
    }

    fn release_role(&mut self, raw: &RawBroadcast) {
        if let Some(mut end) = self.end.take() {
            raw.drop_publisher(&mut end);
        }
    }
}

impl Subscribing {
    fn set_keep_waiting(&mut self, on: bool) {
        self.keep_waiting = on;
        if let Some(end) = &mut self.end {
            end.set_keep_waiting(on);
        }
    }

    /// Returns the subscribing end.
    fn end(&mut self, raw: &RawBroadcast, action: Action) -> Result<&mut SubscribeEnd, Error> {
        self.end.as_mut().ok_or_else(|| raw.not_subscribed(action))
    }

    fn release_role(&mut self, raw: &RawBroadcast) {
        self.peeked = None;
        if let Some(mut end) = self.end.take() {
            raw.drop_subscriber(&mut end);
        }
    }
}

impl Drop for shm_broadcast {
    fn drop(&mut self) {
        self.publishing.get_mut().release_role(&self.raw);
        self.subscribing.get_mut().release_role(&self.raw);
    }
}

/// Publishes a message. In a lossless broadcast, waits until the slowest subscriber has made room; after a timeout,
/// shm_last_error() names its process. The first handle that publishes is the publisher, until
/// shm_broadcast_end_publishing() or shm_broadcast_close(), or until its process ends. Signals do not end the wait,
/// unless shm_broadcast_set_interruptible() allows it.
///
/// broadcast: a handle that is open.
/// message: the bytes, which are copied and may lie in shared memory.
/// size: how many bytes, 0 to the broadcast's capacity.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: 0; or -1.
/// Errors: ETIMEDOUT there was no room for that long; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; EINTR,
/// ECANCELED a signal handler or shm_cancel() has ended the wait; EMSGSIZE size is larger than the capacity; EBUSY
/// another handle is the publisher, and its process is not known to be dead; EBADMSG another program has overwritten
/// the broadcast; EINVAL this handle has a slot reserved, or timeout is less than -1; EACCES this process cannot write
/// the broadcast; EFAULT broadcast is NULL, or message is NULL and size is not 0.
/// Threads: one at a time publishes with a handle, while another receives with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_publish(
    broadcast: *mut shm_broadcast,
    message: *const c_void,
    size: usize,
    timeout: i64,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and publishes by one thread at a time.
        let (raw, publishing) = unsafe { publishing("shm_broadcast_publish", broadcast) }?;
        // SAFETY: the caller hands over that many bytes.
        let message =
            unsafe { self::message(raw.object(), Action::Publish, raw.capacity(), message, size) }?;
        let deadline = deadline(raw.object(), Action::Publish, timeout)?;
        let end = publishing.end(raw, Action::Publish)?;
        raw.publish(end, message, deadline).map(|()| 0)
    }))
}

/// Publishes several messages, as many as there is room for before the timeout. Messages for which there is room
/// together become visible to the subscribers at once. Stops at a message that cannot be published: those before it are
/// published, and the next call, which begins with it, reports the error.
///
/// broadcast: a handle that is open.
/// messages: an array of count structures. Each is read once; they, and the bytes that they point to, may lie in shared
/// memory.
/// count: how many messages. If it is 0, the call returns 0 without waiting, and the handle does not become the
/// publisher.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: how many messages were published, beginning with the first; or -1, and then none was.
/// Errors: those of shm_broadcast_publish(); EFAULT messages is NULL and count is not 0; EINVAL count
/// structures do not fit into memory.
/// Threads: one at a time publishes with a handle, while another receives with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_publish_batch(
    broadcast: *mut shm_broadcast,
    messages: *const shm_bytes,
    count: usize,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and publishes by one thread at a time.
        let (raw, publishing) = unsafe { publishing("shm_broadcast_publish_batch", broadcast) }?;
        expect_array(raw.object(), Action::Publish, messages, count)?;
        let deadline = deadline(raw.object(), Action::Publish, timeout)?;
        if count == 0 {
            return Ok(0);
        }
        let end = publishing.end(raw, Action::Publish)?;
        // Each structure is read once: another process may write it, if it lies in shared memory.
        let messages = (0..count).map(|i| {
            // SAFETY: `i` is below the number of structures that the caller hands over, and each of
            // them stands for bytes that the caller hands over.
            unsafe {
                let shm_bytes { data, size } = messages.add(i).read_volatile();
                message(raw.object(), Action::Publish, raw.capacity(), data, size)
            }
        });
        let published = raw.publish_batch(end, messages, deadline)?;
        Ok(published as isize)
    }))
}

/// Reserves room for a message, which the caller writes in place; in a lossless broadcast, waits for room.
/// shm_broadcast_commit() publishes the message, shm_broadcast_abort() aborts the slot; until then the handle publishes
/// nothing else. shm_broadcast_end_publishing() and shm_broadcast_close() abort it, too.
///
/// broadcast: a handle that is open.
/// size: how many bytes, 0 to the broadcast's capacity.
/// slot: where to store the slot. The caller may write its bytes until the slot is committed or aborted. They are in
/// the handle's own memory if they would wrap around the end of the broadcast's.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: 0; or -1.
/// Errors: those of shm_broadcast_publish(); ENOMEM the slot wraps around the end of the broadcast's memory, and a
/// buffer for it cannot be allocated; EFAULT slot is NULL.
/// Threads: one at a time publishes with a handle, while another receives with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_reserve(
    broadcast: *mut shm_broadcast,
    size: usize,
    slot: *mut shm_slot,
    timeout: i64,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and publishes by one thread at a time.
        let (raw, publishing) = unsafe { publishing("shm_broadcast_reserve", broadcast) }?;
        if slot.is_null() {
            return Err(null(raw, Action::Reserve));
        }
        let deadline = deadline(raw.object(), Action::Reserve, timeout)?;
        let end = publishing.end(raw, Action::Reserve)?;
        raw.reserve(end, size, deadline)?;
        let data = raw.slot_address(end)?.as_ptr().cast();
        publishing.slot += 1;
        let reserved = shm_slot {
            data,
            size,
            number: publishing.slot,
        };
        // SAFETY: the caller hands over room for a slot.
        unsafe { slot.write_unaligned(reserved) };
        Ok(0)
    }))
}

/// Publishes the message in a slot.
///
/// broadcast: the handle that has reserved the slot.
/// slot: as shm_broadcast_reserve() has stored it.
/// size: the length of the message in bytes, at most that of the slot. The message begins at the slot's first byte.
///
/// Returns: 0; or -1, and then nothing has changed: a reserved slot stays reserved.
/// Errors: EPERM the slot is no longer reserved, or this process's parent has reserved it; EINVAL the slot has fewer
/// bytes; EFAULT broadcast or slot is NULL.
/// Threads: one at a time publishes with a handle; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_commit(
    broadcast: *mut shm_broadcast,
    slot: *const shm_slot,
    size: usize,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and publishes by one thread at a time.
        let (raw, publishing) = unsafe { publishing("shm_broadcast_commit", broadcast) }?;
        // SAFETY: the caller hands over a slot.
        let end = unsafe { publishing.end_of(raw, slot, Action::Commit) }?;
        raw.commit(end, size).map(|()| 0)
    }))
}

/// Aborts a slot; publishes nothing.
///
/// broadcast: the handle that has reserved the slot.
/// slot: as shm_broadcast_reserve() has stored it.
///
/// Returns: 0; or -1, and then nothing has changed.
/// Errors: EPERM the slot is no longer reserved, or this process's parent has reserved it; EFAULT broadcast or slot is
/// NULL.
/// Threads: one at a time publishes with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_abort(
    broadcast: *mut shm_broadcast,
    slot: *const shm_slot,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and publishes by one thread at a time.
        let (raw, publishing) = unsafe { publishing("shm_broadcast_abort", broadcast) }?;
        // SAFETY: the caller hands over a slot.
        let end = unsafe { publishing.end_of(raw, slot, Action::Abort) }?;
        raw.abort(end).map(|()| 0)
    }))
}

/// Takes the publisher's role before the first message, so that the subscribers notice if this process dies.
///
/// broadcast: a handle that is open.
///
/// Returns: 0, even if this handle has the role; or -1.
/// Errors: EBUSY another handle is the publisher, and its process is not known to be dead; EBADMSG another program has
/// overwritten the broadcast; EACCES this process cannot write it; EINVAL this handle has a slot reserved; EFAULT
/// broadcast is NULL.
/// Threads: one at a time publishes with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_begin_publishing(broadcast: *mut shm_broadcast) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and publishes by one thread at a time.
        let (raw, publishing) = unsafe { publishing("shm_broadcast_begin_publishing", broadcast) }?;
        publishing.end(raw, Action::BecomePublisher).map(|_| 0)
    }))
}

/// Releases the publisher's role, and aborts a reserved slot. Subscribers that have received all messages then get
/// EPIPE.
///
/// broadcast: a handle that is open.
///
/// Returns: 0, even if this handle does not have the role; or -1.
/// Errors: EFAULT broadcast is NULL.
/// Threads: one at a time publishes with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_end_publishing(broadcast: *mut shm_broadcast) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and publishes by one thread at a time.
        let (raw, publishing) = unsafe { publishing("shm_broadcast_end_publishing", broadcast) }?;
        publishing.release_role(raw);
        Ok(0)
    }))
}

/// Subscribes a handle; if it is subscribed already, ends that subscription first. The handle receives the messages
/// that are published from now on, or with SHMKEY_FROM_OLDEST also those that are not overwritten yet.
///
/// broadcast: a handle that is open.
/// options: 0, or SHMKEY_FROM_OLDEST.
///
/// Returns: 0; or -1, and then the handle is not subscribed.
/// Errors: ENOSPC there are 64 subscribers that are not known to be dead; EBADMSG another program has overwritten the
/// broadcast; ESTALE the publisher of a lossy broadcast overwrites messages faster than this call finds the first one;
/// EINVAL options has an undefined bit; EFAULT broadcast is NULL.
/// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_subscribe(
    broadcast: *mut shm_broadcast,
    options: c_int,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (raw, subscribing) = unsafe { subscribing("shm_broadcast_subscribe", broadcast) }?;
        if options & !SHMKEY_FROM_OLDEST != 0 {
            return Err(Error::undefined_flags(
                "subscribe",
                options & !SHMKEY_FROM_OLDEST,
            ));
        }
        subscribing.release_role(raw);
        let from_oldest = options == SHMKEY_FROM_OLDEST;
        let end = raw.subscribe(from_oldest, Some(raw.object().interrupt()))?;
        let keep_waiting = subscribing.keep_waiting;
        subscribing.end.insert(end).set_keep_waiting(keep_waiting);
        Ok(0)
    }))
}

/// Ends the subscription of a handle: the publisher no longer waits for it.
///
/// broadcast: a handle that is open.
///
/// Returns: 0, even if this handle is not subscribed; or -1.
/// Errors: EFAULT broadcast is NULL.
/// Threads: one at a time receives with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_unsubscribe(broadcast: *mut shm_broadcast) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (raw, subscribing) = unsafe { subscribing("shm_broadcast_unsubscribe", broadcast) }?;
        subscribing.release_role(raw);
        Ok(0)
    }))
}

/// Receives a message into a buffer; waits for one. Signals do not end the wait, unless
/// shm_broadcast_set_interruptible() allows it.
///
/// broadcast: a handle that is subscribed.
/// buffer: room for size bytes.
/// size: in bytes; the broadcast's capacity is enough for every message.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: the message's length in bytes, 0 or more; or -1.
/// Errors: ETIMEDOUT there was no message for that long; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; EINTR,
/// ECANCELED a signal handler or shm_cancel() has ended the wait; EMSGSIZE the buffer is too short, and the message
/// stays the next one; EPERM the handle is not subscribed in this process; EPIPE, EOWNERDEAD there is no message, and
/// the publisher has released its role or died; ESTALE the publisher of a lossless broadcast has dropped this
/// subscriber as a dead one; EBADMSG another program has overwritten the broadcast; EINVAL timeout is less than -1;
/// EFAULT broadcast is NULL, or buffer is NULL and size is not 0, or size is larger than PTRDIFF_MAX.
/// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_recv(
    broadcast: *mut shm_broadcast,
    buffer: *mut c_void,
    size: usize,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (raw, subscribing) = unsafe { subscribing_anew("shm_broadcast_recv", broadcast) }?;
        // SAFETY: the caller hands over that many bytes.
        let buffer = unsafe { self::buffer(raw.object(), Action::Receive, buffer, size) }?;
        let deadline = deadline(raw.object(), Action::Receive, timeout)?;
        let end = subscribing.end(raw, Action::Receive)?;
        let len = raw.receive(end, buffer, deadline)?;
        Ok(len as isize)
    }))
}

/// Receives several messages: waits for the first one, and also takes those that follow it and fit.
///
/// broadcast: a handle that is subscribed.
/// buffer: room for size bytes. The messages are stored one after the other.
/// size: in bytes.
/// lengths: room for count lengths, in bytes.
/// count: the largest number of messages. With 0, the call receives none, does not wait, and returns 0.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: how many messages were received; or -1, and then none was.
/// Errors: those of shm_broadcast_recv(); EFAULT lengths is NULL and count is not 0; EINVAL count lengths do not fit
/// into memory.
/// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_recv_batch(
    broadcast: *mut shm_broadcast,
    buffer: *mut c_void,
    size: usize,
    lengths: *mut usize,
    count: usize,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (raw, subscribing) =
            unsafe { subscribing_anew("shm_broadcast_recv_batch", broadcast) }?;
        // SAFETY: the caller hands over that many bytes.
        let buffer = unsafe { self::buffer(raw.object(), Action::Receive, buffer, size) }?;
        expect_array(raw.object(), Action::Receive, lengths, count)?;
        // SAFETY: the caller hands over room for `count` of them.
        let store = |at, len| unsafe { lengths.add(at).write(len) };
        let deadline = deadline(raw.object(), Action::Receive, timeout)?;
        let end = subscribing.end(raw, Action::Receive)?;
        let received = raw.receive_batch(end, buffer, count, deadline, store)?;
        Ok(received as isize)
    }))
}

/// Waits for a message and gives access to it: to a copy in the handle's own memory if the broadcast is lossy or the
/// message wraps around the end of the broadcast's memory, otherwise in place. The message stays the next one until
/// shm_broadcast_release(). The access ends with the next call that peeks or receives, even if that call fails, and
/// with shm_broadcast_subscribe(), shm_broadcast_unsubscribe() and shm_broadcast_close().
///
/// broadcast: a handle that is subscribed.
/// message: where to store the message.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: the message's length in bytes, 0 or more; or -1.
/// Errors: those of shm_broadcast_recv(), except EMSGSIZE; ENOMEM a copy cannot be allocated; EFAULT message is NULL.
/// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_peek(
    broadcast: *mut shm_broadcast,
    message: *mut shm_message,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (raw, subscribing) = unsafe { subscribing_anew("shm_broadcast_peek", broadcast) }?;
        if message.is_null() {
            return Err(null(raw, Action::Peek));
        }
        let deadline = deadline(raw.object(), Action::Peek, timeout)?;
        let end = subscribing.end(raw, Action::Peek)?;
        let found = raw.peek(end, deadline)?;
        let data = raw.message_address(end, &found).cast();
        subscribing.peeked = Some(found);
        subscribing.message += 1;
        let in_place = shm_message {
            data,
            size: found.len(),
            number: subscribing.message,
        };
        // SAFETY: the caller hands over room for a message.
        unsafe { message.write_unaligned(in_place) };
        Ok(found.len() as isize)
    }))
}

/// Returns a descriptor that is readable when there may be a message, or when the publisher has released its role or
/// died: for poll(2), select(2), epoll(7) (level- or edge-triggered) and event loops.
///
/// When the descriptor is readable, call shm_broadcast_recv(), shm_broadcast_recv_batch() or shm_broadcast_peek() with
/// SHMKEY_NO_WAIT until that fails with EAGAIN, which makes the descriptor unreadable until the next message, but for
/// at most 250 ms. A call that fails with EPIPE or EOWNERDEAD leaves it readable; after
/// shm_broadcast_set_keep_waiting(), receiving does not fail with these. Do not read from the descriptor or close it.
/// The first poll returns at once. shm_ring_fd() says when such a descriptor becomes readable; that of a handle with
/// SHMKEY_READ_ONLY becomes readable only 250 ms after each EAGAIN.
///
/// broadcast: a handle that is subscribed.
///
/// Returns: the descriptor, the same for each call, which belongs to the handle: shm_broadcast_close(),
/// shm_broadcast_unsubscribe() and execve(2) close it; or -1.
/// Errors: EMFILE, ENFILE the process or the system cannot open three more descriptors; ENOMEM, ENOBUFS there is no
/// memory; EADDRINUSE no free socket address was found, try again; EAFNOSUPPORT, EPERM, EACCES, ENOSYS the system does
/// not let this process make a socket of the family AF_UNIX, a timerfd or an epoll descriptor; EPERM the handle is not
/// subscribed; EFAULT broadcast is NULL.
/// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler. A child
/// made by fork(2) must not use its parent's descriptor.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_fd(broadcast: *mut shm_broadcast) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (raw, subscribing) = unsafe { subscribing("shm_broadcast_fd", broadcast) }?;
        let end = subscribing.end(raw, Action::Receive)?;
        fd_of(raw.descriptor(end))
    }))
}

/// Returns the subscriber of a broadcast, for shm_wait_any().
///
/// # Safety
/// As for `subscribing`.
pub(super) unsafe fn to_wait<'a>(
    broadcast: *mut shm_broadcast,
) -> Result<(&'a RawBroadcast, &'a mut SubscribeEnd), Error> {
    // SAFETY: the caller's promise.
    let (raw, subscribing) = unsafe { subscribing("shm_wait_any", broadcast) }?;
    Ok((raw, subscribing.end(raw, Action::Wait)?))
}

/// Releases the peeked message, so that the one after it becomes the next one.
///
/// broadcast: the handle that has peeked.
/// message: as shm_broadcast_peek() has stored it.
///
/// Returns: 0; or -1.
/// Errors: EPERM the message was released or received, the handle has peeked again, or this process's parent has
/// peeked, and then nothing has changed; ESTALE the publisher of a lossless broadcast has dropped this subscriber as a
/// dead one, and the bytes that were read are arbitrary; EFAULT broadcast or message is NULL.
/// Threads: one at a time receives with a handle, while another publishes with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_release(
    broadcast: *mut shm_broadcast,
    message: *const shm_message,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (raw, subscribing) = unsafe { subscribing("shm_broadcast_release", broadcast) }?;
        // SAFETY: the caller hands over a message, or NULL.
        let number = unsafe { read(raw, message, Action::Release) }?.number;
        let last = subscribing.message;
        match (
            subscribing.peeked.take_if(|_| number == last),
            &mut subscribing.end,
        ) {
            (Some(found), Some(end)) => raw.release(end, found).map(|()| 0),
            _ => Err(not_held(raw, Action::Release)),
        }
    }))
}

/// Returns the number of messages that the publisher of a lossy broadcast overwrote before this handle received or
/// peeked at them. It counts those that were published between the subscription and the last message that was received
/// or peeked at. In a lossless broadcast, it is 0.
///
/// broadcast: a handle that is subscribed.
///
/// Returns: 0 or more; or -1.
/// Errors: EPERM the handle is not subscribed; EFAULT broadcast is NULL.
/// Threads: the one that receives with the handle; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_missed(broadcast: *mut shm_broadcast) -> i64 {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (raw, subscribing) = unsafe { subscribing("shm_broadcast_missed", broadcast) }?;
        match &subscribing.end {
            Some(end) => Ok((raw.missed(end) & i64::MAX as u64) as i64),
            None => Err(raw.not_subscribed(Action::Receive)),
        }
    }))
}

/// Returns the length of the longest message: the capacity that the broadcast was created with.
///
/// broadcast: a handle that is open.
///
/// Returns: that length in bytes; or -1.
/// Errors: EFAULT broadcast is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_capacity(broadcast: *const shm_broadcast) -> isize {
    // SAFETY: the caller hands over an open one.
    or_minus_one(
        unsafe { object("shm_broadcast_capacity", broadcast) }
            .map(|broadcast| broadcast.raw.capacity() as isize),
    )
}

/// Returns the number of bytes that are in use: those of all messages that are not overwritten, with their headers,
/// even if all subscribers have received them.
///
/// broadcast: a handle that is open.
///
/// Returns: 0 or more; or -1.
/// Errors: EFAULT broadcast is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_used(broadcast: *const shm_broadcast) -> isize {
    // SAFETY: the caller hands over an open one.
    or_minus_one(
        unsafe { object("shm_broadcast_used", broadcast) }
            .map(|broadcast| broadcast.raw.view().used() as isize),
    )
}

/// Returns the number of subscribers. It includes dead ones until they are dropped, but not those whose handles have
/// SHMKEY_READ_ONLY.
///
/// broadcast: a handle that is open.
///
/// Returns: 0 to 64; or -1.
/// Errors: EFAULT broadcast is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_subscribers(broadcast: *const shm_broadcast) -> c_int {
    // SAFETY: the caller hands over an open one.
    or_minus_one(
        unsafe { object("shm_broadcast_subscribers", broadcast) }
            .map(|broadcast| broadcast.raw.subscribers() as c_int),
    )
}

/// Sets whether receiving continues to wait when the publisher has released its role or died: for a program that serves
/// one peer after another, such as a log daemon. By default, receiving then fails with EPIPE or EOWNERDEAD. With this
/// option, a wait ends only with a message, at its timeout, or because it is interrupted or cancelled.
///
/// broadcast: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT broadcast is NULL.
/// Threads: one at a time receives with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_set_keep_waiting(
    broadcast: *mut shm_broadcast,
    on: c_int,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (_, subscribing) = unsafe { subscribing("shm_broadcast_set_keep_waiting", broadcast) }?;
        subscribing.set_keep_waiting(on != 0);
        Ok(0)
    }))
}

/// Sets whether a signal handler that runs while a call waits to publish or to receive ends the wait: the call then
/// fails with EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before the
/// wait, or between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was
/// installed with SA_RESTART ends a wait, too, unless shm_broadcast_canceller() was called before.
///
/// broadcast: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT broadcast is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_set_interruptible(
    broadcast: *mut shm_broadcast,
    on: c_int,
) -> c_int {
    // SAFETY: the caller hands over an open one.
    let broadcast = unsafe { object("shm_broadcast_set_interruptible", broadcast) };
    or_minus_one(broadcast.map(|broadcast| set_interruptible(broadcast.raw.object(), on)))
}

/// Returns the canceller of a handle, with which shm_cancel() ends a wait of the calls that publish and receive. Call
/// this before the wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by
/// futex_waitv(2). Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends
/// within 8 ms, and the handle wakes up every 8 ms while it waits.
///
/// broadcast: a handle that is open.
///
/// Returns: the canceller, which is valid until the handle is closed; or NULL.
/// Errors: EFAULT broadcast is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_canceller(
    broadcast: *mut shm_broadcast,
) -> *mut shm_canceller {
    // SAFETY: the caller hands over an open one.
    let broadcast = unsafe { object("shm_broadcast_canceller", broadcast) };
    or_null(broadcast.map(|broadcast| canceller(broadcast.raw.object()))).cast()
}

/// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
///
/// broadcast: a handle that is open.
///
/// Returns: the id, 0 or more; or -1.
/// Errors: EFAULT broadcast is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_id(broadcast: *const shm_broadcast) -> c_int {
    // SAFETY: the caller hands over an open one.
    or_minus_one(
        unsafe { object("shm_broadcast_id", broadcast) }
            .map(|broadcast| broadcast.raw.object().id()),
    )
}

/// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
/// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
/// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
/// call, about 0.3 us.
///
/// broadcast: a handle that is open.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EFAULT broadcast is NULL; EACCES only before Linux 4.17, this process has lost read permission.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_removed(broadcast: *const shm_broadcast) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object("shm_broadcast_removed", broadcast) }?
            .raw
            .object()
            .is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes a handle: releases the publisher's role, aborts a reserved slot, and ends the subscription. Published
/// messages stay. A child made by fork(2) closes its own copy.
///
/// broadcast: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
/// undefined, like the use of memory after free(3).
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_broadcast_close(broadcast: *mut shm_broadcast) {
    // SAFETY: the caller gives it up.
    unsafe { close(broadcast) }
}
