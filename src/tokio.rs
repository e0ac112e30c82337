//! Waiting for objects in tasks of tokio, with the feature `tokio`.
//!
//! [`Async`] registers the descriptor of an object ([`Receiver::fd`]) with the runtime. A task that waits for the
//! object needs no thread for that. The object itself does not change: a peer can be any program, with or without
//! tokio.
//!
//! ```
//! use shmkey::{ErrorKind, Ring, Semaphore, tokio::Async};
//!
//! # fn main() -> Result<(), shmkey::Error> {
//! # let name = |kind| format!("example of {kind} in tokio {}", std::process::id());
//! # let (ring_name, stop_name) = (name("a ring"), name("a stop"));
//! # let (ring, stop) = (Ring::open(&ring_name, 4096)?, Semaphore::open(&stop_name, 0)?);
//! # ring.sender()?.send(b"two teas")?;
//! # stop.post()?;
//! # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
//! let mut orders = Async::new(Ring::open(&ring_name, 4096)?.receiver()?)?;
//! let stop = Async::new(Semaphore::open(&stop_name, 0)?)?;
//! let mut order = [0; 1024];
//! loop {
//!     tokio::select! {
//!         biased;
//!         received = orders.recv(&mut order) => match received {
//!             Ok(len) => println!("{}", String::from_utf8_lossy(&order[..len])),
//!             Err(error) if error.kind() == ErrorKind::Closed => break,
//!             Err(error) => return Err(error),
//!         },
//!         taken = stop.wait() => {
//!             taken?;
//!             break;
//!         }
//!     }
//! }
//! # Ok(())
//! # })?;
//! # ring.remove()?;
//! # stop.remove()
//! # }
//! ```

use crate::{Error, ErrorKind, Latest, Plain, Receiver, Semaphore, Subscriber, TypedReceiver};
use ::tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Handle,
    task::coop,
};
use core::time::Duration;
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

/// What the errors of this module name as the call.
const CALL: &str = "wait in tokio";

/// An object that [`Async`] can wait for: a [`Receiver`], a [`TypedReceiver`], a [`Subscriber`], a [`Semaphore`] or a
/// [`Latest`].
pub trait Pollable: private::Pollable {}

impl<T: private::Pollable> Pollable for T {}

mod private {
    /// Only this crate's types are pollable.
    pub trait Pollable {
        #[doc(hidden)]
        fn descriptor(&self) -> Result<super::BorrowedFd<'_>, super::Error>;
    }
}

/// Implements the trait for types that have the method `fd`.
macro_rules! pollable {
    ($([$($of:tt)*] $type:ty),+) => {$(
        impl $($of)* private::Pollable for $type {
            fn descriptor(&self) -> Result<BorrowedFd<'_>, Error> {
                self.fd()
            }
        }
    )+};
}

pollable!([] Receiver, [<T: Plain>] TypedReceiver<T>, [] Subscriber, [] Semaphore, [<T: Plain>] Latest<T>);

/// An object that tasks of tokio can wait for. The [module](self) has an example.
///
/// *Cancel safety*: all its futures are cancel safe. A future that is dropped before it is complete, by
/// `tokio::select!` for example, has received no message, lowered no count and read no value; the next call gets it.
///
/// *Cancellers*: a [`Canceller`](crate::Canceller) of the object ends a wait of a task, which fails with
/// [`Cancelled`](ErrorKind::Cancelled).
///
/// *Cost*: that of [`Receiver::fd`], and one more descriptor. A task whose object is always ready yields to other tasks
/// now and then, as a task that reads a socket does.
///
/// *Threads*: a waiting task may move to another thread if the object may. *Fork*: a runtime does not work in a child
/// made by `fork`.
#[derive(Debug)]
pub struct Async<T: Pollable>(AsyncFd<Registered<T>>);

/// An object, and a duplicate of its descriptor, which stays open even if a caller of [`Async::retry`] replaces the
/// object.
#[derive(Debug)]
struct Registered<T> {
    object: T,
    descriptor: OwnedFd,
}

impl<T> AsRawFd for Registered<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl<T: Pollable> Async<T> {
    /// Registers an object with the runtime in which this function is called.
    ///
    /// # Errors
    /// Those of [`Receiver::fd`]; [`Other`](ErrorKind::Other) with `ENXIO` outside of a runtime, and with the error
    /// number of a failed `epoll_ctl(2)`. After an error, the object is dropped.
    ///
    /// # Panics
    /// Tokio panics if the runtime was built without `enable_io`.
    pub fn new(object: T) -> Result<Async<T>, Error> {
        if Handle::try_current().is_err() {
            return Err(Error::new(ErrorKind::Other, libc::ENXIO, CALL));
        }
        let descriptor = object.descriptor()?.try_clone_to_owned();
        let descriptor = descriptor.map_err(|error| of_tokio(&error))?;
        let registered = Registered { object, descriptor };
        // SAFETY: the descriptor is open, and `registered` owns it until it is dropped.
        unsafe { AsyncFd::register_with_interest(registered, Interest::READABLE) }
            .map(Async)
            .map_err(|error| of_tokio(&error.into()))
    }

    /// Calls `attempt` each time that the object may be ready, until it succeeds or fails with an error other than
    /// [`WouldBlock`](ErrorKind::WouldBlock), and returns its result. Use it for operations that have no method here,
    /// such as batches and messages in place.
    ///
    /// ```
    /// # use shmkey::{Ring, tokio::Async};
    /// # fn main() -> Result<(), shmkey::Error> {
    /// # let name = format!("example of a retry in tokio {}", std::process::id());
    /// # let ring = Ring::open(&name, 4096)?;
    /// # let mut sender = ring.sender()?;
    /// # sender.send(b"hello")?;
    /// # tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(async {
    /// let mut receiver = Async::new(ring.receiver()?)?;
    /// let first = receiver.retry(|receiver| {
    ///     let message = receiver.try_peek()?; // in place
    ///     let first = message.get::<u8>(0)?;
    ///     message.release()?;
    ///     Ok(first)
    /// });
    /// assert_eq!(first.await?, b'h');
    /// # Ok::<_, shmkey::Error>(())
    /// # })?;
    /// # ring.remove()
    /// # }
    /// ```
    ///
    /// If `attempt` replaces the object by another one, later calls wait for ever.
    ///
    /// # Errors
    /// Those of `attempt`; [`Other`](ErrorKind::Other) with `ECANCELED` if the runtime shuts down.
    pub async fn retry<R>(
        &mut self,
        mut attempt: impl FnMut(&mut T) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let tried = self.0.async_io_mut(Interest::READABLE, |registered| {
            unless_blocked(attempt(&mut registered.object))
        });
        tried.await.unwrap_or_else(|error| Err(of_tokio(&error)))
    }

    /// Returns the object. If a try on it would block, a task that waits at the same time may notice the next change up
    /// to 250 ms late.
    pub fn get_ref(&self) -> &T {
        &self.0.get_ref().object
    }

    /// Ends the registration, and returns the object.
    pub fn into_inner(self) -> T {
        self.0.into_inner().object
    }
}

/// Translates the result of a try for tokio: would-block is an error of tokio's, and everything else is a result.
fn unless_blocked<R>(tried: Result<R, Error>) -> io::Result<Result<R, Error>> {
    match tried {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        tried => Ok(tried),
    }
}

/// Translates an error of tokio. One without an error number means that the runtime shuts down.
#[cold]
fn of_tokio(error: &io::Error) -> Error {
    let errno = error.raw_os_error().unwrap_or(libc::ECANCELED);
    Error::new(ErrorKind::Other, errno, CALL)
}

impl Async<Receiver> {
    /// Receives a message into a buffer; waits for it. Returns its length in bytes.
    ///
    /// # Errors
    /// Those of [`Receiver::recv`]; [`Other`](ErrorKind::Other) with `ECANCELED` if the runtime shuts down.
    pub async fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.retry(|receiver| receiver.try_recv(buffer)).await
    }

    /// Receives a message, which replaces the vector's contents; waits for it. Returns its length in bytes. If the
    /// future is dropped, the vector may be empty.
    ///
    /// # Errors
    /// Those of [`Receiver::recv_vec`]; [`Other`](ErrorKind::Other) with `ECANCELED` if the runtime shuts down.
    pub async fn recv_vec(&mut self, message: &mut Vec<u8>) -> Result<usize, Error> {
        self.retry(|receiver| receiver.try_recv_vec(message)).await
    }
}

impl<T: Plain> Async<TypedReceiver<T>> {
    /// Receives a value; waits for it.
    ///
    /// # Errors
    /// Those of [`TypedReceiver::recv`]; [`Other`](ErrorKind::Other) with `ECANCELED` if the runtime shuts down.
    pub async fn recv(&mut self) -> Result<T, Error> {
        self.retry(TypedReceiver::try_recv).await
    }
}

impl Async<Subscriber> {
    /// Receives a message into a buffer; waits for it. Returns its length in bytes.
    ///
    /// # Errors
    /// Those of [`Subscriber::recv`]; [`Other`](ErrorKind::Other) with `ECANCELED` if the runtime shuts down.
    pub async fn recv(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.retry(|subscriber| subscriber.try_recv(buffer)).await
    }

    /// Receives a message, which replaces the vector's contents; waits for it. Returns its length in bytes. If the
    /// future is dropped, the vector may be empty.
    ///
    /// # Errors
    /// Those of [`Subscriber::recv_vec`]; [`Other`](ErrorKind::Other) with `ECANCELED` if the runtime shuts down.
    pub async fn recv_vec(&mut self, message: &mut Vec<u8>) -> Result<usize, Error> {
        self.retry(|subscriber| subscriber.try_recv_vec(message))
            .await
    }
}

impl Async<Semaphore> {
    /// Lowers the count by one; waits while it is 0. Several tasks may wait.
    ///
    /// # Errors
    /// Those of [`Semaphore::wait`]; [`Other`](ErrorKind::Other) with `ECANCELED` if the runtime shuts down.
    pub async fn wait(&self) -> Result<(), Error> {
        let tried = self.0.async_io(Interest::READABLE, |registered| {
            unless_blocked(registered.object.try_wait())
        });
        tried.await.unwrap_or_else(|error| Err(of_tokio(&error)))
    }
}

impl<T: Plain> Async<Latest<T>> {
    /// Waits for a value whose version differs from `seen`, stores its version in `seen`, and returns the value. Begin
    /// with 0, which is never the version of a value.
    ///
    /// # Errors
    /// Those of [`Latest::read`]; [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a canceller has ended the wait;
    /// [`Other`](ErrorKind::Other) with `ECANCELED` if the runtime shuts down.
    pub async fn read_newer(&mut self, seen: &mut u64) -> Result<T, Error> {
        // Tokio waits for the next change, so it would miss a value that is newer than `seen` and that an earlier call,
        // with a later version, found not to be newer.
        if self.get_ref().version() != *seen {
            coop::consume_budget().await;
            if let Some(value) = self.get_ref().read_newer(seen)? {
                return Ok(value);
            }
        }
        self.retry(|latest| latest.wait_newer_timeout(seen, Duration::ZERO))
            .await
    }
}
