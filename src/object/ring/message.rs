//! A message that is read in place.

use super::{Piece, Receiver, expect_inside};
#[cfg(doc)]
use crate::ErrorKind;
use crate::{Error, Plain, error::Action, plain, sync::ring::Span};
use core::{fmt, ptr};
use std::io;

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
/// [`release`](Message::release) returns [`Overtaken`](ErrorKind::Overtaken), and the bytes that were read are
/// arbitrary.
#[derive(Debug)]
#[must_use = "a message that is dropped without `release` stays the next one"]
pub struct Message<'a> {
    receiver: &'a mut Receiver,
    found: Span,
}

impl<'a> Message<'a> {
    #[inline(always)]
    pub(super) fn new(receiver: &'a mut Receiver, found: Span) -> Message<'a> {
        Message { receiver, found }
    }

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

    /// Reads bytes of the message, from an offset onwards, and fills `bytes` with them.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange) (`EINVAL`) if the range does not lie inside the message, and then
    /// nothing is read.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let raw = &self.receiver.raw;
        let len = self.found.len;
        expect_inside(raw.object(), Action::Peek, offset, bytes.len(), len)?;
        if let Some(piece) = self.piece() {
            piece.area.read(piece.start + offset, bytes.into());
        }
        Ok(())
    }

    /// Returns a copy of the value at an offset, which needs no alignment.
    ///
    /// # Errors
    /// Those of [`read_at`](Message::read_at).
    pub fn get<T: Plain>(&self, offset: usize) -> Result<T, Error> {
        plain::read(|bytes| self.read_at(offset, bytes))
    }

    /// Returns a reader of the message's bytes, from this offset onwards.
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
        if let Some(piece) = self.piece() {
            piece.area.read(piece.start, (&mut bytes).into());
        }
        bytes
    }

    /// Returns the address of the message's first byte, 8-byte aligned: [`len`](Message::len) bytes. In a ring
    /// that drops the oldest message, a sender can write them at any time; in any ring, a hostile process can.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.piece()
            .map_or(ptr::null(), |piece| piece.address().cast_const())
    }

    /// Returns the message's bytes. Never `None`, because this end has peeked at the message.
    fn piece(&self) -> Option<Piece<'_>> {
        let Receiver { raw, end } = &*self.receiver;
        raw.message(end, &self.found)
    }

    /// Releases the message, so that the one after it is the next.
    ///
    /// # Errors
    /// [`Overtaken`](ErrorKind::Overtaken) (`ESTALE`) if the sender of a ring that drops the oldest message has dropped
    /// this one; then the bytes that were read are arbitrary. [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) in a child
    /// made by `fork`, or if another process has recovered the receiver's role and released the message; then nothing
    /// has changed.
    #[inline]
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
