//! The end that receives, for Rust.

use super::{RawRing, ReceiveEnd, expect_inside};
use crate::{
    Error, ErrorKind, Plain,
    error::Action,
    object::plain,
    sync::{Buffer, Deadline, ring::Span},
};
use core::{fmt, iter::FusedIterator};
use std::{io, sync::Arc, time::Duration};

/// The role of the receiver of a [`Ring`](crate::Ring). Dropping it releases the role.
///
/// ```
/// use shmkey::{ErrorKind, Ring};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a receiver {}", std::process::id());
/// # let ring = Ring::open(&name, 4096)?;
/// # let mut sender = ring.sender()?;
/// # sender.send_batch(&[b"one", b"two", b"three", b"four"])?;
/// let mut receiver = ring.receiver()?;
/// let mut buffer = [0; 1024];
/// let len = receiver.recv(&mut buffer)?;          // waits for a message
/// assert_eq!(&buffer[..len], b"one");
///
/// let mut message = Vec::new();                   // grows to the message's length
/// receiver.recv_vec_timeout(&mut message, Duration::from_secs(1))?;
/// assert_eq!(message, b"two");
///
/// for message in receiver.try_iter() {            // those that are there now
///     println!("{} bytes", message?.len());
/// }
/// let error = receiver.try_recv(&mut buffer).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::WouldBlock); // the ring is empty
/// # ring.remove()
/// # }
/// ```
///
/// *Threads*: it may go to another thread; one thread at a time uses it. *Fork*: a child does not have the
/// role; receiving fails there with [`Busy`](ErrorKind::Busy).
#[derive(Debug)]
#[must_use = "the receiver's role is released when it is dropped"]
pub struct Receiver {
    raw: Arc<RawRing>,
    end: ReceiveEnd,
}

impl Receiver {
    pub(super) fn take(raw: &Arc<RawRing>) -> Result<Receiver, Error> {
        let end = raw.receiver()?;
        Ok(Receiver {
            raw: Arc::clone(raw),
            end,
        })
    }

    /// Receives a message into a buffer; waits for it. Returns its length in bytes.
    ///
    /// # Errors
    /// [`TooLong`](ErrorKind::TooLong) (`EMSGSIZE`) if the buffer is too short, and then the message stays;
    /// [`Closed`](ErrorKind::Closed) (`EPIPE`) and [`PeerDied`](ErrorKind::PeerDied) (`EOWNERDEAD`) if
    /// there is no message, and the senders have released their roles or one of them has died;
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) in a child made by `fork`;
    /// [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has overwritten the ring.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.raw
            .receive(&mut self.end, buffer.into(), Deadline::Never)
    }

    /// Receives a message if there is one now. Returns its length in bytes.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if there is no message, and those of
    /// [`recv`](Receiver::recv).
    #[inline]
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.raw
            .receive(&mut self.end, buffer.into(), Deadline::Now)
    }

    /// Receives a message; waits for it at most this time on the monotonic clock. Zero is
    /// [`try_recv`](Receiver::try_recv). Returns its length in bytes.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`) if there was no message in time, and those of
    /// [`recv`](Receiver::recv).
    #[inline]
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, Error> {
        let deadline = Deadline::after(Some(timeout));
        self.raw.receive(&mut self.end, buffer.into(), deadline)
    }

    /// Receives a message in place of the vector's contents; waits for it. Returns its length in bytes. The
    /// vector grows if the message is longer than its capacity, and keeps it for the next message.
    ///
    /// # Errors
    /// Those of [`recv`](Receiver::recv) but [`TooLong`](ErrorKind::TooLong);
    /// [`OutOfMemory`](ErrorKind::OutOfMemory) (`ENOMEM`). Then the vector is empty.
    pub fn recv_vec(&mut self, message: &mut Vec<u8>) -> Result<usize, Error> {
        self.recv_vec_until(message, Deadline::Never)
    }

    /// Receives a message as [`recv_vec`](Receiver::recv_vec) does, if there is one now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`), and those of [`recv_vec`](Receiver::recv_vec).
    pub fn try_recv_vec(&mut self, message: &mut Vec<u8>) -> Result<usize, Error> {
        self.recv_vec_until(message, Deadline::Now)
    }

    /// Receives a message as [`recv_vec`](Receiver::recv_vec) does; waits for it at most this time.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`), and those of [`recv_vec`](Receiver::recv_vec).
    pub fn recv_vec_timeout(
        &mut self,
        message: &mut Vec<u8>,
        timeout: Duration,
    ) -> Result<usize, Error> {
        self.recv_vec_until(message, Deadline::after(Some(timeout)))
    }

    fn recv_vec_until(
        &mut self,
        message: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        message.clear();
        let mut has_grown = false;
        loop {
            let room = message.spare_capacity_mut();
            // SAFETY: the room is borrowed here only, and `receive` writes it and reads nothing there.
            let buffer = unsafe { Buffer::new(room.as_mut_ptr().cast(), room.len()) };
            match self.raw.receive(&mut self.end, buffer, deadline) {
                Ok(len) => {
                    // SAFETY: `receive` has copied the message, whose length is at most that of the buffer,
                    // and all of which lies inside the ring.
                    unsafe { message.set_len(len) };
                    return Ok(len);
                }
                Err(error) if error.kind() == ErrorKind::TooLong => {
                    // If a sender that drops the oldest message has dropped this one, and a longer one is
                    // the next, the vector gets room for any message.
                    let len = if has_grown {
                        self.raw.room()
                    } else {
                        self.raw.peek(&mut self.end, deadline)?.len
                    };
                    has_grown = true;
                    message
                        .try_reserve(len)
                        .map_err(|_| Error::new(ErrorKind::OutOfMemory, libc::ENOMEM, "receive"))?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns an iterator over the messages, which waits for each: `Ok` with a message as a vector, or `Err`
    /// once. It ends when all senders have released their roles ([`Closed`](ErrorKind::Closed)), and after an
    /// error, such as [`PeerDied`](ErrorKind::PeerDied). `for message in &mut receiver` is the same.
    pub fn iter(&mut self) -> Messages<'_> {
        self.messages(Deadline::Never)
    }

    /// Returns an iterator over the messages that are in the ring, which does not wait. It ends when there is
    /// no message ([`WouldBlock`](ErrorKind::WouldBlock)), and otherwise as that of [`iter`](Receiver::iter).
    pub fn try_iter(&mut self) -> Messages<'_> {
        self.messages(Deadline::Now)
    }

    fn messages(&mut self, deadline: Deadline) -> Messages<'_> {
        Messages {
            receiver: Some(self),
            deadline,
        }
    }

    /// Receives several messages, one behind the other in the buffer, and stores their lengths in bytes;
    /// waits for the first one, and takes those that are there with it and fit. Returns how many.
    ///
    /// # Errors
    /// Those of [`recv`](Receiver::recv), if no message was received.
    pub fn recv_batch(&mut self, buffer: &mut [u8], lengths: &mut [usize]) -> Result<usize, Error> {
        self.recv_batch_until(buffer, lengths, Deadline::Never)
    }

    /// Receives several messages as [`recv_batch`](Receiver::recv_batch) does, if there are any now.
    ///
    /// # Errors
    /// Those of [`try_recv`](Receiver::try_recv), if no message was received.
    pub fn try_recv_batch(
        &mut self,
        buffer: &mut [u8],
        lengths: &mut [usize],
    ) -> Result<usize, Error> {
        self.recv_batch_until(buffer, lengths, Deadline::Now)
    }

    /// Receives several messages as [`recv_batch`](Receiver::recv_batch) does; waits for the first one at most
    /// this time.
    ///
    /// # Errors
    /// Those of [`recv_timeout`](Receiver::recv_timeout), if no message was received.
    pub fn recv_batch_timeout(
        &mut self,
        buffer: &mut [u8],
        lengths: &mut [usize],
        timeout: Duration,
    ) -> Result<usize, Error> {
        self.recv_batch_until(buffer, lengths, Deadline::after(Some(timeout)))
    }

    fn recv_batch_until(
        &mut self,
        buffer: &mut [u8],
        lengths: &mut [usize],
        deadline: Deadline,
    ) -> Result<usize, Error> {
        let count = lengths.len();
        let store = |at: usize, len| lengths[at] = len;
        self.raw
            .receive_batch(&mut self.end, buffer.into(), count, deadline, store)
    }

    /// Waits for a message, and gives access to it in place. It stays the next message until it is
    /// [released](Message::release).
    ///
    /// # Errors
    /// Those of [`recv`](Receiver::recv) but [`TooLong`](ErrorKind::TooLong).
    pub fn peek(&mut self) -> Result<Message<'_>, Error> {
        self.peek_until(Deadline::Never)
    }

    /// Gives access to a message in place, if there is one now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`), and those of [`peek`](Receiver::peek).
    pub fn try_peek(&mut self) -> Result<Message<'_>, Error> {
        self.peek_until(Deadline::Now)
    }

    /// Waits for a message at most this time, and gives access to it in place.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`), and those of [`peek`](Receiver::peek).
    pub fn peek_timeout(&mut self, timeout: Duration) -> Result<Message<'_>, Error> {
        self.peek_until(Deadline::after(Some(timeout)))
    }

    fn peek_until(&mut self, deadline: Deadline) -> Result<Message<'_>, Error> {
        let found = self.raw.peek(&mut self.end, deadline)?;
        Ok(Message {
            receiver: self,
            found,
        })
    }

    /// Returns the error for a message that has another length than a value.
    #[cold]
    pub(super) fn wrong_length(&self) -> Error {
        let error = self.raw.object().error(ErrorKind::WrongLayout);
        error.during(Action::Receive)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.raw.drop_receiver(&mut self.end);
    }
}

impl<'a> IntoIterator for &'a mut Receiver {
    type Item = Result<Vec<u8>, Error>;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.iter()
    }
}

/// An iterator over messages: made by [`Receiver::iter`] and [`Receiver::try_iter`].
#[derive(Debug)]
#[must_use = "an iterator receives nothing until `next` is called"]
pub struct Messages<'a> {
    /// `None` after the end.
    receiver: Option<&'a mut Receiver>,
    deadline: Deadline,
}

impl Iterator for Messages<'_> {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        let mut message = Vec::new();
        let received = self
            .receiver
            .as_mut()?
            .recv_vec_until(&mut message, self.deadline);
        if received.is_err() {
            self.receiver = None;
        }
        unless_ended(received.map(|_| message))
    }
}

impl FusedIterator for Messages<'_> {}

/// Returns `None` for the errors that are no failure of an iterator, but its end.
pub(super) fn unless_ended<T>(received: Result<T, Error>) -> Option<Result<T, Error>> {
    match received {
        Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::WouldBlock) => None,
        received => Some(received),
    }
}

/// A message in place: it stays in the ring until it is [released](Message::release).
///
/// ```
/// use shmkey::Ring;
/// use std::io::Read;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = format!("example of a message {}", std::process::id());
/// # let ring = Ring::open(&name, 4096)?;
/// # let mut sender = ring.sender()?;
/// # let mut slot = sender.reserve(13)?;
/// # slot.set(0, 42_u64)?;
/// # slot.write_at(8, b"hello")?;
/// # slot.commit()?;
/// let mut receiver = ring.receiver()?;
/// let message = receiver.peek()?;
/// assert_eq!(message.get::<u64>(0)?, 42);             // a value of a type that is `Plain`
/// let mut text = String::new();
/// message.reader(8).read_to_string(&mut text)?;       // or for anything that reads text or bytes
/// assert_eq!(text, "hello");
/// message.release()?;                                 // without this, it is the next one again
/// # ring.remove()?;
/// # Ok(())
/// # }
/// ```
///
/// In a ring that drops the oldest message, the sender can overwrite the message at any time; then
/// [`release`](Message::release) returns [`Overtaken`](ErrorKind::Overtaken), and what was read may be anything.
#[derive(Debug)]
#[must_use = "a message that is dropped without `release` stays the next one"]
pub struct Message<'a> {
    receiver: &'a mut Receiver,
    found: Span,
}

impl<'a> Message<'a> {
    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len
    }

    /// Returns whether the message has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.len == 0
    }

    /// Reads bytes of the message, from an offset on: fills `bytes`.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange) (`EINVAL`) if the range does not lie inside the message, and then
    /// nothing is read.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let raw = &self.receiver.raw;
        let len = self.found.len;
        expect_inside(raw.object(), Action::Peek, offset, bytes.len(), len)?;
        raw.view()
            .area
            .read(self.found.offset + offset, bytes.into());
        Ok(())
    }

    /// Returns a copy of the value at an offset, which needs no alignment.
    ///
    /// # Errors
    /// Those of [`read_at`](Message::read_at).
    pub fn get<T: Plain>(&self, offset: usize) -> Result<T, Error> {
        plain::read(|bytes| self.read_at(offset, bytes))
    }

    /// Returns a reader of the message's bytes, from this offset on.
    #[must_use]
    pub fn reader(&self, offset: usize) -> MessageReader<'_, 'a> {
        MessageReader {
            message: self,
            position: offset,
        }
    }

    /// Returns a copy of the message.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.found.len];
        let area = self.receiver.raw.view().area;
        area.read(self.found.offset, (&mut bytes).into());
        bytes
    }

    /// Returns the address of the message's first byte, 8-byte aligned: [`len`](Message::len) bytes. A sender
    /// of a ring that drops the oldest message can write them at any time, and a hostile process in any ring.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.receiver.raw.view().area.address(self.found.offset)
    }

    /// Releases the message, so that the one behind it is the next.
    ///
    /// # Errors
    /// [`Overtaken`](ErrorKind::Overtaken) (`ESTALE`) if the sender of a ring that drops the oldest message has
    /// dropped this one: what was read of it may be anything. [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) in
    /// a child made by `fork`, whose parent has peeked at it, or if another process has taken the receiver's
    /// role and released the message; then nothing is changed.
    pub fn release(self) -> Result<(), Error> {
        let raw = &self.receiver.raw;
        raw.release(&mut self.receiver.end, self.found)
    }
}

/// Reads a [`Message`]: made by [`Message::reader`].
pub struct MessageReader<'a, 'b> {
    message: &'a Message<'b>,
    position: usize,
}

impl MessageReader<'_, '_> {
    /// Returns the offset in the message at which the next byte is read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

impl io::Read for MessageReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.message.len().saturating_sub(self.position);
        let len = buffer.len().min(left);
        if len > 0 {
            self.message.read_at(self.position, &mut buffer[..len])?;
            self.position += len;
        }
        Ok(len)
    }
}

impl fmt::Debug for MessageReader<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageReader")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
