//! Messages from one process to another, in order and none lost.

mod raw;

pub(crate) use raw::{DROP_OLDEST, MANY_SENDERS, RawRing, ReceiveEnd, SendEnd, capacity_of, look};

use crate::{
    Error, ErrorKind, Place, Segment,
    error::Action,
    object::Object,
    sync::{Deadline, ring},
};
use core::{marker::PhantomData, mem::ManuallyDrop, ptr};
use std::{sync::Arc, time::Duration};

/// Messages from one process to another: of any length up to the ring's capacity, in order, and
/// none lost.
///
/// ```
/// use shmkey::Ring;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a ring {}", std::process::id());
/// // In one process:
/// let mut sender = Ring::open(name.as_str(), 64 << 10)?.sender()?;
/// sender.send(b"hello")?;
///
/// // In another:
/// let ring = Ring::open(name.as_str(), 64 << 10)?;
/// let mut receiver = ring.receiver()?;
/// let mut buffer = [0; 1024];
/// let len = receiver.recv(&mut buffer)?;
/// assert_eq!(&buffer[..len], b"hello");
/// # ring.remove()
/// # }
/// ```
///
/// *Who sends and who receives.* One process at a time is the [`Receiver`], and one the [`Sender`],
/// unless the ring was opened for [many senders](RingOptions::many_senders). Either part is given
/// back when it is dropped, and handed over when its process has died. What was sent stays, also
/// when nobody is there.
///
/// *The end.* When all senders have dropped their part, a receiver gets what is left and then
/// [`Closed`](ErrorKind::Closed); if one of them died instead, [`PeerDied`](ErrorKind::PeerDied). A
/// sender that has to wait for room is told the same of the receiver. Whoever has not come yet is
/// waited for. When another one comes, it goes on.
///
/// *Deaths.* A process can be killed at any instruction. A message that was committed is received,
/// one that was not is never seen. A message that the receiver had not yet released when it died
/// is received by the next one: so a message that it was just working on can come twice. A process
/// that waits notices the other side's death within 10 ms during the first 100 ms of its wait, and
/// within 300 ms later.
///
/// *Removal.* [`remove`](Ring::remove), or `shmkey remove`, frees the name at once. The processes that
/// have the ring open keep it and go on; a process that opens the name afterwards gets a new ring, and
/// what it sends is not received from the old one. [`is_removed`](Ring::is_removed) says whether that
/// has happened: a receiver that has waited for a long time calls it, and if so drops the ring and
/// opens it anew. What is still in the old ring is received there and nowhere else.
///
/// *Fork and exec.* A child made by `fork` has none of its parent's roles. Release a role before `exec`:
/// the new program cannot use it, and keeps it from others unless the process had a token of life,
/// which ends with `exec` (see *Namespaces* of [`Mutex`](crate::Mutex)).
///
/// *Waiting* looks for about 30 µs if the other side runs on another processor, lets it run if it
/// was last seen on the same one, and then sleeps. Sending and receiving make no system call
/// unless somebody sleeps or has to.
///
/// *Long messages.* One of more than 16 KiB is published in pieces: the receiver copies the first
/// while the sender still writes the last. One of more than half the capacity can have to wait until
/// the receiver looks, also when the ring is empty.
///
/// *Memory:* 1568 bytes and the capacity, of which a message takes 8 bytes and its length rounded up
/// to a multiple of 8 (16 bytes and that, above 16 KiB). Nothing is allocated after opening.
#[derive(Clone, Debug)]
pub struct Ring {
    raw: Arc<RawRing>,
}

/// How to open a [`Ring`].
///
/// ```
/// use shmkey::Ring;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of ring options {}", std::process::id());
/// let ring = Ring::options().many_senders(true).open(name.as_str(), 4096)?;
/// let (mut one, mut other) = (ring.sender()?, ring.sender()?);
/// one.send(b"from one")?;
/// other.send(b"from another")?;
/// # ring.remove()
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until `open` is called"]
pub struct RingOptions {
    many_senders: bool,
    drop_oldest: bool,
}

impl RingOptions {
    /// Several processes may send at a time, up to 64. Each of them gets its turn, and one that dies
    /// holds up nobody. They take turns by a lock, so sending costs a little more.
    pub const fn many_senders(&mut self, many: bool) -> &mut RingOptions {
        self.many_senders = many;
        self
    }

    /// A sender without room drops the oldest messages instead of waiting. See
    /// [`Ring::dropped`].
    pub const fn drop_oldest(&mut self, drop: bool) -> &mut RingOptions {
        self.drop_oldest = drop;
        self
    }

    /// Opens the ring, or makes it, for messages of `capacity` bytes together, 64 at least; 0 opens
    /// one that exists as it is, whatever its capacity and options are.
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open); also [`WrongLayout`](ErrorKind::WrongLayout) if
    /// it was made with other options or another capacity, and
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a capacity below 64.
    pub fn open(&self, place: impl Into<Place>, capacity: usize) -> Result<Ring, Error> {
        let options = if self.many_senders { MANY_SENDERS } else { 0 }
            | if self.drop_oldest { DROP_OLDEST } else { 0 };
        let raw = RawRing::open(place.into(), capacity, options)?;
        Ok(Ring { raw: Arc::new(raw) })
    }
}

impl Ring {
    /// Other ways to open one.
    pub fn options() -> RingOptions {
        RingOptions::default()
    }

    /// Opens the ring, or makes it: for one sender, who waits when there is no room. `capacity` and
    /// errors are those of [`RingOptions::open`].
    pub fn open(place: impl Into<Place>, capacity: usize) -> Result<Ring, Error> {
        Ring::options().open(place, capacity)
    }

    /// Becomes the one who sends, or one of those.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) while a process that lives is the sender, this one included;
    /// [`LimitReached`](ErrorKind::LimitReached) if a ring for many has 64;
    /// [`Damaged`](ErrorKind::Damaged).
    pub fn sender(&self) -> Result<Sender, Error> {
        self.raw.sender().map(|end| Sender {
            raw: Arc::clone(&self.raw),
            end,
        })
    }

    /// Becomes the one who receives.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) while a process that lives is the receiver, this one included.
    pub fn receiver(&self) -> Result<Receiver, Error> {
        self.raw.receiver().map(|end| Receiver {
            raw: Arc::clone(&self.raw),
            end,
        })
    }

    /// The length of the longest message, in bytes: the capacity it was made with, rounded up to a
    /// multiple of 8.
    pub fn capacity(&self) -> usize {
        self.raw.view().capacity
    }

    /// How many bytes are in use at this moment, by messages and what they need beside.
    pub fn used(&self) -> usize {
        self.raw.view().used()
    }

    /// How many messages were dropped to make room, since the ring was made.
    pub fn dropped(&self) -> u64 {
        self.raw.view().words.dropped()
    }

    /// The segment that it lies in: to ask about it, or to tell its id.
    pub fn segment(&self) -> Segment {
        self.raw.object().segment()
    }

    /// Returns whether its segment has been removed: this process still has the ring, and a process that
    /// opens it anew gets another one. Makes one system call, which takes some 0.3 µs.
    ///
    /// # Errors
    /// Those of [`Attachment::is_removed`](crate::Attachment::is_removed).
    pub fn is_removed(&self) -> Result<bool, Error> {
        self.raw.object().is_removed()
    }

    /// Removes the segment that the ring lies in: its name is free at once, and it goes when the
    /// last process has closed it.
    ///
    /// # Errors
    /// Those of [`Segment::remove`](crate::Segment::remove).
    pub fn remove(&self) -> Result<(), Error> {
        self.segment().remove()
    }
}

/// The role of a sender. Dropping it releases the role.
#[derive(Debug)]
#[must_use = "the sender's role is released when it is dropped"]
pub struct Sender {
    raw: Arc<RawRing>,
    end: SendEnd,
}

impl Sender {
    /// Sends a message, and waits until there is room for it.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) for one that is longer than the capacity;
    /// [`Closed`](ErrorKind::Closed) and [`PeerDied`](ErrorKind::PeerDied) if there is no room, and
    /// no receiver any more; [`Busy`](ErrorKind::Busy) in a child made by `fork`;
    /// [`Damaged`](ErrorKind::Damaged) if somebody has overwritten the ring.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.raw
            .send(&mut self.end, message.into(), Deadline::Never)
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock), and those of [`send`](Sender::send).
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.raw.send(&mut self.end, message.into(), Deadline::Now)
    }

    /// Sends a message if there is room for it within this time on the monotonic clock.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut), and those of [`send`](Sender::send).
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), Error> {
        let deadline = Deadline::after(Some(timeout));
        self.raw.send(&mut self.end, message.into(), deadline)
    }

    /// Sends several messages, as many as there is room for within this time; receivers see those
    /// that go together at once. Says how many were sent.
    ///
    /// # Errors
    /// Those of [`send_timeout`](Sender::send_timeout), if not one was sent.
    pub fn send_batch(&mut self, messages: &[&[u8]], timeout: Duration) -> Result<usize, Error> {
        let deadline = Deadline::after(Some(timeout));
        let messages = messages.iter().map(|&message| Ok(message.into()));
        self.raw.send_batch(&mut self.end, messages, deadline)
    }

    /// Reserves room for a message of `len` bytes, to be written in place, within this time. In a ring
    /// for many senders the others wait until the slot is committed or dropped.
    ///
    /// A slot that is forgotten ([`mem::forget`](core::mem::forget)) is given up by the next call with
    /// this sender, in any thread, or when the sender is dropped; in a ring for many senders also by the
    /// next call of another sender, once the thread that reserved it has ended.
    ///
    /// # Errors
    /// Those of [`send_timeout`](Sender::send_timeout).
    pub fn reserve(&mut self, len: usize, timeout: Duration) -> Result<Slot<'_>, Error> {
        let deadline = Deadline::after(Some(timeout));
        let offset = self.raw.reserve(&mut self.end, len, deadline)?;
        Ok(Slot {
            sender: self,
            offset,
            len,
            this_thread: PhantomData,
        })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.raw.drop_sender(&mut self.end);
    }
}

/// Room for a message that is written in place. Dropping it without
/// [`commit`](Slot::commit) leaves the ring as it was.
///
/// A child made by `fork` has a copy of its parent's slot, which is not the child's: writing and
/// committing it fail, and dropping it does nothing.
#[derive(Debug)]
#[must_use = "a slot that is dropped without `commit` sends nothing"]
pub struct Slot<'a> {
    sender: &'a mut Sender,
    offset: usize,
    len: usize,
    /// The senders' lock belongs to a thread.
    this_thread: PhantomData<*const ()>,
}

impl Slot<'_> {
    /// The length of the message in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the message shorter. Does nothing if it is not longer than that.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes bytes of the message.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange); [`NotOwner`](ErrorKind::NotOwner) as for
    /// [`commit`](Slot::commit).
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let Sender { raw, end } = &*self.sender;
        expect_inside(raw.object(), Action::Write, offset, bytes.len(), self.len)?;
        if !raw.has_slot(end) {
            let error = raw.object().error(ErrorKind::NotOwner);
            return Err(error.during(Action::Write));
        }
        let area = raw.view().area;
        area.write(self.offset + offset, bytes.into());
        Ok(())
    }

    /// Returns where the message's bytes begin, 8-byte aligned: [`len`](Slot::len) bytes that another
    /// process can write, too. Returns NULL if [`commit`](Slot::commit) would fail with
    /// [`NotOwner`](ErrorKind::NotOwner).
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        let Sender { raw, end } = &*self.sender;
        if raw.has_slot(end) {
            raw.view().area.address(self.offset)
        } else {
            ptr::null_mut()
        }
    }

    /// Sends the message.
    ///
    /// # Errors
    /// [`NotOwner`](ErrorKind::NotOwner) if the slot no longer belongs to this thread, and then nothing is
    /// changed: in a child made by `fork`, whose parent has reserved it, or if another process has taken
    /// the senders' lock or the sender's role and has sent.
    pub fn commit(self) -> Result<(), Error> {
        let mut slot = ManuallyDrop::new(self); // so that nothing is given up
        let len = slot.len;
        let sender = &mut *slot.sender;
        sender.raw.commit(&mut sender.end, len)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // If it is no longer this thread's, there is nothing to give up.
        let _ = self.sender.raw.abort(&mut self.sender.end);
    }
}

/// The right to receive. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "the receiver's role is released when it is dropped"]
pub struct Receiver {
    raw: Arc<RawRing>,
    end: ReceiveEnd,
}

impl Receiver {
    /// Receives a message into a buffer, waiting for it, and says how long it is.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) if the buffer is too short; the message stays.
    /// [`Closed`](ErrorKind::Closed) and [`PeerDied`](ErrorKind::PeerDied) if there is no message, and
    /// no sender any more; [`Busy`](ErrorKind::Busy) in a child made by `fork`;
    /// [`Damaged`](ErrorKind::Damaged) if somebody has overwritten the ring.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.raw
            .receive(&mut self.end, buffer.into(), Deadline::Never)
    }

    /// Receives a message if there is one now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock), and those of [`recv`](Receiver::recv).
    #[inline]
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.raw
            .receive(&mut self.end, buffer.into(), Deadline::Now)
    }

    /// Receives a message if there is one within this time on the monotonic clock.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut), and those of [`recv`](Receiver::recv).
    #[inline]
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, Error> {
        let deadline = Deadline::after(Some(timeout));
        self.raw.receive(&mut self.end, buffer.into(), deadline)
    }

    /// Receives several messages, one behind the other in the buffer, and stores their lengths:
    /// waits for the first, and takes those that are there with it and fit. Says how many.
    ///
    /// # Errors
    /// Those of [`recv_timeout`](Receiver::recv_timeout), if not one was received.
    pub fn recv_batch(
        &mut self,
        buffer: &mut [u8],
        lengths: &mut [usize],
        timeout: Duration,
    ) -> Result<usize, Error> {
        let deadline = Deadline::after(Some(timeout));
        let count = lengths.len();
        let store = |at: usize, len| lengths[at] = len;
        self.raw
            .receive_batch(&mut self.end, buffer.into(), count, deadline, store)
    }

    /// Waits for a message within this time, and gives access to it in place. It stays the next one
    /// until it is [released](Message::release).
    ///
    /// # Errors
    /// Those of [`recv_timeout`](Receiver::recv_timeout).
    pub fn peek(&mut self, timeout: Duration) -> Result<Message<'_>, Error> {
        let deadline = Deadline::after(Some(timeout));
        let found = self.raw.peek(&mut self.end, deadline)?;
        Ok(Message {
            receiver: self,
            found,
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.raw.drop_receiver(&mut self.end);
    }
}

/// A message in place.
#[derive(Debug)]
#[must_use = "a message that is dropped without `release` stays the next one"]
pub struct Message<'a> {
    receiver: &'a mut Receiver,
    found: ring::Span,
}

impl Message<'_> {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.found.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.found.len == 0
    }

    /// Reads bytes of it.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange).
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let raw = &self.receiver.raw;
        expect_inside(
            raw.object(),
            Action::Peek,
            offset,
            bytes.len(),
            self.found.len,
        )?;
        raw.view()
            .area
            .read(self.found.offset + offset, bytes.into());
        Ok(())
    }

    /// A copy of it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.found.len];
        let area = self.receiver.raw.view().area;
        area.read(self.found.offset, (&mut bytes).into());
        bytes
    }

    /// Where its bytes begin, 8-byte aligned: [`len`](Message::len) bytes. Others write them only if
    /// they want to do harm, or if this is a ring that drops the oldest.
    pub fn as_ptr(&self) -> *const u8 {
        self.receiver.raw.view().area.address(self.found.offset)
    }

    /// Releases it, so that the following message is the next one.
    ///
    /// # Errors
    /// [`Overtaken`](ErrorKind::Overtaken) if the sender of a ring that drops the oldest has dropped
    /// this one: what was read of it may be anything. [`NotOwner`](ErrorKind::NotOwner) in a child made
    /// by `fork`, whose parent has peeked at it, or if another process has taken the receiver's role and
    /// released the message; then nothing is changed.
    pub fn release(self) -> Result<(), Error> {
        let raw = &self.receiver.raw;
        raw.release(&mut self.receiver.end, self.found)
    }
}

fn expect_inside(
    object: &Object,
    action: Action,
    offset: usize,
    len: usize,
    size: usize,
) -> Result<(), Error> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => {
            let error = object.error(ErrorKind::OutOfRange).during(action);
            Err(error.outside_message(offset, len, size))
        }
    }
}
