//! The end that sends, for Rust.

use super::{RawRing, SendEnd, expect_inside};
use crate::{Error, ErrorKind, Plain, error::Action, object::plain, sync::Deadline};
use core::{fmt, marker::PhantomData, mem::ManuallyDrop, ptr};
use std::{io, sync::Arc, time::Duration};

/// The role of a sender of a [`Ring`](crate::Ring). Dropping it releases the role.
///
/// ```
/// use shmkey::{ErrorKind, Ring};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a sender {}", std::process::id());
/// # let ring = Ring::open(&name, 4096)?;
/// let mut sender = ring.sender()?;
/// sender.send(b"one")?;                                     // waits for room
/// sender.send_timeout(b"two", Duration::from_millis(100))?; // at most so long
/// match sender.try_send(b"three") {
///     Err(error) if error.kind() == ErrorKind::WouldBlock => {} // the ring is full
///     result => result?,
/// }
/// assert_eq!(sender.send_batch(&[b"four", b"five"])?, 2);   // seen at once
/// # ring.remove()
/// # }
/// ```
///
/// *Threads*: it may go to another thread; one thread at a time uses it. *Fork*: a child does not have the
/// role; sending fails there with [`Busy`](ErrorKind::Busy).
#[derive(Debug)]
#[must_use = "the sender's role is released when it is dropped"]
pub struct Sender {
    raw: Arc<RawRing>,
    end: SendEnd,
}

impl Sender {
    pub(super) fn take(raw: &Arc<RawRing>) -> Result<Sender, Error> {
        let end = raw.sender()?;
        Ok(Sender {
            raw: Arc::clone(raw),
            end,
        })
    }

    /// Sends a message; waits until there is room for it.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) (`EMSGSIZE`) if the message is longer than the capacity;
    /// [`Closed`](ErrorKind::Closed) (`EPIPE`) and [`PeerDied`](ErrorKind::PeerDied) (`EOWNERDEAD`) if there
    /// is no room, and the receiver has released its role or died;
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) in a child made by `fork`;
    /// [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has overwritten the ring.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.raw
            .send(&mut self.end, message.into(), Deadline::Never)
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if there is no room, and those of
    /// [`send`](Sender::send).
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.raw.send(&mut self.end, message.into(), Deadline::Now)
    }

    /// Sends a message; waits for room at most this time on the monotonic clock. Zero is
    /// [`try_send`](Sender::try_send).
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`) if there was no room in time, and those of
    /// [`send`](Sender::send).
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), Error> {
        let deadline = Deadline::after(Some(timeout));
        self.raw.send(&mut self.end, message.into(), deadline)
    }

    /// Sends several messages; waits until there is room for all of them. Returns how many were sent,
    /// which is fewer if one of them cannot be sent. Receivers see those for which there is room together
    /// at once.
    ///
    /// # Errors
    /// Those of [`send`](Sender::send), if the first message was not sent.
    pub fn send_batch(&mut self, messages: &[&[u8]]) -> Result<usize, Error> {
        self.send_batch_until(messages, Deadline::Never)
    }

    /// Sends several messages, as many as there is room for now. Returns how many were sent.
    ///
    /// # Errors
    /// Those of [`try_send`](Sender::try_send), if the first message was not sent.
    pub fn try_send_batch(&mut self, messages: &[&[u8]]) -> Result<usize, Error> {
        self.send_batch_until(messages, Deadline::Now)
    }

    /// Sends several messages, as many as there is room for within this time. Returns how many were sent.
    ///
    /// # Errors
    /// Those of [`send_timeout`](Sender::send_timeout), if the first message was not sent.
    pub fn send_batch_timeout(
        &mut self,
        messages: &[&[u8]],
        timeout: Duration,
    ) -> Result<usize, Error> {
        self.send_batch_until(messages, Deadline::after(Some(timeout)))
    }

    fn send_batch_until(&mut self, messages: &[&[u8]], deadline: Deadline) -> Result<usize, Error> {
        let messages = messages.iter().map(|&message| Ok(message.into()));
        self.raw.send_batch(&mut self.end, messages, deadline)
    }

    /// Reserves a slot for a message of `len` bytes, which the caller writes in place; waits until there is
    /// room for it. In a ring for many senders the others wait until the slot is committed or dropped.
    ///
    /// If the slot is forgotten ([`mem::forget`](core::mem::forget)), the next call with this sender aborts
    /// it, in any thread, and so does dropping the sender; in a ring for many senders also the next call of
    /// another sender, once the thread that has reserved the slot has ended.
    ///
    /// # Errors
    /// Those of [`send`](Sender::send).
    pub fn reserve(&mut self, len: usize) -> Result<Slot<'_>, Error> {
        self.reserve_until(len, Deadline::Never)
    }

    /// Reserves a slot as [`reserve`](Sender::reserve) does, if there is room for it now.
    ///
    /// # Errors
    /// Those of [`try_send`](Sender::try_send).
    pub fn try_reserve(&mut self, len: usize) -> Result<Slot<'_>, Error> {
        self.reserve_until(len, Deadline::Now)
    }

    /// Reserves a slot as [`reserve`](Sender::reserve) does; waits for room at most this time.
    ///
    /// # Errors
    /// Those of [`send_timeout`](Sender::send_timeout).
    pub fn reserve_timeout(&mut self, len: usize, timeout: Duration) -> Result<Slot<'_>, Error> {
        self.reserve_until(len, Deadline::after(Some(timeout)))
    }

    fn reserve_until(&mut self, len: usize, deadline: Deadline) -> Result<Slot<'_>, Error> {
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

/// Room for a message that is written in place. [`commit`](Slot::commit) sends it; dropping the slot aborts
/// it, and leaves the ring as it was.
///
/// ```
/// use shmkey::Ring;
/// use std::io::Write;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("example of a slot {}", std::process::id());
/// # let ring = Ring::open(&name, 4096)?;
/// let mut sender = ring.sender()?;
/// let mut slot = sender.reserve(100)?;
/// slot.set(0, 42_u64)?;                             // a value of a type that is `Plain`
/// let mut writer = slot.writer(8);                  // or anything that writes text or bytes
/// write!(writer, "at {} degrees", 21.5)?;
/// let end = writer.position();
/// slot.truncate(end);
/// slot.commit()?;
///
/// let mut receiver = ring.receiver()?;
/// assert_eq!(receiver.peek()?.to_vec()[8..], *b"at 21.5 degrees");
/// # ring.remove()?;
/// # Ok(())
/// # }
/// ```
///
/// *Threads*: the slot stays in its thread. *Fork*: a child has a copy of the slot that is not the child's:
/// writing and committing it fail, and dropping it does nothing.
#[derive(Debug)]
#[must_use = "a slot that is dropped without `commit` sends nothing"]
pub struct Slot<'a> {
    sender: &'a mut Sender,
    offset: usize,
    len: usize,
    /// The senders' lock belongs to a thread.
    this_thread: PhantomData<*const ()>,
}

impl<'a> Slot<'a> {
    /// Returns the length of the message in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the message has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Shortens the message to `len` bytes. Does nothing if it is not longer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes bytes of the message, from an offset on.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange) (`EINVAL`) if the range does not lie inside the message;
    /// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) as for [`commit`](Slot::commit). Then nothing is written.
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

    /// Writes a value at an offset, which needs no alignment.
    ///
    /// # Errors
    /// Those of [`write_at`](Slot::write_at).
    pub fn set<T: Plain>(&mut self, offset: usize, value: T) -> Result<(), Error> {
        self.write_at(offset, plain::bytes_of(&value))
    }

    /// Returns a writer that writes into the message, from this offset on.
    pub fn writer(&mut self, offset: usize) -> SlotWriter<'_, 'a> {
        SlotWriter {
            slot: self,
            position: offset,
        }
    }

    /// Returns the address of the message's first byte, 8-byte aligned: [`len`](Slot::len) bytes, which
    /// another process can write, too. Returns NULL if [`commit`](Slot::commit) would fail with
    /// [`NotOwner`](ErrorKind::NotOwner).
    #[must_use]
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
    /// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) if the slot no longer belongs to this thread, and then
    /// nothing is changed: in a child made by `fork`, whose parent has reserved it, or if another process
    /// has taken the senders' lock or the sender's role and has sent.
    pub fn commit(self) -> Result<(), Error> {
        let mut slot = ManuallyDrop::new(self); // so that it is not aborted
        let len = slot.len;
        let sender = &mut *slot.sender;
        sender.raw.commit(&mut sender.end, len)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        // If it no longer belongs to this thread, there is nothing to abort.
        let _ = self.sender.raw.abort(&mut self.sender.end);
    }
}

/// Writes into a [`Slot`]: made by [`Slot::writer`]. At the end of the message it writes nothing more, and
/// `write_all` fails with [`WriteZero`](io::ErrorKind::WriteZero).
pub struct SlotWriter<'a, 'b> {
    slot: &'a mut Slot<'b>,
    position: usize,
}

impl SlotWriter<'_, '_> {
    /// Returns the offset in the message at which the next byte is written.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl io::Write for SlotWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.slot.len.saturating_sub(self.position));
        if len > 0 {
            self.slot.write_at(self.position, &bytes[..len])?;
            self.position += len;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for SlotWriter<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotWriter")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
