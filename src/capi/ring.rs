//! Rings for C.

use super::{
    failure::{keeping_errno, or_minus_one},
    object::{buffer, close, deadline, expect_bytes, handle, keyed, named, object, source, within},
};
use crate::{
    Error, ErrorKind, Place,
    error::{Action, What},
    object::ring::{DROP_OLDEST, MANY_SENDERS, RawRing, ReceiveEnd, SendEnd},
    sync,
};
use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_int, c_void},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Messages from one process to another: of any length up to the ring's capacity, in order, and
/// none lost.
///
/// The first process that sends is the sender, and the first that receives is the receiver, until it
/// closes the ring (or calls shm_ring_end_sending, shm_ring_end_receiving), or ends; then another
/// process can take that part, also after one that was killed. What was sent stays, also when nobody
/// is there. A ring that was opened with SHM_MANY_SENDERS has up to 64 senders.
///
/// A message that was committed is received, whatever dies; one that was not is never seen. A
/// message that the receiver had not released when it died is received by the next one.
///
/// When all senders have ended, a receiver gets what is left and then EPIPE; if one of them died
/// instead, EOWNERDEAD. A sender that has to wait for room is told the same of the receiver. That goes
/// for those who have come so far: before the first one comes, it is waited for; after the last one has
/// ended, whoever still expects another one tries again later.
///
/// Threads: one sends with a handle, and one receives with it, at a time.
/// Memory: 1568 bytes and the capacity; each message takes 8 bytes and its length rounded up to a
/// multiple of 8 (16 bytes and that, above 16 KiB).
#[allow(non_camel_case_types)]
pub struct shm_ring {
    raw: RawRing,
    /// Each for one thread at a time, which may be two threads at the same time.
    sending: UnsafeCell<Sending>,
    receiving: UnsafeCell<Receiving>,
}

/// What the sending side has.
struct Sending {
    end: Option<SendEnd>,
    /// The number of the last slot that was reserved.
    slot: u64,
}

/// What the receiving side has.
struct Receiving {
    end: Option<ReceiveEnd>,
    /// A message was peeked at, and not released.
    peeked: Option<sync::ring::Span>,
    /// The number of the last message that was peeked at.
    message: u64,
}

/// A flag of shm_ring_open(): up to 64 processes send at a time. Each of them gets its turn.
pub const SHM_MANY_SENDERS: c_int = 0x10000;
/// A flag of shm_ring_open(): a sender without room drops the oldest messages instead of waiting.
pub const SHM_DROP_OLDEST: c_int = 0x20000;

/// Some bytes, for shm_ring_send_batch().
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_bytes {
    /// The first of them.
    pub data: *const c_void,
    /// How many there are.
    pub size: usize,
}

/// A slot: room for a message, from shm_ring_reserve() to shm_ring_commit() or shm_ring_abort().
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_slot {
    /// The first of its bytes, 8-byte aligned.
    pub data: *mut c_void,
    /// How many there are.
    pub size: usize,
    /// A number that no other slot of this process has, never 0.
    pub number: u64,
}

/// A message in place, from shm_ring_peek() to shm_ring_release().
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_message {
    /// The first of its bytes, 8-byte aligned.
    pub data: *const c_void,
    /// How many there are.
    pub size: usize,
    /// A number that no other access to a message in this process has, never 0.
    pub number: u64,
}

/// Opens a ring, or makes it.
///
/// capacity: the bytes of all messages together, and so the length of the longest; 64 or more. 0 opens
/// one that exists as it is, whatever its capacity and options are.
/// flags: also SHM_MANY_SENDERS, SHM_DROP_OLDEST.
///
/// Returns: a ring, to be closed by shm_ring_close(); or NULL.
/// Errors: those of opening; EACCES if the segment's mode does not let this process write.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_open(
    name: *const c_char,
    capacity: usize,
    flags: c_int,
) -> *mut shm_ring {
    // SAFETY: named accepts every pointer.
    open(capacity, flags, |flags| unsafe { named(name, flags) })
}

/// The same by path and project id; EFAULT if path is NULL.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_open_key(
    path: *const c_char,
    proj_id: c_int,
    capacity: usize,
    flags: c_int,
) -> *mut shm_ring {
    // SAFETY: the caller hands over a string, or a pointer that leads nowhere.
    open(capacity, flags, |flags| unsafe {
        keyed(path, proj_id, flags)
    })
}

/// The same in a segment, at an offset: 1568 bytes and the capacity.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_ring_open_in(
    id: c_int,
    offset: usize,
    capacity: usize,
    flags: c_int,
) -> *mut shm_ring {
    open(capacity, flags, |flags| within(id, offset, flags))
}

/// Where the next handle begins to number its slots and messages.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

fn open(
    capacity: usize,
    flags: c_int,
    place: impl FnOnce(c_int) -> Result<Place, Error>,
) -> *mut shm_ring {
    let option = |flag, option| if flags & flag != 0 { option } else { 0 };
    let options = option(SHM_MANY_SENDERS, MANY_SENDERS) | option(SHM_DROP_OLDEST, DROP_OLDEST);
    handle(keeping_errno(|| {
        let place = place(flags & !(SHM_MANY_SENDERS | SHM_DROP_OLDEST))?;
        // Relaxed: only has to differ from all others. No handle lives to have as many slots.
        let first = NUMBERS.fetch_add(1 << 40, Relaxed);
        Ok(shm_ring {
            raw: RawRing::open(place, capacity, options)?,
            sending: UnsafeCell::new(Sending {
                end: None,
                slot: first,
            }),
            receiving: UnsafeCell::new(Receiving {
                end: None,
                peeked: None,
                message: first,
            }),
        })
    }))
}

/// What both sides of a ring need, and what the sending one has.
///
/// # Safety
/// As for `object`; and no other thread may send meanwhile.
unsafe fn sending<'a>(ring: *mut shm_ring) -> Result<(&'a RawRing, &'a mut Sending), Error> {
    // SAFETY: the caller's promise.
    let ring = unsafe { object(ring) }?;
    // SAFETY: this is only for the thread that sends.
    Ok((&ring.raw, unsafe { &mut *ring.sending.get() }))
}

/// The same of the receiving side.
///
/// # Safety
/// As for `object`; and no other thread may receive meanwhile.
unsafe fn receiving<'a>(ring: *mut shm_ring) -> Result<(&'a RawRing, &'a mut Receiving), Error> {
    // SAFETY: the caller's promise.
    let ring = unsafe { object(ring) }?;
    // SAFETY: this is only for the thread that receives.
    Ok((&ring.raw, unsafe { &mut *ring.receiving.get() }))
}

impl Sending {
    /// The sending end, which this process takes when it first sends.
    fn end(&mut self, raw: &RawRing, action: Action) -> Result<&mut SendEnd, Error> {
        if self.end.as_ref().is_some_and(|end| raw.is_reserved(end)) {
            return Err(reserved(raw, action));
        }
        // Not yet, or in a child of whoever has it.
        if !self.end.as_ref().is_some_and(SendEnd::is_ours) {
            self.end = Some(raw.sender()?);
        }
        let end = self.end.as_mut();
        end.ok_or_else(|| Error::invalid("shm_ring", "no sender"))
    }

    /// The end that has reserved this slot, if that was the last one.
    ///
    /// # Safety
    /// `slot` must be NULL, or lead to a slot.
    unsafe fn end_of(
        &mut self,
        raw: &RawRing,
        slot: *const shm_slot,
        action: Action,
    ) -> Result<&mut SendEnd, Error> {
        // SAFETY: the caller's promise.
        let number = unsafe { read(slot) }
            .ok_or_else(|| null(raw, action))?
            .number;
        match &mut self.end {
            Some(end) if number == self.slot => Ok(end),
            _ => Err(not_held(raw, action)),
        }
    }

    /// Fails, and changes nothing, while another thread may be writing into a slot.
    fn give_back(&mut self, raw: &RawRing) -> Result<(), Error> {
        if let Some(end) = &mut self.end {
            raw.expect_no_writer(end)?;
            raw.drop_sender(end);
            self.end = None;
        }
        Ok(())
    }
}

/// The error for a slot or a message that this handle does not hold.
#[cold]
fn not_held(raw: &RawRing, action: Action) -> Error {
    let error = raw.object().error(ErrorKind::NotOwner);
    error.during(action)
}

/// The error for a slot or a message that is NULL.
#[cold]
fn null(raw: &RawRing, action: Action) -> Error {
    let error = raw.object().error(ErrorKind::BadPointer);
    error.during(action).with(What::Null, 0, 0)
}

/// The error for a handle that has a slot reserved.
#[cold]
fn reserved(raw: &RawRing, action: Action) -> Error {
    let error = raw.object().error(ErrorKind::InvalidArgument);
    error.during(action).with(What::Reserved, 0, 0)
}

/// Reads a structure of the caller's, aligned or not; `None` for NULL.
///
/// # Safety
/// `from` must be NULL, or lead to one.
unsafe fn read<T: Copy>(from: *const T) -> Option<T> {
    // SAFETY: the caller's promise.
    (!from.is_null()).then(|| unsafe { from.read_unaligned() })
}

impl Receiving {
    /// The receiving end, the same way.
    fn end(&mut self, raw: &RawRing) -> Result<&mut ReceiveEnd, Error> {
        if !self.end.as_ref().is_some_and(ReceiveEnd::is_ours) {
            self.peeked = None;
            self.end = Some(raw.receiver()?);
        }
        let end = self.end.as_mut();
        end.ok_or_else(|| Error::invalid("shm_ring", "no receiver"))
    }

    /// The same for a call that looks for a message: one that was peeked at is looked at anew.
    fn end_to_receive(&mut self, raw: &RawRing) -> Result<&mut ReceiveEnd, Error> {
        self.peeked = None;
        self.end(raw)
    }

    fn give_back(&mut self, raw: &RawRing) {
        self.peeked = None;
        if let Some(mut end) = self.end.take() {
            raw.drop_receiver(&mut end);
        }
    }
}

impl Drop for shm_ring {
    fn drop(&mut self) {
        // `shm_ring_close` has done so already.
        let _ = self.sending.get_mut().give_back(&self.raw);
        self.receiving.get_mut().give_back(&self.raw);
    }
}

/// Sends a message, waiting for room.
///
/// Returns: 0, or -1.
/// Errors: ETIMEDOUT, EAGAIN; EMSGSIZE it is longer than the capacity; EBUSY somebody else who
/// lives is the sender (another process, or another handle of this one); ENOSPC there are 64
/// senders; EPIPE, EOWNERDEAD there is no room, and no receiver any more; EBADMSG somebody has
/// overwritten the ring; EINVAL a slot is reserved; EDEADLK this thread has one reserved by another
/// handle of a ring for many senders.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_send(
    ring: *mut shm_ring,
    message: *const c_void,
    size: usize,
    timeout: i64,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending(ring) }?;
        // SAFETY: the caller hands over that many bytes.
        let message = unsafe { source(message, size) }?;
        let end = sending.end(raw, Action::Send)?;
        raw.send(end, message, deadline(timeout)?).map(|()| 0)
    }))
}

/// Sends several messages, as many as there is room for in time; receivers see those that go
/// together at once. Stops at a message that cannot be sent, as sendmmsg(2) does: those before it are
/// sent, and a call that begins with it reports the error.
///
/// messages: `count` structures. Each is read once; they, and the bytes of the messages, may lie in
/// shared memory.
///
/// Returns: how many were sent, from the first on; or -1, none.
/// Errors: those of shm_ring_send().
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_send_batch(
    ring: *mut shm_ring,
    messages: *const shm_bytes,
    count: usize,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending(ring) }?;
        let Some(size) = count.checked_mul(size_of::<shm_bytes>()) else {
            return Err(Error::invalid(
                "shm_ring",
                "so many messages do not fit into memory",
            ));
        };
        expect_bytes(messages.cast(), size)?;
        let end = sending.end(raw, Action::Send)?;
        // Each structure is read once: another process may write it, if it lies in shared memory.
        let messages = (0..count).map(|i| {
            // SAFETY: `i` is below the number of structures that the caller hands over, and each of
            // them stands for bytes that the caller hands over.
            unsafe {
                let shm_bytes { data, size } = messages.add(i).read_volatile();
                source(data, size)
            }
        });
        let sent = raw.send_batch(end, messages, deadline(timeout)?)?;
        Ok(sent as isize)
    }))
}

/// Reserves room for a message of `size` bytes, to be written in place. shm_ring_commit() sends it,
/// shm_ring_abort() gives it up; until then the handle sends nothing else. In a ring for many senders
/// the other senders wait until then, and both must be called by the thread that has reserved the slot.
///
/// In a ring for one sender, any thread may call them, one at a time. If the thread that has reserved it
/// ends before, the next call that sends gives the slot up: with this handle, or in a ring for many senders
/// with any. shm_ring_end_sending() and shm_ring_close() give it up, too, but as long as that thread lives
/// in no other one (EPERM). Its bytes must not be written any more.
///
/// slot: where to store the slot.
///
/// Returns: 0, or -1.
/// Errors: those of shm_ring_send(); EFAULT slot is NULL.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_reserve(
    ring: *mut shm_ring,
    size: usize,
    slot: *mut shm_slot,
    timeout: i64,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending(ring) }?;
        if slot.is_null() {
            return Err(null(raw, Action::Reserve));
        }
        let end = sending.end(raw, Action::Reserve)?;
        let offset = raw.reserve(end, size, deadline(timeout)?)?;
        sending.slot += 1;
        let reserved = shm_slot {
            data: raw.view().area.address(offset).cast(),
            size,
            number: sending.slot,
        };
        // SAFETY: the caller hands over room for a slot.
        unsafe { slot.write_unaligned(reserved) };
        Ok(0)
    }))
}

/// Sends the message that was written in place, with its first `size` bytes.
///
/// Returns: 0; or -1, and then nothing is changed, and a slot that is reserved stays reserved.
/// Errors: EPERM the slot is no longer reserved (it was committed or given up), or another thread or
/// this process' parent has reserved it; EINVAL it has fewer bytes; EFAULT slot is NULL.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_commit(
    ring: *mut shm_ring,
    slot: *const shm_slot,
    size: usize,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending(ring) }?;
        // SAFETY: the caller hands over a slot.
        let end = unsafe { sending.end_of(raw, slot, Action::Commit) }?;
        raw.commit(end, size).map(|()| 0)
    }))
}

/// Gives up what was reserved.
///
/// Returns: 0; or -1, and then nothing is changed.
/// Errors: EPERM as for shm_ring_commit(); EFAULT slot is NULL.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_abort(ring: *mut shm_ring, slot: *const shm_slot) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending(ring) }?;
        // SAFETY: the caller hands over a slot.
        let end = unsafe { sending.end_of(raw, slot, Action::Abort) }?;
        raw.abort(end).map(|()| 0)
    }))
}

/// Receives a message into a buffer of `size` bytes, waiting for it.
///
/// Returns: its length, 0 or more; or -1.
/// Errors: ETIMEDOUT, EAGAIN; EMSGSIZE the buffer is too short, and the message stays; EBUSY somebody
/// else who lives is the receiver; EPIPE, EOWNERDEAD there is no message, and no sender any
/// more; EBADMSG somebody has overwritten the ring.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_recv(
    ring: *mut shm_ring,
    buffer: *mut c_void,
    size: usize,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving(ring) }?;
        // SAFETY: the caller hands over that many bytes.
        let buffer = unsafe { self::buffer(buffer, size) }?;
        let end = receiving.end_to_receive(raw)?;
        let len = raw.receive(end, buffer, deadline(timeout)?)?;
        Ok(len as isize)
    }))
}

/// Receives several messages, one behind the other in the buffer, and stores their lengths: waits for
/// the first, and takes those that are there with it and fit.
///
/// lengths: room for `count` of them.
///
/// Returns: how many were received; or -1, none.
/// Errors: those of shm_ring_recv().
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_recv_batch(
    ring: *mut shm_ring,
    buffer: *mut c_void,
    size: usize,
    lengths: *mut usize,
    count: usize,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving(ring) }?;
        // SAFETY: the caller hands over that many bytes.
        let buffer = unsafe { self::buffer(buffer, size) }?;
        let Some(room) = count.checked_mul(size_of::<usize>()) else {
            return Err(Error::invalid(
                "shm_ring",
                "so many messages do not fit into memory",
            ));
        };
        expect_bytes(lengths.cast(), room)?;
        // SAFETY: the caller hands over room for `count` of them.
        let store = |at, len| unsafe { lengths.add(at).write(len) };
        let end = receiving.end_to_receive(raw)?;
        let received = raw.receive_batch(end, buffer, count, deadline(timeout)?, store)?;
        Ok(received as isize)
    }))
}

/// Waits for a message, and gives access to it in place. It stays the next one until
/// shm_ring_release(). A call that peeks again or receives begins with the same message, and ends the
/// access that this call has given, also if it fails.
///
/// message: where to store the message.
///
/// Returns: its length, 0 or more; or -1.
/// Errors: those of shm_ring_recv(); EFAULT message is NULL.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_peek(
    ring: *mut shm_ring,
    message: *mut shm_message,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving(ring) }?;
        if message.is_null() {
            return Err(null(raw, Action::Peek));
        }
        let end = receiving.end_to_receive(raw)?;
        let found = raw.peek(end, deadline(timeout)?)?;
        receiving.peeked = Some(found);
        receiving.message += 1;
        let in_place = shm_message {
            data: raw.view().area.address(found.offset).cast(),
            size: found.len,
            number: receiving.message,
        };
        // SAFETY: the caller hands over room for a message.
        unsafe { message.write_unaligned(in_place) };
        Ok(found.len as isize)
    }))
}

/// Releases the message that was peeked at, so that the following one is the next.
///
/// Returns: 0, or -1.
/// Errors: EPERM it was released or received, or peeked at again, or this process' parent has peeked at
/// it; then nothing is changed; ESTALE the sender of a ring with SHM_DROP_OLDEST has dropped it: what
/// was read of it may be anything; EFAULT message is NULL.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_release(
    ring: *mut shm_ring,
    message: *const shm_message,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving(ring) }?;
        // SAFETY: the caller hands over a message, or NULL.
        let number = unsafe { read(message) }
            .ok_or_else(|| null(raw, Action::Release))?
            .number;
        let last = receiving.message;
        match (
            receiving.peeked.take_if(|_| number == last),
            &mut receiving.end,
        ) {
            (Some(found), Some(end)) => raw.release(end, found).map(|()| 0),
            _ => Err(not_held(raw, Action::Release)),
        }
    }))
}

/// Becomes the sender, or one of them, before there is anything to send.
///
/// Returns: 0, also if this process is it already; or -1.
/// Errors: EBUSY, ENOSPC, EBADMSG, EINVAL as for shm_ring_send().
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_begin_sending(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending(ring) }?;
        sending.end(raw, Action::BecomeSender).map(|_| 0)
    }))
}

/// Becomes the receiver, before there is anything to receive.
///
/// Returns: 0, also if this process is it already; or -1.
/// Errors: EBUSY as for shm_ring_recv().
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_begin_receiving(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving(ring) }?;
        receiving.end(raw).map(|_| 0)
    }))
}

/// Releases the sender's role, and a slot that is reserved. The receiver gets EPIPE when it has received
/// everything, if this was the last sender.
///
/// Returns: 0, also if this process was not the sender; or -1, and then nothing is changed.
/// Errors: EPERM another thread, which is live, has a slot reserved with this handle.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_end_sending(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending(ring) }?;
        sending.give_back(raw).map(|()| 0)
    }))
}

/// Gives the receiver's part back.
///
/// Returns: 0, also if this process was not the receiver; or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_end_receiving(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving(ring) }?;
        receiving.give_back(raw);
        Ok(0)
    }))
}

/// The length of the longest message in bytes: the capacity it was made with, rounded up to a
/// multiple of 8.
///
/// Returns: that; or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_capacity(ring: *const shm_ring) -> isize {
    // SAFETY: the caller hands over an open ring.
    or_minus_one(unsafe { object(ring) }.map(|ring| ring.raw.view().capacity as isize))
}

/// How many bytes are in use at this moment, by messages and what they need beside.
///
/// Returns: 0 or more; or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_used(ring: *const shm_ring) -> isize {
    // SAFETY: the caller hands over an open ring.
    or_minus_one(unsafe { object(ring) }.map(|ring| ring.raw.view().used() as isize))
}

/// How many messages were dropped to make room, since the ring was made.
///
/// Returns: 0 or more; or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_dropped(ring: *const shm_ring) -> i64 {
    // SAFETY: the caller hands over an open ring.
    let ring = unsafe { object(ring) };
    or_minus_one(ring.map(|ring| (ring.raw.view().words.dropped() & i64::MAX as u64) as i64))
}

/// The id of the segment that it lies in.
///
/// Returns: the id, or -1.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_id(ring: *const shm_ring) -> c_int {
    // SAFETY: the caller hands over an open ring.
    or_minus_one(unsafe { object(ring) }.map(|ring| ring.raw.object().id()))
}

/// Says whether the segment that it lies in has been removed. If so, only the processes that have this
/// ring open still share it, and a process that opens it anew gets another one: close this one and
/// open it anew to share that. Makes one system call, which takes some 0.3 us.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EACCES only before Linux 4.17, if this process has lost read permission.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_removed(ring: *const shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object(ring) }?.raw.object().is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes it, and releases the roles that this process has by this handle, and a slot that is reserved.
/// What was sent stays.
///
/// While another thread, which is live, has a slot reserved with this handle, that thread may be writing
/// into it: then the ring is not closed, errno is EPERM, and the handle stays valid.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_close(ring: *mut shm_ring) {
    let given_back = || {
        // SAFETY: the caller hands over an open ring, and no other thread uses it.
        let (raw, sending) = unsafe { sending(ring) }?;
        sending.give_back(raw).map(|()| 0)
    };
    if ring.is_null() || or_minus_one::<c_int>(keeping_errno(given_back)) == 0 {
        // SAFETY: the caller gives it up.
        unsafe { close(ring) }
    }
}
