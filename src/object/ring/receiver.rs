//! The end that receives, for Rust.

use super::{Message, RawRing, ReceiveEnd};
use crate::{
    Error, ErrorKind,
    error::Action,
    sync::{Buffer, Deadline},
};
use core::iter::FusedIterator;
use std::{os::fd::BorrowedFd, sync::Arc, time::Duration};

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
/// *Threads*: a receiver may move to another thread; one thread at a time uses it. *Fork*: a child does not have the
/// role; receiving fails there with [`Busy`](ErrorKind::Busy). *Signals*: no method is safe in a signal handler.
#[derive(Debug)]
#[must_use = "the receiver's role is released when it is dropped"]
pub struct Receiver {
    pub(crate) raw: Arc<RawRing>,
    pub(crate) end: ReceiveEnd,
}

impl Receiver {
    pub(super) fn take(raw: &Arc<RawRing>) -> Result<Receiver, Error> {
        let end = raw.receiver(None)?;
        Ok(Receiver {
            raw: Arc::clone(raw),
            end,
        })
    }

    /// Receives a message into a buffer; waits for it. Returns its length in bytes.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait, which has changed nothing;
    /// [`TooLong`](ErrorKind::TooLong) (`EMSGSIZE`) if the buffer is too short, and then the message stays the next
    /// one; [`Closed`](ErrorKind::Closed) (`EPIPE`) if there is no message, and all senders have released their roles;
    /// [`PeerDied`](ErrorKind::PeerDied) (`EOWNERDEAD`) if one of them died instead; [`Busy`](ErrorKind::Busy)
    /// (`EBUSY`) in a child made by `fork`; [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has
    /// overwritten the ring.
    #[inline]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.raw
            .receive(&mut self.end, buffer.into(), &Deadline::Never)
    }

    /// Receives a message if there is one now. Returns its length in bytes.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if there is no message, and those of
    /// [`recv`](Receiver::recv).
    #[inline]
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.raw
            .receive(&mut self.end, buffer.into(), &Deadline::Now)
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
        self.raw.receive(&mut self.end, buffer.into(), &deadline)
    }

    /// Receives a message, which replaces the vector's contents; waits for it. Returns its length in bytes.
    /// The vector grows if the message is longer than its capacity, and keeps the larger capacity.
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
            // SAFETY: the room is borrowed only here, and `receive` writes it and never reads it.
            let buffer = unsafe { Buffer::new(room.as_mut_ptr().cast(), room.len()) };
            match self.raw.receive(&mut self.end, buffer, &deadline) {
                Ok(len) => {
                    // SAFETY: `receive` has copied the message, whose length is at most that of the buffer,
                    // and all of which lies inside the ring.
                    unsafe { message.set_len(len) };
                    return Ok(len);
                }
                Err(error) if error.kind() == ErrorKind::TooLong => {
                    // A sender that drops the oldest messages may have dropped the one whose length was found, so that
                    // a longer one is next. Then the vector gets room for any message.
                    let len = if has_grown {
                        self.raw.room()
                    } else {
                        self.raw.look_for_message(&mut self.end, &deadline)?.len
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

    /// Returns an iterator over the messages that are in the ring, which does not wait. It ends when there is no
    /// message ([`WouldBlock`](ErrorKind::WouldBlock)), and where the iterator of [`iter`](Receiver::iter) does.
    pub fn try_iter(&mut self) -> Messages<'_> {
        self.messages(Deadline::Now)
    }

    fn messages(&mut self, deadline: Deadline<'static>) -> Messages<'_> {
        Messages {
            receiver: Some(self),
            deadline,
        }
    }

    /// Receives several messages, one after the other in the buffer, and stores their lengths in bytes: waits for the
    /// first, and also takes those that follow it and fit. Returns the number of messages.
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
    /// Those of [`recv`](Receiver::recv) but [`TooLong`](ErrorKind::TooLong); [`OutOfMemory`](ErrorKind::OutOfMemory)
    /// (`ENOMEM`) if the message wraps around the end of the ring, and a buffer for a copy cannot be allocated.
    #[inline]
    pub fn peek(&mut self) -> Result<Message<'_>, Error> {
        self.peek_until(Deadline::Never)
    }

    /// Gives access to a message in place, if there is one now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`), and those of [`peek`](Receiver::peek).
    #[inline]
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

    /// Sets whether receiving continues to wait when all senders have released their roles or died: for a program that
    /// serves one peer after another, such as a log daemon. By default, receiving then fails with
    /// [`Closed`](ErrorKind::Closed) or [`PeerDied`](ErrorKind::PeerDied). With this option, a wait ends only with a
    /// message, at its timeout, or because it is interrupted or cancelled.
    pub fn set_keep_waiting(&mut self, on: bool) {
        self.end.set_keep_waiting(on);
    }

    interrupt_methods!(self, self.end.interrupt());

    #[inline(always)]
    fn peek_until(&mut self, deadline: Deadline) -> Result<Message<'_>, Error> {
        let found = self.raw.peek(&mut self.end, &deadline)?;
        Ok(Message::new(self, found))
    }

    /// Returns a descriptor that is readable when there may be a message, or when the senders have released their roles
    /// or died: for `poll(2)`, `epoll(7)`, `select(2)` and event loops. It belongs to the receiver, which closes it
    /// when it is dropped. Do not read it, and do not close it.
    ///
    /// ```
    /// use shmkey::{ErrorKind, Ring};
    /// use std::os::fd::AsRawFd;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let name = format!("example of a descriptor {}", std::process::id());
    /// # let ring = Ring::open(&name, 4096)?;
    /// # let mut sender = ring.sender()?;
    /// # sender.send_batch(&[b"one", b"two"])?;
    /// # drop(sender);
    /// let mut receiver = ring.receiver()?;
    /// let mut poll = libc::pollfd { fd: receiver.fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// let mut buffer = [0; 1024];
    /// loop {
    ///     // SAFETY: the kernel writes the one element.
    ///     unsafe { libc::poll(&mut poll, 1, -1) };
    ///     loop {
    ///         match receiver.try_recv(&mut buffer) {
    ///             Ok(len) => println!("{len} bytes"),
    ///             Err(error) if error.kind() == ErrorKind::WouldBlock => break,
    /// #           Err(error) if error.kind() == ErrorKind::Closed => return Ok(ring.remove()?),
    ///             Err(error) => return Err(error.into()),
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// *The rule* is that of a non-blocking socket: when the descriptor is readable, call
    /// [`try_recv`](Receiver::try_recv) or [`try_peek`](Receiver::try_peek) until it returns
    /// [`WouldBlock`](ErrorKind::WouldBlock). That call makes the descriptor unreadable until the next message, but for
    /// at most 250 ms. A call that fails with [`Closed`](ErrorKind::Closed) or [`PeerDied`](ErrorKind::PeerDied) leaves
    /// it readable; see [`set_keep_waiting`](Receiver::set_keep_waiting). Level-triggered and edge-triggered event
    /// loops work. The first poll returns at once.
    ///
    /// *When.* After a call has failed with `WouldBlock`, the next message costs its sender one system call, which
    /// makes the descriptor readable; the messages after it cost none, until a call fails with `WouldBlock` again. The
    /// descriptor also becomes readable 250 ms after each `WouldBlock`: so the receiver notices a sender's death within
    /// 300 ms, and wakes up at most four times a second while nothing happens. A sender in another [network
    /// namespace](https://man7.org/linux/man-pages/man7/network_namespaces.7.html) cannot reach the descriptor, and the
    /// receiver notices its messages within 250 ms. The same holds for a descriptor for which there was no room,
    /// because 48 others already wait for the object.
    ///
    /// A cancellation of the handle makes it readable: see [`Canceller`](crate::Canceller).
    ///
    /// *Fork*: a child must not use its parent's descriptor. *Exec* closes it.
    ///
    /// # Errors
    /// [`Other`](ErrorKind::Other) with `EMFILE` or `ENFILE` if the process or the system cannot open three more
    /// descriptors, with `EADDRINUSE` if no free socket address was found, or with `EAFNOSUPPORT`, `EPERM`, `EACCES` or
    /// `ENOSYS` if the system does not let this process make an `AF_UNIX` socket, a timerfd or an epoll descriptor;
    /// [`OutOfMemory`](ErrorKind::OutOfMemory) (`ENOMEM`, `ENOBUFS`); [`Busy`](ErrorKind::Busy) (`EBUSY`) in a child
    /// made by `fork`.
    pub fn fd(&self) -> Result<BorrowedFd<'_>, Error> {
        self.raw.descriptor(&self.end)
    }

    /// Returns the error for a message whose length is not that of a value.
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
    deadline: Deadline<'static>,
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

/// Returns `None` for the errors at which an iterator ends without a failure.
pub(super) fn unless_ended<T>(received: Result<T, Error>) -> Option<Result<T, Error>> {
    match received {
        Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::WouldBlock) => None,
        received => Some(received),
    }
}
