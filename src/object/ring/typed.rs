//! A ring whose messages are values of one type.

use super::{Receiver, Ring, Sender, receiver::unless_ended};
use crate::{Error, ErrorKind, Place, Plain, plain};
use core::{fmt, iter::FusedIterator, marker::PhantomData};
use std::{os::fd::BorrowedFd, time::Duration};

/// A [`Ring`] whose messages are values of one type.
///
/// ```
/// use shmkey::TypedRing;
///
/// shmkey::plain! {
///     #[derive(Debug, PartialEq)]
///     struct Tick {
///         price: f64,
///         volume: u64,
///     }
/// }
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a typed ring {}", std::process::id());
/// // In one process:
/// let ring = TypedRing::<Tick>::open(&name, 1000)?;
/// let mut sender = ring.sender()?;
/// sender.send(&Tick { price: 99.5, volume: 3 })?;
/// drop(sender);
///
/// // In another:
/// let mut receiver = TypedRing::<Tick>::open(&name, 1000)?.receiver()?;
/// assert_eq!(receiver.recv()?, Tick { price: 99.5, volume: 3 });
/// # ring.ring().remove()
/// # }
/// ```
///
/// It is an ordinary [`Ring`], with the same guarantees: a program in C sends and receives the bytes of a value. Give
/// the [layout](Place::layout) a name, so that no process opens the ring for another type of the same size. For a typed
/// ring with options, convert a `Ring`: `TypedRing::from(Ring::options()….open(…)?)`.
#[derive(Clone)]
pub struct TypedRing<T: Plain> {
    ring: Ring,
    value: PhantomData<T>,
}

impl<T: Plain> TypedRing<T> {
    /// Opens the ring, or creates it, for one sender, which waits if there is no room for a value. The ring has room
    /// for at least `values` values. With 0, opens a ring that exists, whatever its capacity and options are.
    ///
    /// # Errors
    /// Those of [`RingOptions::open`](crate::RingOptions::open).
    pub fn open(place: impl Into<Place>, values: usize) -> Result<TypedRing<T>, Error> {
        let capacity = match values {
            0 => 0,
            _ => TypedRing::<T>::capacity_for(values),
        };
        Ring::open(place, capacity).map(TypedRing::from)
    }

    /// Returns the capacity in bytes of a ring with room for this many values: the one that
    /// [`open`](TypedRing::open) uses, and that a program in C passes to open the same ring.
    #[must_use]
    pub const fn capacity_for(values: usize) -> usize {
        // A message has a header of 8 bytes, or 64 if it is long, and takes whole lines of 64 bytes.
        let header = if size_of::<T>() > 16 << 10 { 64 } else { 8 };
        let message = (size_of::<T>() + header).next_multiple_of(64);
        // The ring adds 64 bytes to the capacity, which is also the longest message.
        let capacity = message.saturating_mul(values).saturating_sub(64);
        let least = if size_of::<T>() < 64 {
            64
        } else {
            size_of::<T>()
        };
        if capacity < least { least } else { capacity }
    }

    /// Takes the role of the sender, or of one of the senders.
    ///
    /// # Errors
    /// Those of [`Ring::sender`].
    pub fn sender(&self) -> Result<TypedSender<T>, Error> {
        self.ring.sender().map(TypedSender::from)
    }

    /// Takes the role of the receiver.
    ///
    /// # Errors
    /// Those of [`Ring::receiver`].
    pub fn receiver(&self) -> Result<TypedReceiver<T>, Error> {
        self.ring.receiver().map(TypedReceiver::from)
    }

    /// Returns the ring of bytes, for example to remove it.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }
}

/// Treats the messages of a ring as values of this type.
impl<T: Plain> From<Ring> for TypedRing<T> {
    fn from(ring: Ring) -> TypedRing<T> {
        TypedRing {
            ring,
            value: PhantomData,
        }
    }
}

impl<T: Plain> fmt::Debug for TypedRing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedRing").field(&self.ring).finish()
    }
}

/// The role of a sender of a [`TypedRing`]. Dropping it releases the role.
#[must_use = "the sender's role is released when it is dropped"]
pub struct TypedSender<T: Plain> {
    sender: Sender,
    value: PhantomData<T>,
}

impl<T: Plain> TypedSender<T> {
    /// Sends a value; waits until there is room for it.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<(), Error> {
        self.sender.send(plain::bytes_of(value))
    }

    /// Sends a value if there is room for it now.
    ///
    /// # Errors
    /// Those of [`Sender::try_send`].
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), Error> {
        self.sender.try_send(plain::bytes_of(value))
    }

    /// Sends a value; waits for room at most this time.
    ///
    /// # Errors
    /// Those of [`Sender::send_timeout`].
    #[inline]
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<(), Error> {
        self.sender.send_timeout(plain::bytes_of(value), timeout)
    }

    interrupt_methods!(self, self.sender.end.interrupt());
}

/// Treats the messages of a sender as values of this type.
impl<T: Plain> From<Sender> for TypedSender<T> {
    fn from(sender: Sender) -> TypedSender<T> {
        TypedSender {
            sender,
            value: PhantomData,
        }
    }
}

impl<T: Plain> fmt::Debug for TypedSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedSender").field(&self.sender).finish()
    }
}

/// The role of the receiver of a [`TypedRing`]. Dropping it releases the role.
///
/// If the length of a message is not that of a value, another program sent it, or sent a value of another type. The
/// receiving call then releases the message and returns [`WrongLayout`](ErrorKind::WrongLayout) (`EPROTO`).
#[must_use = "the receiver's role is released when it is dropped"]
pub struct TypedReceiver<T: Plain> {
    receiver: Receiver,
    value: PhantomData<T>,
}

impl<T: Plain> TypedReceiver<T> {
    /// Receives a value; waits for it.
    ///
    /// # Errors
    /// [`WrongLayout`](ErrorKind::WrongLayout) (`EPROTO`) for a message of another length, and those of
    /// [`Receiver::recv`] but [`TooLong`](ErrorKind::TooLong).
    #[inline]
    pub fn recv(&mut self) -> Result<T, Error> {
        self.recv_by(Receiver::recv)
    }

    /// Receives a value if there is one now.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`), and those of [`recv`](TypedReceiver::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, Error> {
        self.recv_by(Receiver::try_recv)
    }

    /// Receives a value; waits for it at most this time.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`), and those of [`recv`](TypedReceiver::recv).
    #[inline]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, Error> {
        self.recv_by(|receiver, buffer| receiver.recv_timeout(buffer, timeout))
    }

    /// Sets whether receiving continues to wait when all senders have released their roles or died; see
    /// [`Receiver::set_keep_waiting`].
    pub fn set_keep_waiting(&mut self, on: bool) {
        self.receiver.set_keep_waiting(on);
    }

    interrupt_methods!(self, self.receiver.end.interrupt());

    #[inline]
    fn recv_by(
        &mut self,
        recv: impl Fn(&mut Receiver, &mut [u8]) -> Result<usize, Error>,
    ) -> Result<T, Error> {
        let receiver = &mut self.receiver;
        plain::read(|buffer| match recv(receiver, buffer) {
            Ok(len) if len == buffer.len() => Ok(()),
            Ok(_) => Err(receiver.wrong_length()),
            Err(error) if error.kind() == ErrorKind::TooLong => {
                Err(release_too_long(receiver, buffer.len()))
            }
            Err(error) => Err(error),
        })
    }

    /// Returns a descriptor that is readable when there may be a value. [`Receiver::fd`] describes it.
    ///
    /// # Errors
    /// Those of [`Receiver::fd`].
    pub fn fd(&self) -> Result<BorrowedFd<'_>, Error> {
        self.receiver.fd()
    }

    pub(crate) fn untyped(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// Returns an iterator over the values, which waits for each: `Ok` with a value, or `Err` once. It ends as
    /// that of [`Receiver::iter`] does. `for value in &mut receiver` is the same.
    pub fn iter(&mut self) -> Values<'_, T> {
        Values {
            receiver: Some(self),
            recv: TypedReceiver::recv,
        }
    }

    /// Returns an iterator over the values that are in the ring, which does not wait. It ends as that of
    /// [`Receiver::try_iter`] does.
    pub fn try_iter(&mut self) -> Values<'_, T> {
        Values {
            receiver: Some(self),
            recv: TypedReceiver::try_recv,
        }
    }
}

/// Releases the next message, which is longer than a value, and returns the error for it.
#[cold]
fn release_too_long(receiver: &mut Receiver, len: usize) -> Error {
    // A sender that drops the oldest messages may have dropped it already.
    if let Ok(message) = receiver.try_peek()
        && message.len() > len
    {
        let _ = message.release();
    }
    receiver.wrong_length()
}

/// Treats the messages of a receiver as values of this type.
impl<T: Plain> From<Receiver> for TypedReceiver<T> {
    fn from(receiver: Receiver) -> TypedReceiver<T> {
        TypedReceiver {
            receiver,
            value: PhantomData,
        }
    }
}

impl<'a, T: Plain> IntoIterator for &'a mut TypedReceiver<T> {
    type Item = Result<T, Error>;
    type IntoIter = Values<'a, T>;

    fn into_iter(self) -> Values<'a, T> {
        self.iter()
    }
}

impl<T: Plain> fmt::Debug for TypedReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedReceiver")
            .field(&self.receiver)
            .finish()
    }
}

/// An iterator over values: made by [`TypedReceiver::iter`] and [`TypedReceiver::try_iter`].
#[must_use = "an iterator receives nothing until `next` is called"]
pub struct Values<'a, T: Plain> {
    /// `None` after the end.
    receiver: Option<&'a mut TypedReceiver<T>>,
    recv: fn(&mut TypedReceiver<T>) -> Result<T, Error>,
}

impl<T: Plain> Iterator for Values<'_, T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Result<T, Error>> {
        let received = (self.recv)(self.receiver.as_mut()?);
        if received.is_err() {
            self.receiver = None;
        }
        unless_ended(received)
    }
}

impl<T: Plain> FusedIterator for Values<'_, T> {}

impl<T: Plain> fmt::Debug for Values<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Values").field(&self.receiver).finish()
    }
}
