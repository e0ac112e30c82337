//! The publishing end, for Rust.

use super::{PublishEnd, RawBroadcast};
#[cfg(doc)]
use crate::ErrorKind;
use crate::{Error, Plain, plain, sync::Deadline};
use core::{mem::ManuallyDrop, ptr};
use std::{sync::Arc, time::Duration};

/// The role of the publisher of a [`Broadcast`](crate::Broadcast). Dropping it releases the role.
///
/// ```
/// use shmkey::{Broadcast, ErrorKind};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a broadcast's publisher {}", std::process::id());
/// # let news = Broadcast::open(&name, 4096)?;
/// let mut publisher = news.publisher()?;
/// publisher.publish(b"one")?;                                     // waits for the slowest subscriber
/// publisher.publish_timeout(b"two", Duration::from_millis(100))?; // waits at most 100 ms
/// match publisher.try_publish(b"three") {
///     Err(error) if error.kind() == ErrorKind::WouldBlock => {} // there is no room
///     result => result?,
/// }
/// assert_eq!(publisher.publish_batch(&[b"four", b"five"])?, 2);   // seen at once
/// # news.remove()
/// # }
/// ```
///
/// *Threads*: a publisher may move to another thread; one thread at a time uses it. *Fork*: a child does not have the
/// role; publishing fails there with [`Busy`](ErrorKind::Busy). *Signals*: no method is safe in a signal handler.
#[derive(Debug)]
#[must_use = "the publisher's role is released when it is dropped"]
pub struct BroadcastPublisher {
    raw: Arc<RawBroadcast>,
    end: PublishEnd,
}

impl BroadcastPublisher {
    pub(super) fn take(raw: &Arc<RawBroadcast>) -> Result<BroadcastPublisher, Error> {
        let end = raw.publisher(None)?;
        Ok(BroadcastPublisher {
            raw: Arc::clone(raw),
            end,
        })
    }

    /// Publishes a message; in a lossless broadcast, waits until there is room for it.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait, which has changed nothing;
    /// [`TooLong`](ErrorKind::TooLong) (`EMSGSIZE`) if the message is longer than the capacity;
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) in a child made by `fork`, or if another process has taken over the role;
    /// [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has overwritten the broadcast.
    #[inline]
    pub fn publish(&mut self, message: &[u8]) -> Result<(), Error> {
        self.raw
            .publish(&mut self.end, message.into(), Deadline::Never)
    }

    /// Publishes a message if there is room for it now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if there is no room (the error names the process of the slowest
    /// subscriber), and those of [`publish`](BroadcastPublisher::publish).
    #[inline]
    pub fn try_publish(&mut self, message: &[u8]) -> Result<(), Error> {
        self.raw
            .publish(&mut self.end, message.into(), Deadline::Now)
    }

    /// Publishes a message; waits for room at most this time on the monotonic clock. Zero is
    /// [`try_publish`](BroadcastPublisher::try_publish).
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`) if there was no room in time (the error names the process of the
    /// slowest subscriber), and those of [`publish`](BroadcastPublisher::publish).
    #[inline]
    pub fn publish_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<(), Error> {
        let deadline = Deadline::after(Some(timeout));
        self.raw.publish(&mut self.end, message.into(), deadline)
    }

    /// Publishes several messages; waits until there is room for all of them. Returns the number of published messages,
    /// which is smaller if one of them cannot be published. Messages for which there is room together become visible to
    /// the subscribers at once. Returns 0 without waiting if `messages` is empty.
    ///
    /// # Errors
    /// Those of [`publish`](BroadcastPublisher::publish), if the first message was not published.
    pub fn publish_batch(&mut self, messages: &[&[u8]]) -> Result<usize, Error> {
        self.publish_batch_until(messages, Deadline::Never)
    }

    /// Publishes several messages, as many as there is room for now. Returns the number of published messages.
    ///
    /// # Errors
    /// Those of [`try_publish`](BroadcastPublisher::try_publish), if the first message was not published.
    pub fn try_publish_batch(&mut self, messages: &[&[u8]]) -> Result<usize, Error> {
        self.publish_batch_until(messages, Deadline::Now)
    }

    /// Publishes several messages, as many as there is room for within this time. Returns the number of published
    /// messages.
    ///
    /// # Errors
    /// Those of [`publish_timeout`](BroadcastPublisher::publish_timeout), if the first message was not published.
    pub fn publish_batch_timeout(
        &mut self,
        messages: &[&[u8]],
        timeout: Duration,
    ) -> Result<usize, Error> {
        self.publish_batch_until(messages, Deadline::after(Some(timeout)))
    }

    fn publish_batch_until(
        &mut self,
        messages: &[&[u8]],
        deadline: Deadline,
    ) -> Result<usize, Error> {
        if messages.is_empty() {
            return Ok(0);
        }
        let messages = messages.iter().map(|&message| Ok(message.into()));
        self.raw.publish_batch(&mut self.end, messages, deadline)
    }

    /// Reserves a slot for a message of `len` bytes, which the caller writes in place; waits until there is
    /// room for it. If the slot is forgotten ([`mem::forget`](core::mem::forget)), the next call aborts it.
    ///
    /// # Errors
    /// Those of [`publish`](BroadcastPublisher::publish); [`OutOfMemory`](ErrorKind::OutOfMemory) (`ENOMEM`) if the
    /// slot wraps around the end of the broadcast's memory, and a buffer for it cannot be allocated.
    pub fn reserve(&mut self, len: usize) -> Result<BroadcastSlot<'_>, Error> {
        self.reserve_until(len, Deadline::Never)
    }

    /// Reserves a slot as [`reserve`](BroadcastPublisher::reserve) does, if there is room for it now.
    ///
    /// # Errors
    /// Those of [`reserve`](BroadcastPublisher::reserve) and [`try_publish`](BroadcastPublisher::try_publish).
    pub fn try_reserve(&mut self, len: usize) -> Result<BroadcastSlot<'_>, Error> {
        self.reserve_until(len, Deadline::Now)
    }

    /// Reserves a slot as [`reserve`](BroadcastPublisher::reserve) does; waits for room at most this time.
    ///
    /// # Errors
    /// Those of [`reserve`](BroadcastPublisher::reserve) and [`publish_timeout`](BroadcastPublisher::publish_timeout).
    pub fn reserve_timeout(
        &mut self,
        len: usize,
        timeout: Duration,
    ) -> Result<BroadcastSlot<'_>, Error> {
        self.reserve_until(len, Deadline::after(Some(timeout)))
    }

    interrupt_methods!(self, self.end.interrupt());

    fn reserve_until(
        &mut self,
        len: usize,
        deadline: Deadline,
    ) -> Result<BroadcastSlot<'_>, Error> {
        self.raw.reserve(&mut self.end, len, deadline)?;
        Ok(BroadcastSlot {
            publisher: self,
            len,
        })
    }
}

impl Drop for BroadcastPublisher {
    fn drop(&mut self) {
        self.raw.drop_publisher(&mut self.end);
    }
}

/// Room for a message that is written in place. [`commit`](BroadcastSlot::commit) publishes it; dropping the slot
/// aborts it.
///
/// ```
/// use shmkey::Broadcast;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a broadcast's slot {}", std::process::id());
/// # let news = Broadcast::open(&name, 4096)?;
/// # let mut reader = news.subscribe()?;
/// let mut publisher = news.publisher()?;
/// let mut slot = publisher.reserve(100)?;
/// slot.set(0, 42_u64)?;
/// slot.write_at(8, b"degrees")?;
/// slot.truncate(15);
/// slot.commit()?;
///
/// let message = reader.peek()?;
/// assert_eq!(message.get::<u64>(0)?, 42);
/// assert_eq!(message.to_vec()[8..], *b"degrees");
/// message.release()?;
/// # news.remove()
/// # }
/// ```
///
/// *Fork*: a child cannot use its copy of the slot: writing and committing it fail, and dropping it does nothing.
#[derive(Debug)]
#[must_use = "a slot that is dropped without `commit` publishes nothing"]
pub struct BroadcastSlot<'a> {
    publisher: &'a mut BroadcastPublisher,
    len: usize,
}

impl BroadcastSlot<'_> {
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
    /// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) as for [`commit`](BroadcastSlot::commit). Then nothing is written.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let BroadcastPublisher { raw, end } = &mut *self.publisher;
        raw.write_slot(end, offset, bytes, self.len)
    }

    /// Writes a value at an offset, which needs no alignment.
    ///
    /// # Errors
    /// Those of [`write_at`](BroadcastSlot::write_at).
    pub fn set<T: Plain>(&mut self, offset: usize, value: T) -> Result<(), Error> {
        self.write_at(offset, plain::bytes_of(&value))
    }

    /// Returns the address of the message's first byte: [`len`](BroadcastSlot::len) bytes, which another process can
    /// write, too. Returns NULL if [`commit`](BroadcastSlot::commit) would fail with [`NotOwner`](ErrorKind::NotOwner).
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        let BroadcastPublisher { raw, end } = &mut *self.publisher;
        let address = raw.slot_address(end);
        address.map_or(ptr::null_mut(), ptr::NonNull::as_ptr)
    }

    /// Publishes the message.
    ///
    /// # Errors
    /// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) in a child made by `fork`, or if another process has taken over the
    /// publisher's role. Then nothing has changed.
    pub fn commit(self) -> Result<(), Error> {
        let mut slot = ManuallyDrop::new(self); // so that it is not aborted
        let len = slot.len;
        let BroadcastPublisher { raw, end } = &mut *slot.publisher;
        raw.commit(end, len)
    }
}

impl Drop for BroadcastSlot<'_> {
    fn drop(&mut self) {
        let BroadcastPublisher { raw, end } = &mut *self.publisher;
        // If it no longer belongs to this process, there is nothing to abort.
        let _ = raw.abort(end);
    }
}
