//! A message that is written in place.

use super::{Piece, Sender, expect_inside};
use crate::{Error, ErrorKind, Plain, error::Action, plain};
use core::{fmt, marker::PhantomData, mem::ManuallyDrop, ptr};
use std::io;

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
/// *Threads*: a slot cannot be moved to another thread. *Fork*: a child cannot use its copy of the slot: writing and
/// committing it fail, and dropping it does nothing.
#[derive(Debug)]
#[must_use = "a slot that is dropped without `commit` sends nothing"]
pub struct Slot<'a> {
    sender: &'a mut Sender,
    len: usize,
    /// The senders' lock belongs to a thread.
    this_thread: PhantomData<*const ()>,
}

impl<'a> Slot<'a> {
    #[inline]
    pub(super) fn new(sender: &'a mut Sender, len: usize) -> Slot<'a> {
        Slot {
            sender,
            len,
            this_thread: PhantomData,
        }
    }

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

    /// Writes bytes of the message, from an offset onwards.
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
        if let Some(piece) = raw.slot(end) {
            piece.area.write(piece.start + offset, bytes.into());
        }
        Ok(())
    }

    /// Writes a value at an offset, which needs no alignment.
    ///
    /// # Errors
    /// Those of [`write_at`](Slot::write_at).
    pub fn set<T: Plain>(&mut self, offset: usize, value: T) -> Result<(), Error> {
        self.write_at(offset, plain::bytes_of(&value))
    }

    /// Returns a writer that writes into the message, from this offset onwards.
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
        let piece = raw.slot(end).filter(|_| raw.has_slot(end));
        piece.map_or(ptr::null_mut(), Piece::address)
    }

    /// Sends the message.
    ///
    /// # Errors
    /// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) if the slot no longer belongs to this thread: in a child made by
    /// `fork`, or if another process has recovered the senders' lock or the sender's role and has sent a message. Then
    /// nothing has changed.
    #[inline]
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
