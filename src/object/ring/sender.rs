//! The end that sends, for Rust.

use super::{RawRing, SendEnd, Slot};
#[cfg(doc)]
use crate::ErrorKind;
use crate::{Error, sync::Deadline};
use std::{sync::Arc, time::Duration};

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
/// sender.send_timeout(b"two", Duration::from_millis(100))?; // at most this long
/// match sender.try_send(b"three") {
///     Err(error) if error.kind() == ErrorKind::WouldBlock => {} // the ring is full
///     result => result?,
/// }
/// assert_eq!(sender.send_batch(&[b"four", b"five"])?, 2);   // received together
/// # ring.remove()
/// # }
/// ```
///
/// *Threads*: a sender may move to another thread; one thread at a time uses it. *Fork*: a child does not have the
/// role; sending fails there with [`Busy`](ErrorKind::Busy). *Signals*: no method is safe in a signal handler.
#[derive(Debug)]
#[must_use = "the sender's role is released when it is dropped"]
pub struct Sender {
    pub(super) raw: Arc<RawRing>,
    pub(super) end: SendEnd,
}

impl Sender {
    pub(super) fn take(raw: &Arc<RawRing>) -> Result<Sender, Error> {
        let end = raw.sender(None)?;
        Ok(Sender {
            raw: Arc::clone(raw),
            end,
        })
    }

    /// Sends a message; waits until there is room for it.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait, which has changed nothing;
    /// [`TooLong`](ErrorKind::TooLong) (`EMSGSIZE`) if the message is longer than the capacity;
    /// [`Closed`](ErrorKind::Closed) (`EPIPE`) and [`PeerDied`](ErrorKind::PeerDied) (`EOWNERDEAD`) if there is no
    /// room, and the receiver has released its role or died; [`Busy`](ErrorKind::Busy) (`EBUSY`) in a child made by
    /// `fork`; [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has overwritten the ring.
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.raw
            .send(&mut self.end, message.into(), &Deadline::Never)
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if there is no room, and those of [`send`](Sender::send). In a
    /// ring for many senders, also if another sender has a slot reserved or was interrupted while it was sending, and
    /// for about 10 ms after a sender has died while it was sending or had a slot reserved. The call waits up to 30 µs
    /// for a sender that is running.
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), Error> {
        self.raw.send(&mut self.end, message.into(), &Deadline::Now)
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
        self.raw.send(&mut self.end, message.into(), &deadline)
    }

    /// Sends several messages; waits until there is room for all of them. Returns the number of messages that were
    /// sent, which is smaller if one of them cannot be sent. Messages for which there is room together become visible
    /// to the receiver together. Returns 0 without waiting if `messages` is empty.
    ///
    /// # Errors
    /// Those of [`send`](Sender::send), if the first message was not sent.
    pub fn send_batch(&mut self, messages: &[&[u8]]) -> Result<usize, Error> {
        self.send_batch_until(messages, Deadline::Never)
    }

    /// Sends several messages, as many as there is room for now. Returns the number of messages that were sent.
    ///
    /// # Errors
    /// Those of [`try_send`](Sender::try_send), if the first message was not sent.
    pub fn try_send_batch(&mut self, messages: &[&[u8]]) -> Result<usize, Error> {
        self.send_batch_until(messages, Deadline::Now)
    }

    /// Sends several messages, as many as there is room for within this time. Returns the number of messages that were
    /// sent.
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
        if messages.is_empty() {
            return Ok(0);
        }
        let messages = messages.iter().map(|&message| Ok(message.into()));
        self.raw.send_batch(&mut self.end, messages, deadline)
    }

    /// Reserves a slot for a message of `len` bytes, which the caller writes in place; waits until there is room for
    /// it. In a ring for many senders, the others wait until the slot is committed or dropped.
    ///
    /// If the slot is forgotten ([`mem::forget`](core::mem::forget)), the next call with this sender, in any thread,
    /// aborts it, and so does dropping the sender. In a ring for many senders, a call of another sender also aborts it,
    /// once the thread that reserved the slot has ended.
    ///
    /// # Errors
    /// Those of [`send`](Sender::send); [`OutOfMemory`](ErrorKind::OutOfMemory) (`ENOMEM`) if the slot wraps around the
    /// end of the ring, and a buffer for it cannot be allocated.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Slot<'_>, Error> {
        self.reserve_until(len, Deadline::Never)
    }

    /// Reserves a slot as [`reserve`](Sender::reserve) does, if there is room for it now.
    ///
    /// # Errors
    /// Those of [`try_send`](Sender::try_send).
    #[inline]
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

    interrupt_methods!(self, self.end.interrupt());

    #[inline(always)]
    fn reserve_until(&mut self, len: usize, deadline: Deadline) -> Result<Slot<'_>, Error> {
        self.raw.reserve(&mut self.end, len, &deadline)?;
        Ok(Slot::new(self, len))
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.raw.drop_sender(&mut self.end);
    }
}
