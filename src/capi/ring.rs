//! Rings for C.

use super::{
    SHMKEY_FOREVER,
    failure::{keeping_errno, or_minus_one, or_null},
    interrupt::{canceller, set_interruptible, shm_canceller},
    object::{buffer, close, deadline, expect_array, fd_of, handle, message, object},
    place::{described, named, shm_place},
};
use crate::{
    Error, ErrorKind, Place,
    error::{Action, What},
    kind::{DROP_OLDEST, Kind, MANY_SENDERS},
    object::ring::{Piece, RawRing, ReceiveEnd, SendEnd},
    sync::{self, ring::Found},
};
use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_int, c_void},
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Messages from one process to another, of any length up to the ring's capacity, in order and without loss.
///
/// The first handle that sends is the sender, and the first that receives is the receiver, until the handle is closed
/// or releases the role, or until its process ends; then another handle can take the role. With SHMKEY_MANY_SENDERS
/// there are up to 64 senders. What was sent stays in the ring, even while no process has it open.
///
/// A message that was committed is received, whichever process dies; one that was not committed is never received. The
/// next receiver gets the messages that a dead one had not released. When all senders have released their roles, the
/// receiver gets the messages that are left and then EPIPE; or EOWNERDEAD, if a sender died. A sender that waits for
/// room gets the same errors when the receiver has released its role or died. Until a process first takes a role, the
/// other side waits for it. After that, the ring remembers how the role ended, also for later runs of the programs: a
/// receiver that starts before the next sender gets EPIPE or EOWNERDEAD at once if the ring is empty. To make it wait
/// for that sender, call shm_ring_set_keep_waiting(), or remove the ring at the end of each run.
///
/// A child made by fork(2) may use its parent's handle. It does not have its parent's roles, slot or message: while
/// the parent has a role, the calls of the child that need it fail with EBUSY. In a ring with SHMKEY_MANY_SENDERS, the
/// child becomes one more sender.
///
/// Memory: at most 2560 bytes plus 5/4 of the capacity. A message takes its length plus a header of 8 bytes (64 bytes
/// if it is longer than 16 KiB), rounded up to a multiple of 64. There is room for a message if this message and those
/// that are not released take together at most the capacity plus 64 bytes, rounded up to a multiple of 64. So an empty
/// ring has room for a message of the whole capacity.
#[allow(non_camel_case_types)]
pub struct shm_ring {
    raw: RawRing,
    /// One thread at a time uses each; the two may be used at the same time.
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
    /// The peeked message that is not released yet.
    peeked: Option<sync::ring::Span>,
    /// The number of the last peeked message.
    message: u64,
    /// Whether it continues to wait when all senders have released their roles or died.
    keep_waiting: bool,
}

/// An option of a ring: up to 64 handles, in one process or in many, send at a time.
pub const SHMKEY_MANY_SENDERS: c_int = 1 << 16;
/// An option of a ring: a sender without room drops the oldest messages and does not wait. Messages are
/// then lost; shm_ring_dropped() counts them.
pub const SHMKEY_DROP_OLDEST: c_int = 1 << 17;

/// A message for shm_ring_send_batch() and shm_broadcast_publish_batch().
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_bytes {
    /// The first byte.
    pub data: *const c_void,
    /// The number of bytes.
    pub size: usize,
}

/// A slot: room for a message, from shm_ring_reserve() to shm_ring_commit() or shm_ring_abort(), or from
/// shm_broadcast_reserve() to shm_broadcast_commit() or shm_broadcast_abort().
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_slot {
    /// The first byte, 8-byte aligned.
    pub data: *mut c_void,
    /// The number of bytes.
    pub size: usize,
    /// A number that no other slot of this process has; never 0.
    pub number: u64,
}

/// A message in place, from shm_ring_peek() to shm_ring_release(), or from shm_broadcast_peek() to
/// shm_broadcast_release().
#[allow(non_camel_case_types)]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_message {
    /// The first byte, 8-byte aligned.
    pub data: *const c_void,
    /// The number of bytes.
    pub size: usize,
    /// A number that no other peeked message of this process has, never 0.
    pub number: u64,
}

/// Opens a ring, or creates it. All processes make this call. If another process is creating the ring, this call waits
/// up to 5 seconds for it to finish.
///
/// name: 1 to 256 bytes of any value and a NUL.
/// capacity: the length of the longest message in bytes, and the room for all messages; 64 or more. All processes give
/// the same. 0 opens a ring that exists, whatever its capacity and options are.
/// options: 0, or SHMKEY_MANY_SENDERS, SHMKEY_DROP_OLDEST or both. All processes give the same.
/// flags: SHMKEY_CREATE with the permission bits of a new segment, 0600 or more, as in SHMKEY_CREATE | 0600,
/// creates it if it does not exist; 0 opens one that exists.
///
/// Returns: a handle, which shm_ring_close() closes; or NULL. The segment stays until
/// shm_remove(shm_ring_id(ring)).
/// Errors: ENOENT it does not exist, and flags has no SHMKEY_CREATE or capacity is 0; EINVAL the name is empty or too
/// long, capacity is 1 to 63 or too large, the mode lacks a bit of 0600, or options or flags has an undefined bit (a
/// flag is undefined in options, and an option in flags); EFAULT the name is NULL or an invalid pointer; EACCES flags
/// has SHMKEY_READ_ONLY, or the segment's mode does not let this process write; ENOTUNIQ another name or file has this
/// key; EPROTOTYPE, EPROTO, EMEDIUMTYPE another kind of object, another capacity or other options, or no object of this
/// library is there; EPROTONOSUPPORT, ENOEXEC another version of this library, or a program for another architecture,
/// created it; ENODATA, EBADMSG the segment is too small or malformed; ETIMEDOUT the process that creates it is live
/// and has not finished; ENOSPC, ENOMEM, ENOSYS as for shmget(2).
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_open(
    name: *const c_char,
    capacity: usize,
    options: c_int,
    flags: c_int,
) -> *mut shm_ring {
    // SAFETY: named accepts every pointer.
    open(capacity, options, || unsafe {
        named(Kind::Ring, name, flags)
    })
}

/// Opens a ring at a place: by a name, by a path and a project id, or in a segment that exists, where it takes at most
/// 2560 bytes plus 5/4 of the capacity. Apart from that, it does the same as shm_ring_open().
///
/// place: where the ring lies, how long to wait for its creator, and who must own the segment. It is read during the
/// call only.
/// capacity: the length of the longest message in bytes, and the room for all messages; 64 or more. All processes give
/// the same. 0 opens a ring that exists, whatever its capacity and options are.
/// options: 0, or SHMKEY_MANY_SENDERS, SHMKEY_DROP_OLDEST or both. All processes give the same.
/// flags: SHMKEY_CREATE creates it if it does not exist; beside it, the permission bits of a new segment, if the
/// place has a name or a path. 0 opens one that exists.
///
/// Returns: a handle, which shm_ring_close() closes; or NULL.
/// Errors: those of shm_ring_open(); EINVAL the place names no segment or names one in two ways, its offset is not a
/// multiple of 64, or the segment has no room for the object there, or flags has SHMKEY_CREATE and the expected owner
/// is not the user of this process; EPERM the segment has another owner or creator; EIDRM the segment is removed and
/// destroyed during the call; EFAULT place is NULL; and, with a path, those of shm_open_key().
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_open_at(
    place: *const shm_place,
    capacity: usize,
    options: c_int,
    flags: c_int,
) -> *mut shm_ring {
    // SAFETY: the caller hands over a place.
    open(capacity, options, || unsafe {
        described(Kind::Ring, place, flags)
    })
}

/// The number with which the next handle begins to number its slots and messages.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

fn open(
    capacity: usize,
    options: c_int,
    place: impl FnOnce() -> Result<Place, Error>,
) -> *mut shm_ring {
    handle(keeping_errno(|| {
        let place = place()?;
        let options =
            options_of(options).map_err(|error| error.opening(Kind::Ring, place.site.name()))?;
        // Relaxed: the number only has to differ from all others. No handle lives long enough to use 2⁴⁰ numbers.
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
                keep_waiting: false,
            }),
        })
    }))
}

/// Converts the options of a ring, an argument of C.
fn options_of(options: c_int) -> Result<u32, Error> {
    const OF_FLAGS: c_int = 0o777 | libc::IPC_CREAT | libc::IPC_EXCL | libc::SHM_RDONLY;
    let unknown = options & !(SHMKEY_MANY_SENDERS | SHMKEY_DROP_OLDEST);
    if unknown & OF_FLAGS != 0 {
        return Err(Error::invalid(
            "open",
            "SHMKEY_CREATE and the permission bits go into flags, the last argument, and not into options, which \
             are SHMKEY_MANY_SENDERS and SHMKEY_DROP_OLDEST",
        ));
    }
    if unknown != 0 {
        return Err(Error::undefined_flags("open", unknown));
    }
    let option = |flag, option| if options & flag != 0 { option } else { 0 };
    Ok(option(SHMKEY_MANY_SENDERS, MANY_SENDERS) | option(SHMKEY_DROP_OLDEST, DROP_OLDEST))
}

/// Returns the ring, and what its sending side has.
///
/// # Safety
/// As for `object`; and no other thread may send at the same time.
unsafe fn sending<'a>(
    call: &'static str,
    ring: *mut shm_ring,
) -> Result<(&'a RawRing, &'a mut Sending), Error> {
    // SAFETY: the caller's promise.
    let ring = unsafe { object(call, ring) }?;
    // SAFETY: this is only for the thread that sends.
    Ok((&ring.raw, unsafe { &mut *ring.sending.get() }))
}

/// Returns the ring, and what its receiving side has.
///
/// # Safety
/// As for `object`; and no other thread may receive at the same time.
unsafe fn receiving<'a>(
    call: &'static str,
    ring: *mut shm_ring,
) -> Result<(&'a RawRing, &'a mut Receiving), Error> {
    // SAFETY: the caller's promise.
    let ring = unsafe { object(call, ring) }?;
    // SAFETY: this is only for the thread that receives.
    Ok((&ring.raw, unsafe { &mut *ring.receiving.get() }))
}

/// Returns the same for a call that receives or peeks, which ends the access to a peeked message.
///
/// # Safety
/// As for `receiving`.
unsafe fn receiving_anew<'a>(
    call: &'static str,
    ring: *mut shm_ring,
) -> Result<(&'a RawRing, &'a mut Receiving), Error> {
    // SAFETY: the caller's promise.
    let (raw, receiving) = unsafe { receiving(call, ring) }?;
    receiving.peeked = None;
    Ok((raw, receiving))
}

/// Returns the ring, its sending end and the message, if all arguments are valid and the handle has a sending end.
///
/// # Safety
/// As for `sending` and for `message`.
#[inline(always)]
unsafe fn to_send<'a>(
    ring: *mut shm_ring,
    bytes: *const c_void,
    size: usize,
    timeout: i64,
) -> Option<(&'a RawRing, &'a mut SendEnd, sync::Source<'a>)> {
    // SAFETY: the caller's promise.
    let ring = unsafe { ring.as_ref() }?;
    // SAFETY: the caller's promise: this is only for the thread that sends.
    let end = unsafe { &mut (*ring.sending.get()).end }.as_mut()?;
    if bytes.is_null() || timeout < SHMKEY_FOREVER {
        return None;
    }
    // SAFETY: the caller's promise. A message that is too long is longer than any capacity, and not sent.
    let bytes = unsafe { sync::Source::new(bytes.cast(), size) };
    Some((&ring.raw, end, bytes))
}

/// Returns the ring, its receiving side and the buffer, if all arguments are valid.
///
/// # Safety
/// As for `receiving` and for `buffer`.
#[inline(always)]
unsafe fn to_receive<'a>(
    ring: *mut shm_ring,
    bytes: *mut c_void,
    size: usize,
    timeout: i64,
) -> Option<(&'a RawRing, &'a mut Receiving, sync::Buffer<'a>)> {
    // SAFETY: the caller's promise.
    let ring = unsafe { ring.as_ref() }?;
    // SAFETY: the caller's promise: this is only for the thread that receives.
    let receiving = unsafe { &mut *ring.receiving.get() };
    if bytes.is_null() || size > isize::MAX as usize || timeout < SHMKEY_FOREVER {
        return None;
    }
    // SAFETY: the caller's promise.
    let buffer = unsafe { sync::Buffer::new(bytes.cast(), size) };
    Some((&ring.raw, receiving, buffer))
}

impl Sending {
    /// Returns the sending end, which this process takes when it first sends.
    fn end(&mut self, raw: &RawRing, action: Action) -> Result<&mut SendEnd, Error> {
        if self.end.as_ref().is_some_and(|end| raw.is_reserved(end)) {
            return Err(refused(raw, action, What::Reserved, 0));
        }
        // This process has not taken the role, or has inherited it from its parent.
        if !self.end.as_ref().is_some_and(SendEnd::is_ours) {
            self.end = Some(raw.sender(Some(raw.object().interrupt()))?);
        }
        let end = self.end.as_mut();
        end.ok_or_else(|| Error::invalid("shm_ring", "no sender"))
    }

    /// Returns the end, if this slot is the last one that it has reserved.
    ///
    /// # Safety
    /// `slot` must be NULL, or point to a slot.
    unsafe fn end_of(
        &mut self,
        raw: &RawRing,
        slot: *const shm_slot,
        action: Action,
    ) -> Result<&mut SendEnd, Error> {
        // SAFETY: the caller's promise.
        let number = unsafe { read(slot) }
            .ok_or_else(|| refused(raw, action, What::Null, 0))?
            .number;
        match &mut self.end {
            Some(end) if number == self.slot => Ok(end),
            _ => Err(not_held(raw, action)),
        }
    }

    /// Releases the role. Fails, and changes nothing, while another thread may be writing into a slot.
    fn release_role(&mut self, raw: &RawRing) -> Result<(), Error> {
        if let Some(end) = &mut self.end {
            raw.expect_no_writer(end)?;
            raw.drop_sender(end);
            self.end = None;
        }
        Ok(())
    }
}

/// Returns the error for a slot or a message that this handle does not hold.
#[cold]
fn not_held(raw: &RawRing, action: Action) -> Error {
    let error = raw.object().error(ErrorKind::NotOwner);
    error.during(action)
}

/// Returns the error for an argument that is invalid, or a handle in a state that does not permit the operation.
#[cold]
fn refused(raw: &RawRing, action: Action, what: What, number: usize) -> Error {
    let kind = match what {
        What::Null => ErrorKind::BadPointer,
        _ => ErrorKind::InvalidArgument,
    };
    let error = raw.object().error(kind).during(action);
    error.with(what, number as u64, 0)
}

/// Reads a structure of the caller's, aligned or not; `None` for NULL.
///
/// # Safety
/// `from` must be NULL, or point to one.
unsafe fn read<T: Copy>(from: *const T) -> Option<T> {
    // SAFETY: the caller's promise.
    (!from.is_null()).then(|| unsafe { from.read_unaligned() })
}

impl Receiving {
    fn set_keep_waiting(&mut self, on: bool) {
        self.keep_waiting = on;
        if let Some(end) = &mut self.end {
            end.set_keep_waiting(on);
        }
    }

    /// Returns the receiving end, which this process takes when it first receives.
    fn end(&mut self, raw: &RawRing) -> Result<&mut ReceiveEnd, Error> {
        if !self.end.as_ref().is_some_and(ReceiveEnd::is_ours) {
            self.peeked = None;
            let end = raw.receiver(Some(raw.object().interrupt()))?;
            self.end.insert(end).set_keep_waiting(self.keep_waiting);
        }
        let end = self.end.as_mut();
        end.ok_or_else(|| Error::invalid("shm_ring", "no receiver"))
    }

    /// Releases the role, and the peeked message with it.
    fn release_role(&mut self, raw: &RawRing) {
        self.peeked = None;
        if let Some(mut end) = self.end.take() {
            raw.drop_receiver(&mut end);
        }
    }
}

impl Drop for shm_ring {
    fn drop(&mut self) {
        // `shm_ring_close` has released the roles already, or they are released here.
        let _ = self.sending.get_mut().release_role(&self.raw);
        self.receiving.get_mut().release_role(&self.raw);
    }
}

/// Sends a message; waits for room. The first handle that calls this function becomes the sender, even if the call fails
/// because the message is too long or there is no room. It stays the sender until it is closed, ends sending, or its
/// process ends. A ring with SHMKEY_MANY_SENDERS has up to 64 senders. Signals do not end the wait, unless
/// shm_ring_set_interruptible() allows it.
///
/// ring: a handle that is open.
/// message: the bytes, which are copied and may lie in shared memory.
/// size: how many bytes, 0 to the ring's capacity.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: 0; or -1.
/// Errors: ETIMEDOUT there was no room in time; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; both also if
/// another sender of a ring with SHMKEY_MANY_SENDERS has a slot reserved, or was interrupted while it was sending;
/// EINTR, ECANCELED a signal handler or shm_cancel() has ended the wait; EMSGSIZE size is larger than the capacity;
/// EBUSY another handle is the sender, and its process is not known to be dead; ENOSPC there are 64 senders; EPIPE,
/// EOWNERDEAD there is no room, and the receiver has released its role or died; EBADMSG another program has
/// overwritten the ring; EINVAL this handle has a slot reserved, or timeout is less than -1; EDEADLK this thread has a
/// slot reserved by another handle of a ring with SHMKEY_MANY_SENDERS; EFAULT ring is NULL, or message is NULL and
/// size is not 0.
/// Threads: one at a time sends with a handle, while another receives with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_send(
    ring: *mut shm_ring,
    message: *const c_void,
    size: usize,
    timeout: i64,
) -> c_int {
    // SAFETY: the caller hands over an open ring and that many bytes, and sends by one thread at a time.
    unsafe {
        // Sending at once does not change errno, because no function that it calls does.
        if let Some((raw, end, bytes)) = to_send(ring, message, size, timeout)
            && raw.send_at_once(end, bytes)
        {
            return 0;
        }
        send_otherwise(ring, message, size, timeout)
    }
}

/// Sends a message that was not sent at once.
///
/// # Safety
/// As for `shm_ring_send`.
#[inline(never)]
unsafe fn send_otherwise(
    ring: *mut shm_ring,
    message: *const c_void,
    size: usize,
    timeout: i64,
) -> c_int {
    // SAFETY: the caller's promise.
    if let Some((raw, end, bytes)) = unsafe { to_send(ring, message, size, timeout) }
        && raw.send_short(end, bytes)
    {
        return 0;
    }
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending("shm_ring_send", ring) }?;
        // SAFETY: the caller hands over that many bytes.
        let message = unsafe {
            self::message(
                raw.object(),
                Action::Send,
                raw.view().capacity,
                message,
                size,
            )
        }?;
        let deadline = deadline(raw.object(), Action::Send, timeout)?;
        let end = sending.end(raw, Action::Send)?;
        raw.send_slowly(end, message, &deadline).map(|()| 0)
    }))
}

/// Sends several messages, as many as there is room for before the timeout. Those for which there is room together
/// become visible to the receiver at once. Stops at a message that cannot be sent, as sendmmsg(2) does: those before
/// it are sent, and the next call, which begins with it, reports the error.
///
/// ring: a handle that is open.
/// messages: an array of count structures. Each is read once. The structures, and the bytes that they point to, may
/// lie in shared memory.
/// count: how many messages. If it is 0, the call returns 0 without waiting, and the handle does not become the
/// sender.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: how many messages were sent, beginning with the first; or -1, and then none was.
/// Errors: those of shm_ring_send(); EFAULT messages is NULL and count is not 0; EINVAL count structures do not fit
/// into memory.
/// Threads: one at a time sends with a handle, while another receives with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_send_batch(
    ring: *mut shm_ring,
    messages: *const shm_bytes,
    count: usize,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending("shm_ring_send_batch", ring) }?;
        expect_array(raw.object(), Action::Send, messages, count)?;
        let deadline = deadline(raw.object(), Action::Send, timeout)?;
        if count == 0 {
            return Ok(0);
        }
        let end = sending.end(raw, Action::Send)?;
        // Each structure is read once: another process may write it, if it lies in shared memory.
        let messages = (0..count).map(|i| {
            // SAFETY: `i` is below the number of structures that the caller hands over, and each of
            // them stands for bytes that the caller hands over.
            unsafe {
                let shm_bytes { data, size } = messages.add(i).read_volatile();
                message(raw.object(), Action::Send, raw.view().capacity, data, size)
            }
        });
        let sent = raw.send_batch(end, messages, deadline)?;
        Ok(sent as isize)
    }))
}

/// Reserves room for a message, which the caller writes in place; waits for room. shm_ring_commit() sends the message,
/// and shm_ring_abort() aborts the slot; until then the handle sends nothing else. In a ring with SHMKEY_MANY_SENDERS
/// the other senders wait until then.
///
/// If the thread that has reserved the slot ends, the next call that sends with this handle aborts the slot. In a ring
/// with SHMKEY_MANY_SENDERS, the next call that sends with any handle aborts it; with SHMKEY_NO_WAIT, such a call may
/// fail with EAGAIN until about 10 ms after the thread has ended. shm_ring_end_sending() and shm_ring_close() abort it,
/// too; while that thread is live, they fail in every other thread (EPERM).
///
/// ring: a handle that is open.
/// size: how many bytes, 0 to the ring's capacity.
/// slot: where to store the slot. The caller may write its bytes until the slot is committed or aborted.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: 0; or -1.
/// Errors: those of shm_ring_send(); EFAULT slot is NULL; ENOMEM the slot wraps around the end of the ring's memory,
/// and a buffer of the ring's size, which the handle allocates once, cannot be allocated. A slot of at most an eighth
/// of the capacity, less 8 bytes, never wraps.
/// Threads: one at a time sends with a handle, while another receives with it; not in a signal handler. In a ring with
/// SHMKEY_MANY_SENDERS, the thread that has reserved a slot commits or aborts it.
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
        let (raw, sending) = unsafe { sending("shm_ring_reserve", ring) }?;
        if slot.is_null() {
            return Err(refused(raw, Action::Reserve, What::Null, 0));
        }
        let deadline = deadline(raw.object(), Action::Reserve, timeout)?;
        let end = sending.end(raw, Action::Reserve)?;
        raw.reserve(end, size, &deadline)?;
        let data = raw.slot(end).map_or(ptr::null_mut(), Piece::address);
        sending.slot += 1;
        let reserved = shm_slot {
            data: data.cast(),
            size,
            number: sending.slot,
        };
        // SAFETY: the caller hands over room for a slot.
        unsafe { slot.write_unaligned(reserved) };
        Ok(0)
    }))
}

/// Sends the message that was written into a slot.
///
/// ring: the handle that has reserved the slot.
/// slot: as shm_ring_reserve() has stored it.
/// size: the length of the message in bytes, at most that of the slot. The message begins at the slot's first byte.
///
/// Returns: 0; or -1, and then nothing has changed: a reserved slot stays reserved.
/// Errors: EPERM the slot is no longer reserved, or was reserved by this process's parent or, in a ring with
/// SHMKEY_MANY_SENDERS, by another thread; EINVAL the slot has fewer bytes; EFAULT ring or slot is NULL.
/// Threads: one at a time sends with a handle; in a ring with SHMKEY_MANY_SENDERS, the one that has reserved the slot;
/// not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_commit(
    ring: *mut shm_ring,
    slot: *const shm_slot,
    size: usize,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending("shm_ring_commit", ring) }?;
        // SAFETY: the caller hands over a slot.
        let end = unsafe { sending.end_of(raw, slot, Action::Commit) }?;
        raw.commit(end, size).map(|()| 0)
    }))
}

/// Aborts a slot; sends nothing.
///
/// ring: the handle that has reserved the slot.
/// slot: as shm_ring_reserve() has stored it.
///
/// Returns: 0; or -1, and then nothing has changed.
/// Errors: EPERM the slot is no longer reserved, or was reserved by this process's parent or, in a ring with
/// SHMKEY_MANY_SENDERS, by another thread; EFAULT ring or slot is NULL.
/// Threads: one at a time sends with a handle; in a ring with SHMKEY_MANY_SENDERS, the one that has reserved the slot;
/// not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_abort(ring: *mut shm_ring, slot: *const shm_slot) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending("shm_ring_abort", ring) }?;
        // SAFETY: the caller hands over a slot.
        let end = unsafe { sending.end_of(raw, slot, Action::Abort) }?;
        raw.abort(end).map(|()| 0)
    }))
}

/// Receives a message into a buffer; waits for one. The first handle that receives is the receiver until it is closed,
/// ends receiving, or its process ends. Signals do not end the wait, unless shm_ring_set_interruptible() allows it.
///
/// ring: a handle that is open.
/// buffer: room for size bytes.
/// size: in bytes; the ring's capacity is enough for every message.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: the message's length in bytes, 0 or more; or -1.
/// Errors: ETIMEDOUT there was no message in time; EAGAIN there is none and timeout is SHMKEY_NO_WAIT; EINTR, ECANCELED
/// a signal handler or shm_cancel() has ended the wait; EMSGSIZE the buffer is too short, and the message stays the
/// next one; EBUSY another handle is the receiver, and its process is not known to be dead; EPIPE there is no message,
/// and all senders have released their roles; EOWNERDEAD the same, but a sender died instead; EBADMSG another program
/// has overwritten the ring; EINVAL timeout is less than -1; EFAULT ring is NULL, or buffer is NULL and size is not 0,
/// or size is larger than PTRDIFF_MAX.
/// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_recv(
    ring: *mut shm_ring,
    buffer: *mut c_void,
    size: usize,
    timeout: i64,
) -> isize {
    // SAFETY: the caller hands over an open ring and that many bytes, and receives by one thread at a time.
    unsafe {
        // Receiving at once does not change errno, because no function that it calls does.
        let received = match to_receive(ring, buffer, size, timeout) {
            Some((raw, receiving, buffer)) => match &mut receiving.end {
                Some(end) => raw.receive_at_once(end, buffer),
                None => Found::Other,
            },
            None => Found::Other,
        };
        match received {
            Found::Usual(len) => {
                (*(*ring).receiving.get()).peeked = None;
                len as isize
            }
            Found::Nothing => receive_soon(ring, buffer, size, timeout),
            Found::Other => receive_other(ring, buffer, size, timeout),
        }
    }
}

/// Receives a message that is not the usual one, or that has not arrived yet.
///
/// # Safety
/// As for `shm_ring_recv`.
#[inline(never)]
unsafe fn receive_other(
    ring: *mut shm_ring,
    buffer: *mut c_void,
    size: usize,
    timeout: i64,
) -> isize {
    // SAFETY: the caller's promise.
    if let Some((raw, receiving, buffer)) = unsafe { to_receive(ring, buffer, size, timeout) }
        && let Some(end) = &mut receiving.end
        && let Some(len) = raw.receive_short(end, buffer)
    {
        receiving.peeked = None;
        return len as isize;
    }
    // SAFETY: the caller's promise.
    unsafe { receive_soon(ring, buffer, size, timeout) }
}

/// Receives a message that had not arrived when the caller looked for it.
///
/// # Safety
/// As for `shm_ring_recv`.
#[inline(never)]
unsafe fn receive_soon(
    ring: *mut shm_ring,
    buffer: *mut c_void,
    size: usize,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving_anew("shm_ring_recv", ring) }?;
        // SAFETY: the caller hands over that many bytes.
        let buffer = unsafe { self::buffer(raw.object(), Action::Receive, buffer, size) }?;
        let deadline = deadline(raw.object(), Action::Receive, timeout)?;
        let end = receiving.end(raw)?;
        let len = raw.receive_soon(end, buffer, &deadline)?;
        Ok(len as isize)
    }))
}

/// Receives several messages: waits for the first, and also takes those that follow it in the ring and fit into the
/// buffer.
///
/// ring: a handle that is open.
/// buffer: room for size bytes. The messages are stored one behind the other.
/// size: in bytes.
/// lengths: room for count lengths, in bytes.
/// count: the largest number of messages. With 0, the call receives none, does not wait, and returns 0.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: how many messages were received; or -1, and then none was.
/// Errors: those of shm_ring_recv(); EFAULT lengths is NULL and count is not 0; EINVAL count lengths do not fit into
/// memory.
/// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler.
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
        let (raw, receiving) = unsafe { receiving_anew("shm_ring_recv_batch", ring) }?;
        // SAFETY: the caller hands over that many bytes.
        let buffer = unsafe { self::buffer(raw.object(), Action::Receive, buffer, size) }?;
        expect_array(raw.object(), Action::Receive, lengths, count)?;
        let deadline = deadline(raw.object(), Action::Receive, timeout)?;
        // SAFETY: the caller hands over room for `count` of them.
        let store = |at, len| unsafe { lengths.add(at).write(len) };
        let end = receiving.end(raw)?;
        let received = raw.receive_batch(end, buffer, count, deadline, store)?;
        Ok(received as isize)
    }))
}

/// Waits for a message and gives access to it in place. The message stays the next one until shm_ring_release().
/// Another call that peeks or receives begins with the same message, and ends this access even if it fails.
///
/// ring: a handle that is open.
/// message: where to store the message.
/// timeout: in nanoseconds, such as SHMKEY_MILLISECONDS(100); SHMKEY_NO_WAIT; SHMKEY_FOREVER.
///
/// Returns: the message's length in bytes, 0 or more; or -1.
/// Errors: those of shm_ring_recv(), except EMSGSIZE; EFAULT message is NULL; ENOMEM the message wraps around the end
/// of the ring's memory, and a buffer of the ring's size, which the handle allocates once, cannot be allocated.
/// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_peek(
    ring: *mut shm_ring,
    message: *mut shm_message,
    timeout: i64,
) -> isize {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving_anew("shm_ring_peek", ring) }?;
        if message.is_null() {
            return Err(refused(raw, Action::Peek, What::Null, 0));
        }
        let deadline = deadline(raw.object(), Action::Peek, timeout)?;
        let end = receiving.end(raw)?;
        let found = raw.peek(end, &deadline)?;
        let piece = raw.message(end, &found);
        let data = piece.map_or(ptr::null_mut(), Piece::address);
        receiving.peeked = Some(found);
        receiving.message += 1;
        let in_place = shm_message {
            data: data.cast_const().cast(),
            size: found.len,
            number: receiving.message,
        };
        // SAFETY: the caller hands over room for a message.
        unsafe { message.write_unaligned(in_place) };
        Ok(found.len as isize)
    }))
}

/// Returns a descriptor that is readable when there may be a message, or when the senders have released their roles or
/// died: for poll(2), select(2), epoll(7) (level- or edge-triggered) and event loops. The handle becomes the receiver,
/// as in shm_ring_recv().
///
/// When the descriptor is readable, call shm_ring_recv(), shm_ring_recv_batch() or shm_ring_peek() with SHMKEY_NO_WAIT
/// until that fails with EAGAIN, which makes the descriptor unreadable until the next message, but for at most 250 ms.
/// A call that fails with EPIPE or EOWNERDEAD leaves it readable; after shm_ring_set_keep_waiting(), receiving does not
/// fail with these. Do not read from the descriptor. The first poll returns at once.
///
/// The descriptor contains two others, which the library opens with it, and the first call that makes a descriptor of
/// another handle readable opens one more, which stays open until the process ends. Do not close any of them. A program
/// that has closed all, as closefrom(3) does, may still close the handle: that closes no descriptor opened since.
///
/// After a call has failed with EAGAIN, the next message costs its sender one system call, which makes the descriptor
/// readable; the messages after it cost none, until a call fails with EAGAIN again. The descriptor also becomes
/// readable 250 ms after each EAGAIN, so the receiver notices a death within 300 ms. A process of another network
/// namespace cannot make the descriptor readable, and its messages are noticed within 250 ms. The same holds for a
/// descriptor for which there was no room, because 48 others already wait for the object.
///
/// ring: a handle that is open.
///
/// Returns: the descriptor, the same for each call, which belongs to the handle: shm_ring_close(),
/// shm_ring_end_receiving() and execve(2) close it; or -1.
/// Errors: EMFILE, ENFILE the process or the system cannot open three more descriptors; ENOMEM, ENOBUFS there is no
/// memory; EADDRINUSE no free socket address was found, try again; EAFNOSUPPORT, EPERM, EACCES, ENOSYS the system does
/// not let this process make a socket of the family AF_UNIX, a timerfd or an epoll descriptor; EBUSY another handle is
/// the receiver, and its process is not known to be dead; EFAULT ring is NULL.
/// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler. A child made by
/// fork(2) must not use its parent's descriptor.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_fd(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving("shm_ring_fd", ring) }?;
        let end = receiving.end(raw)?;
        fd_of(raw.descriptor(end))
    }))
}

/// Returns the receiving end of a ring, for shm_wait_any().
///
/// # Safety
/// As for `receiving`.
pub(super) unsafe fn to_wait<'a>(
    ring: *mut shm_ring,
) -> Result<(&'a RawRing, &'a mut ReceiveEnd), Error> {
    // SAFETY: the caller's promise.
    let (raw, receiving) = unsafe { receiving("shm_wait_any", ring) }?;
    Ok((raw, receiving.end(raw)?))
}

/// Releases the peeked message, so that the one after it is the next. Check the result: with SHMKEY_DROP_OLDEST, a
/// sender may have overwritten the message while it was read.
///
/// ring: the handle that has peeked.
/// message: as shm_ring_peek() has stored it.
///
/// Returns: 0; or -1.
/// Errors: EPERM the message was released or received, the handle has peeked again, or this process's parent has
/// peeked; then nothing has changed; ESTALE the sender of a ring with SHMKEY_DROP_OLDEST has dropped the message, and
/// the bytes that were read are arbitrary; EFAULT ring or message is NULL.
/// Threads: one at a time receives with a handle, while another sends with it; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_release(
    ring: *mut shm_ring,
    message: *const shm_message,
) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving("shm_ring_release", ring) }?;
        // SAFETY: the caller hands over a message, or NULL.
        let number = unsafe { read(message) }
            .ok_or_else(|| refused(raw, Action::Release, What::Null, 0))?
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

/// Takes the sender's role before there is anything to send, so that the receiver notices if this process dies. Waits up
/// to 30 microseconds for a sender that is sending, if the ring has SHMKEY_MANY_SENDERS and processes of several PID
/// namespaces have used it.
///
/// ring: a handle that is open.
///
/// Returns: 0, even if this handle has the role already; or -1.
/// Errors: EBUSY another handle is the sender, and its process is not known to be dead; ENOSPC there are 64 senders;
/// EBADMSG another program has overwritten the ring; EINVAL this handle has a slot reserved; EFAULT ring is NULL.
/// Threads: one at a time sends with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_begin_sending(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending("shm_ring_begin_sending", ring) }?;
        sending.end(raw, Action::BecomeSender).map(|_| 0)
    }))
}

/// Takes the receiver's role before there is anything to receive, so that the senders notice if this process dies.
///
/// ring: a handle that is open.
///
/// Returns: 0, even if this handle has the role already; or -1.
/// Errors: EBUSY another handle is the receiver, and its process is not known to be dead; EFAULT ring is NULL.
/// Threads: one at a time receives with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_begin_receiving(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving("shm_ring_begin_receiving", ring) }?;
        receiving.end(raw).map(|_| 0)
    }))
}

/// Releases the sender's role, and aborts a reserved slot. If this was the last sender, the receiver gets EPIPE when it
/// has received all messages.
///
/// ring: a handle that is open.
///
/// Returns: 0, even if this handle does not have the role; or -1, and then nothing has changed.
/// Errors: EPERM another live thread has a slot reserved with this handle; EFAULT ring is NULL.
/// Threads: one at a time sends with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_end_sending(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and sends by one thread at a time.
        let (raw, sending) = unsafe { sending("shm_ring_end_sending", ring) }?;
        sending.release_role(raw).map(|()| 0)
    }))
}

/// Releases the receiver's role. A sender that waits for room gets EPIPE.
///
/// ring: a handle that is open.
///
/// Returns: 0, even if this handle does not have the role; or -1.
/// Errors: EFAULT ring is NULL.
/// Threads: one at a time receives with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_end_receiving(ring: *mut shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open ring, and receives by one thread at a time.
        let (raw, receiving) = unsafe { receiving("shm_ring_end_receiving", ring) }?;
        receiving.release_role(raw);
        Ok(0)
    }))
}

/// Returns the length of the longest message: the capacity that the ring was created with.
///
/// ring: a handle that is open.
///
/// Returns: that length in bytes; or -1.
/// Errors: EFAULT ring is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_capacity(ring: *const shm_ring) -> isize {
    // SAFETY: the caller hands over an open ring.
    or_minus_one(
        unsafe { object("shm_ring_capacity", ring) }.map(|ring| ring.raw.view().capacity as isize),
    )
}

/// Returns the number of bytes that are in use: those of all messages that are not released, with their headers.
///
/// ring: a handle that is open.
///
/// Returns: 0 or more; or -1.
/// Errors: EFAULT ring is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_used(ring: *const shm_ring) -> isize {
    // SAFETY: the caller hands over an open ring.
    or_minus_one(
        unsafe { object("shm_ring_used", ring) }.map(|ring| ring.raw.view().used() as isize),
    )
}

/// Returns the number of messages that senders have dropped to make room, since the ring was created.
///
/// ring: a handle that is open.
///
/// Returns: 0 or more; or -1.
/// Errors: EFAULT ring is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_dropped(ring: *const shm_ring) -> i64 {
    // SAFETY: the caller hands over an open ring.
    let ring = unsafe { object("shm_ring_dropped", ring) };
    or_minus_one(ring.map(|ring| (ring.raw.view().words.dropped() & i64::MAX as u64) as i64))
}

/// Sets whether receiving continues to wait when all senders have released their roles or died: for a program that
/// serves one peer after another, such as a log daemon. By default, receiving then fails with EPIPE or EOWNERDEAD. With
/// this option, a wait ends only with a message, at its timeout, or because it is interrupted or cancelled.
///
/// ring: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT ring is NULL.
/// Threads: one at a time receives with a handle; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_set_keep_waiting(ring: *mut shm_ring, on: c_int) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one, and receives by one thread at a time.
        let (_, receiving) = unsafe { receiving("shm_ring_set_keep_waiting", ring) }?;
        receiving.set_keep_waiting(on != 0);
        Ok(0)
    }))
}

/// Sets whether a signal handler that runs while a call waits to send or to receive ends the wait: the call then fails
/// with EINTR and has changed nothing. By default, signals do not end waits. A handler that runs just before the wait,
/// or between two of its sleeps (of at most 250 ms each), does not end it; shm_cancel() does. A handler that was
/// installed with SA_RESTART ends a wait, too, unless shm_ring_canceller() was called before.
///
/// ring: a handle that is open.
/// on: 1, or 0.
///
/// Returns: 0; or -1.
/// Errors: EFAULT ring is NULL.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_set_interruptible(ring: *mut shm_ring, on: c_int) -> c_int {
    // SAFETY: the caller hands over an open one.
    let ring = unsafe { object("shm_ring_set_interruptible", ring) };
    or_minus_one(ring.map(|ring| set_interruptible(ring.raw.object(), on)))
}

/// Returns the canceller of a handle, with which shm_cancel() ends a wait of the calls that send and receive. Call this
/// before the wait begins: a wait that is under way can take 250 ms to end. From then on, the handle waits by
/// futex_waitv(2). Before Linux 5.16, or under a seccomp filter that forbids futex_waitv(2), a cancelled wait ends
/// within 8 ms, and the handle wakes up every 8 ms while it waits.
///
/// ring: a handle that is open.
///
/// Returns: the canceller, which is valid until the handle is closed; or NULL.
/// Errors: EFAULT ring is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_canceller(ring: *mut shm_ring) -> *mut shm_canceller {
    // SAFETY: the caller hands over an open one.
    let ring = unsafe { object("shm_ring_canceller", ring) };
    or_null(ring.map(|ring| canceller(ring.raw.object()))).cast()
}

/// Returns the id of the segment in which the object lies, for shm_remove() and other processes.
///
/// ring: a handle that is open.
///
/// Returns: the id, 0 or more; or -1.
/// Errors: EFAULT ring is NULL.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_id(ring: *const shm_ring) -> c_int {
    // SAFETY: the caller hands over an open ring.
    or_minus_one(unsafe { object("shm_ring_id", ring) }.map(|ring| ring.raw.object().id()))
}

/// Returns whether the segment in which the object lies has been removed. The processes that have it open continue to
/// share it, but a process that opens it afterwards gets another object. A process that runs for a long time calls this
/// after a timeout, and if the segment has been removed, closes its handle and opens the object again. Makes one system
/// call, about 0.3 us.
///
/// ring: a handle that is open.
///
/// Returns: 1 if it has been removed, 0 if not; or -1.
/// Errors: EFAULT ring is NULL; EACCES only before Linux 4.17, this process has lost read permission.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_removed(ring: *const shm_ring) -> c_int {
    or_minus_one(keeping_errno(|| {
        // SAFETY: the caller hands over an open one.
        let removed = unsafe { object("shm_ring_removed", ring) }?
            .raw
            .object()
            .is_removed()?;
        Ok(c_int::from(removed))
    }))
}

/// Closes a handle: releases its roles and aborts a reserved slot. Sent messages stay. A child made by fork(2) closes
/// its own copy.
///
/// If another live thread has a slot reserved with this handle, it may be writing into that slot: then the handle is
/// not closed and stays valid, and errno is EPERM.
///
/// ring: a handle, which no other thread uses; NULL does nothing. Later calls on it, or with its canceller, are
/// undefined, like the use of memory after free(3).
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_ring_close(ring: *mut shm_ring) {
    let given_back = || {
        // SAFETY: the caller hands over an open ring, and no other thread uses it.
        let (raw, sending) = unsafe { sending("shm_ring_close", ring) }?;
        sending.release_role(raw).map(|()| 0)
    };
    if ring.is_null() || or_minus_one::<c_int>(keeping_errno(given_back)) == 0 {
        // SAFETY: the caller gives it up.
        unsafe { close(ring) }
    }
}
