//! The subscribing end, for Rust.

use super::{Peeked, RawBroadcast, SubscribeEnd};
use crate::{Error, ErrorKind, Plain, plain, sync::Deadline};
use core::iter::FusedIterator;
use std::{os::fd::BorrowedFd, sync::Arc, time::Duration};

/// A subscription to a [`Broadcast`](crate::Broadcast), which receives all messages. Dropping it ends the subscription.
///
/// ```
/// use shmkey::{Broadcast, ErrorKind};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a subscriber {}", std::process::id());
/// # let news = Broadcast::open(&name, 4096)?;
/// # let mut publisher = news.publisher()?;
/// # publisher.publish_batch(&[b"one", b"two", b"three", b"four"])?;
/// let mut subscriber = news.subscribe_from_oldest()?;
/// let mut buffer = [0; 1024];
/// let len = subscriber.recv(&mut buffer)?;        // waits for a message
/// assert_eq!(&buffer[..len], b"one");
///
/// let mut message = Vec::new();                   // grows to the message's length
/// subscriber.recv_vec_timeout(&mut message, Duration::from_secs(1))?;
/// assert_eq!(message, b"two");
///
/// for message in subscriber.try_iter() {          // those that are there now
///     println!("{} bytes", message?.len());
/// }
/// let error = subscriber.try_recv(&mut buffer).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::WouldBlock);
/// # news.remove()
/// # }
/// ```
///
/// *Threads*: a subscriber may move to another thread; one thread at a time uses it. *Fork*: a child does not have its
/// parent's subscription; receiving fails there with [`NotOwner`](ErrorKind::NotOwner), unless the broadcast is opened
/// read-only. *Signals*: no method is safe in a signal handler.
#[derive(Debug)]
#[must_use = "a subscriber unsubscribes when it is dropped"]
pub struct Subscriber {
    raw: Arc<RawBroadcast>,
    end: SubscribeEnd,
}

impl Subscriber {
    pub(super) fn join(raw: &Arc<RawBroadcast>, from_oldest: bool) -> Result<Subscriber, Error> {
        let end = raw.subscribe(from_oldest, None)?;
        Ok(Subscriber {
            raw: Arc::clone(raw),
            end,
        })
    }

    pub(crate) fn raw(&mut self) -> (&RawBroadcast, &mut SubscribeEnd) {
        (&self.raw, &mut self.end)
    }

    /// Returns the number of messages that the publisher of a lossy broadcast overwrote before this subscriber received
    /// or peeked at them. It counts those that were published between the subscription and the last message that was
    /// received or peeked at. In a lossless broadcast, it is 0.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.raw.missed(&self.end)
    }

    /// Returns a descriptor that is readable when there may be a message, or when the publisher has released its role
    /// or died: for `poll(2)`, `epoll(7)`, `select(2)` and event loops. When it is readable, call
    /// [`try_recv`](Subscriber::try_recv) or [`try_peek`](Subscriber::try_peek) until it returns
    /// [`WouldBlock`](ErrorKind::WouldBlock). That call makes the descriptor unreadable until the next message, but for
    /// at most 250 ms. A call that fails with [`Closed`](ErrorKind::Closed) or [`PeerDied`](ErrorKind::PeerDied) leaves
    /// it readable; see [`set_keep_waiting`](Subscriber::set_keep_waiting). [`Receiver::fd`](crate::Receiver::fd)
    /// describes these descriptors.
    ///
    /// If the broadcast is opened read-only, the descriptor becomes readable within 250 ms instead of at once.
    ///
    /// # Errors
    /// Those of [`Receiver::fd`](crate::Receiver::fd) about descriptors; [`NotOwner`](ErrorKind::NotOwner)
    /// (`EPERM`) in a child made by `fork`.
    pub fn fd(&self) -> Result<BorrowedFd<'_>, Error> {
        self.raw.descriptor(&self.end)
    }

    /// Receives a message into a buffer; waits for it. Returns its length in bytes.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait, which has changed nothing;
    /// [`TooLong`](ErrorKind::TooLong) (`EMSGSIZE`) if the buffer is too short, and then the message stays the next
    /// one; [`Closed`](ErrorKind::Closed) (`EPIPE`) and [`PeerDied`](ErrorKind::PeerDied) (`EOWNERDEAD`) if there is no
    /// message, and the publisher has released its role or died; [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) in a child
    /// made by `fork`; [`Overtaken`](ErrorKind::Overtaken) (`ESTALE`) if the publisher of a lossless broadcast has
    /// dropped this subscriber as a dead one; [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has
    /// overwritten the broadcast.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.raw
            .receive(&mut self.end, buffer.into(), Deadline::Never)
    }

    /// Receives a message if there is one now. Returns its length in bytes.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if there is no message, and those of
    /// [`recv`](Subscriber::recv).
    #[inline]
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.raw
            .receive(&mut self.end, buffer.into(), Deadline::Now)
    }

    /// Receives a message; waits for it at most this time on the monotonic clock. Zero is
    /// [`try_recv`](Subscriber::try_recv). Returns its length in bytes.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`) if there was no message in time, and those of
    /// [`recv`](Subscriber::recv).
    #[inline]
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, Error> {
        let deadline = Deadline::after(Some(timeout));
        self.raw.receive(&mut self.end, buffer.into(), deadline)
    }

    /// Receives a message, which replaces the vector's contents; waits for it. Returns its length in bytes. The vector
    /// grows if the message is longer than its capacity, and keeps the larger capacity.
    ///
    /// # Errors
    /// Those of [`recv`](Subscriber::recv) but [`TooLong`](ErrorKind::TooLong);
    /// [`OutOfMemory`](ErrorKind::OutOfMemory) (`ENOMEM`). Then the vector is empty.
    pub fn recv_vec(&mut self, message: &mut Vec<u8>) -> Result<usize, Error> {
        self.raw
            .receive_vec(&mut self.end, message, Deadline::Never)
    }

    /// Receives a message as [`recv_vec`](Subscriber::recv_vec) does, if there is one now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`), and those of [`recv_vec`](Subscriber::recv_vec).
    pub fn try_recv_vec(&mut self, message: &mut Vec<u8>) -> Result<usize, Error> {
        self.raw.receive_vec(&mut self.end, message, Deadline::Now)
    }

    /// Receives a message as [`recv_vec`](Subscriber::recv_vec) does; waits for it at most this time.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`), and those of [`recv_vec`](Subscriber::recv_vec).
    pub fn recv_vec_timeout(
        &mut self,
        message: &mut Vec<u8>,
        timeout: Duration,
    ) -> Result<usize, Error> {
        let deadline = Deadline::after(Some(timeout));
        self.raw.receive_vec(&mut self.end, message, deadline)
    }

    /// Returns an iterator over the messages, which waits for each: `Ok` with a message as a vector, or `Err`
    /// once. It ends when the publisher has released its role ([`Closed`](ErrorKind::Closed)), and after an
    /// error, such as [`PeerDied`](ErrorKind::PeerDied). `for message in &mut subscriber` is the same.
    pub fn iter(&mut self) -> BroadcastMessages<'_> {
        self.messages(Deadline::Never)
    }

    /// Returns an iterator over the messages that are there, which does not wait. It ends when there is no message
    /// ([`WouldBlock`](ErrorKind::WouldBlock)), and where the iterator of [`iter`](Subscriber::iter) does.
    pub fn try_iter(&mut self) -> BroadcastMessages<'_> {
        self.messages(Deadline::Now)
    }

    fn messages(&mut self, deadline: Deadline<'static>) -> BroadcastMessages<'_> {
        BroadcastMessages {
            subscriber: Some(self),
            deadline,
        }
    }

    /// Receives several messages, one after the other in the buffer, and stores their lengths in bytes: waits for the
    /// first, and also takes those that follow it and fit. Returns the number of messages.
    ///
    /// # Errors
    /// Those of [`recv`](Subscriber::recv), if no message was received.
    pub fn recv_batch(&mut self, buffer: &mut [u8], lengths: &mut [usize]) -> Result<usize, Error> {
        self.recv_batch_until(buffer, lengths, Deadline::Never)
    }

    /// Receives several messages as [`recv_batch`](Subscriber::recv_batch) does, if there are any now.
    ///
    /// # Errors
    /// Those of [`try_recv`](Subscriber::try_recv), if no message was received.
    pub fn try_recv_batch(
        &mut self,
        buffer: &mut [u8],
        lengths: &mut [usize],
    ) -> Result<usize, Error> {
        self.recv_batch_until(buffer, lengths, Deadline::Now)
    }

    /// Receives several messages as [`recv_batch`](Subscriber::recv_batch) does; waits for the first one at most
    /// this time.
    ///
    /// # Errors
    /// Those of [`recv_timeout`](Subscriber::recv_timeout), if no message was received.
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

    /// Waits for a message, and gives access to it: to a copy if the broadcast is lossy or the message wraps around the
    /// end of its memory, otherwise in place. It stays the next message until it is
    /// [released](BroadcastMessage::release).
    ///
    /// # Errors
    /// Those of [`recv`](Subscriber::recv) but [`TooLong`](ErrorKind::TooLong);
    /// [`OutOfMemory`](ErrorKind::OutOfMemory) (`ENOMEM`) if a copy cannot be allocated.
    pub fn peek(&mut self) -> Result<BroadcastMessage<'_>, Error> {
        self.peek_until(Deadline::Never)
    }

    /// Gives access to a message, if there is one now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`), and those of [`peek`](Subscriber::peek).
    pub fn try_peek(&mut self) -> Result<BroadcastMessage<'_>, Error> {
        self.peek_until(Deadline::Now)
    }

    /// Waits for a message at most this time, and gives access to it.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`), and those of [`peek`](Subscriber::peek).
    pub fn peek_timeout(&mut self, timeout: Duration) -> Result<BroadcastMessage<'_>, Error> {
        self.peek_until(Deadline::after(Some(timeout)))
    }

    /// Sets whether receiving continues to wait when the publisher has released its role or died: for a program that
    /// serves one peer after another, such as a log daemon. By default, receiving then fails with
    /// [`Closed`](ErrorKind::Closed) or [`PeerDied`](ErrorKind::PeerDied). With this option, a wait ends only with a
    /// message, at its timeout, or because it is interrupted or cancelled.
    pub fn set_keep_waiting(&mut self, on: bool) {
        self.end.set_keep_waiting(on);
    }

    interrupt_methods!(self, self.end.interrupt());

    fn peek_until(&mut self, deadline: Deadline) -> Result<BroadcastMessage<'_>, Error> {
        let found = self.raw.peek(&mut self.end, deadline)?;
        Ok(BroadcastMessage {
            subscriber: self,
            found,
        })
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.raw.drop_subscriber(&mut self.end);
    }
}

impl<'a> IntoIterator for &'a mut Subscriber {
    type Item = Result<Vec<u8>, Error>;
    type IntoIter = BroadcastMessages<'a>;

    fn into_iter(self) -> BroadcastMessages<'a> {
        self.iter()
    }
}

/// An iterator over messages: made by [`Subscriber::iter`] and [`Subscriber::try_iter`].
#[derive(Debug)]
#[must_use = "an iterator receives nothing until `next` is called"]
pub struct BroadcastMessages<'a> {
    /// `None` after the end.
    subscriber: Option<&'a mut Subscriber>,
    deadline: Deadline<'static>,
}

impl Iterator for BroadcastMessages<'_> {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        let mut message = Vec::new();
        let Subscriber { raw, end } = self.subscriber.as_deref_mut()?;
        match raw.receive_vec(end, &mut message, self.deadline) {
            Ok(_) => Some(Ok(message)),
            Err(error) => {
                self.subscriber = None;
                let is_end = matches!(error.kind(), ErrorKind::Closed | ErrorKind::WouldBlock);
                (!is_end).then_some(Err(error))
            }
        }
    }
}

impl FusedIterator for BroadcastMessages<'_> {}

/// A peeked message: it stays the next one until it is [released](BroadcastMessage::release). See
/// [`BroadcastSlot`](crate::BroadcastSlot) for an example.
#[derive(Debug)]
#[must_use = "a message that is dropped without `release` stays the next one"]
pub struct BroadcastMessage<'a> {
    subscriber: &'a mut Subscriber,
    found: Peeked,
}

impl BroadcastMessage<'_> {
    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Returns whether the message has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads bytes of the message, from an offset onwards, and fills `bytes` with them.
    ///
    /// # Errors
    /// [`OutOfRange`](ErrorKind::OutOfRange) (`EINVAL`) if the range does not lie inside the message, and then
    /// nothing is read.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let Subscriber { raw, end } = &*self.subscriber;
        raw.read_message(end, &self.found, offset, bytes)
    }

    /// Returns a copy of the value at an offset, which needs no alignment.
    ///
    /// # Errors
    /// Those of [`read_at`](BroadcastMessage::read_at).
    pub fn get<T: Plain>(&self, offset: usize) -> Result<T, Error> {
        plain::read(|bytes| self.read_at(offset, bytes))
    }

    /// Returns a copy of the message.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        // This cannot fail: the range is the whole message.
        let _ = self.read_at(0, &mut bytes);
        bytes
    }

    /// Returns the address of the message's first byte: [`len`](BroadcastMessage::len) bytes. A hostile process can
    /// write them at any time.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        let Subscriber { raw, end } = &*self.subscriber;
        raw.message_address(end, &self.found)
    }

    /// Releases the message, so that the one after it becomes the next one.
    ///
    /// # Errors
    /// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) in a child made by `fork`; [`Overtaken`](ErrorKind::Overtaken)
    /// (`ESTALE`) if the publisher of a lossless broadcast has dropped this subscriber as a dead one; then the bytes
    /// that were read are arbitrary.
    pub fn release(self) -> Result<(), Error> {
        let Subscriber { raw, end } = &mut *self.subscriber;
        raw.release(end, self.found)
    }
}
