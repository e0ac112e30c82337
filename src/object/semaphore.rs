//! A count that threads of all processes raise, lower and wait for.

use crate::{
    Error, ErrorKind, Place,
    error::{Action, What},
    object::{Kind, Object, Spec, readiness::Readiness},
    sync::{self, Deadline},
    sys::waitv::Word,
};
use std::{os::fd::BorrowedFd, time::Duration};

/// A counting semaphore in shared memory: a thread that [posts](Semaphore::post) raises the count by one; a
/// thread that [waits](Semaphore::wait) lowers it by one, and sleeps while it is 0.
///
/// ```
/// use shmkey::{ErrorKind, Semaphore};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a semaphore {}", std::process::id());
/// let news = Semaphore::open(&name, 0)?; // in every process that uses it
/// news.post()?;                          // in one
/// news.wait()?;                          // in another
///
/// let error = news.try_wait().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::WouldBlock);
/// let error = news.wait_timeout(Duration::from_millis(1)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::TimedOut);
/// # news.remove()
/// # }
/// ```
///
/// What a thread writes before it posts is visible to the thread whose wait takes that post. Neither call makes a
/// system call unless a thread sleeps or must sleep. The death of a process does not change the count: a count that the
/// process has taken stays taken. If a process is killed between raising the count and waking a thread that sleeps,
/// that thread wakes by itself within 250 ms.
///
/// *Removal.* [`remove`](Semaphore::remove), or `shmkey remove`, frees the name at once. The processes that have the
/// semaphore open keep it and wake each other as before; a process that opens the name afterwards gets a new semaphore,
/// and what it posts reaches none of them. [`is_removed`](Semaphore::is_removed) returns whether that has happened. A
/// process that runs for a long time calls it at intervals; if that returns true, it drops the semaphore and opens it
/// again.
///
/// *Threads*: several threads may use a `Semaphore` at the same time. *Fork*: a child can use its parent's. *Signals*:
/// no method is safe in a signal handler; see [`set_interruptible`](Semaphore::set_interruptible).
///
/// *Memory:* 1024 bytes.
#[derive(Debug)]
pub struct Semaphore {
    object: Object,
    readiness: Readiness,
}

impl Semaphore {
    /// The largest count: 2³¹ − 1.
    pub const MAX: u32 = crate::sync::SEMAPHORE_MAX;

    /// Opens the semaphore, or creates it with this initial count, 0 to [`MAX`](Semaphore::MAX).
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open); [`Overflow`](crate::ErrorKind::Overflow) (`EOVERFLOW`)
    /// if the count is larger.
    pub fn open(place: impl Into<Place>, first: u32) -> Result<Semaphore, Error> {
        let place = place.into();
        if first > Semaphore::MAX {
            return Err(Error::first_count(first).opening(Kind::Semaphore, place.site.name()));
        }
        let spec = Spec {
            kind: Kind::Semaphore,
            size: 0,
            layout: &place.layout,
            any_size: false,
            capacity: 0,
            options: None,
        };
        let object = Object::open(&place, &spec, |object| {
            // SAFETY: as in `core`.
            unsafe { object.words::<sync::Semaphore>() }.init(first);
        })?;
        Ok(Semaphore {
            readiness: Readiness::new(object.interrupt()),
            object,
        })
    }

    /// Raises the count by one, and wakes a thread that waits.
    ///
    /// # Errors
    /// [`Overflow`](crate::ErrorKind::Overflow) (`EOVERFLOW`) if the count is [`MAX`](Semaphore::MAX), and then
    /// it does not change.
    #[inline]
    pub fn post(&self) -> Result<(), Error> {
        self.words().post().map_err(|_| {
            let error = self.object.error(ErrorKind::Overflow).during(Action::Post);
            error.with(What::Count, Semaphore::MAX.into(), 0)
        })
    }

    /// Lowers the count by one; waits while it is 0.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait, which has changed nothing.
    #[inline]
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_until(Deadline::Never)
    }

    /// Lowers the count by one if it is not 0 now.
    ///
    /// # Errors
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) (`EAGAIN`) if it is 0.
    #[inline]
    pub fn try_wait(&self) -> Result<(), Error> {
        self.wait_until(Deadline::Now)
    }

    /// Lowers the count by one; waits at most this time on the monotonic clock while it is 0. A time of zero is
    /// [`try_wait`](Semaphore::try_wait).
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut) (`ETIMEDOUT`) if it is 0 for this time, and those of
    /// [`wait`](Semaphore::wait).
    #[inline]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.wait_until(Deadline::after(Some(timeout)))
    }

    #[inline]
    pub(crate) fn wait_until(&self, deadline: Deadline) -> Result<(), Error> {
        let deadline = deadline.or_at(self.object.interrupt());
        if self.words().take(deadline) {
            return Ok(());
        }
        self.readiness
            .unless_blocked(Err(self.not_taken(deadline)), |number| {
                self.words().enter(number);
                if self.words().try_take() {
                    Ok(())
                } else {
                    Err(self.not_taken(deadline))
                }
            })
    }

    fn not_taken(&self, deadline: Deadline) -> Error {
        let error = self.object.late(deadline).during(Action::Wait);
        error.with(What::Count, 0, 0)
    }

    /// Returns a descriptor that is readable when the count may be above 0: for `poll(2)`, `epoll(7)`, `select(2)` and
    /// event loops. When it is readable, call [`try_wait`](Semaphore::try_wait) until that returns
    /// [`WouldBlock`](ErrorKind::WouldBlock). That call makes the descriptor unreadable until the next
    /// [`post`](Semaphore::post), but for at most 250 ms. [`Receiver::fd`](crate::Receiver::fd) describes these
    /// descriptors.
    ///
    /// # Errors
    /// Those of [`Receiver::fd`](crate::Receiver::fd) about descriptors.
    pub fn fd(&self) -> Result<BorrowedFd<'_>, Error> {
        self.readiness.descriptor(&self.object)
    }

    /// Returns the count now; another thread can change it at any time.
    #[inline]
    #[must_use]
    pub fn value(&self) -> u32 {
        self.words().value()
    }

    interrupt_methods!(self, self.object.interrupt());

    /// Returns the word on which to sleep until the count is not 0.
    pub(crate) fn announce_sleep(&self) -> Word {
        self.words().announce_sleep()
    }

    /// Ends a sleep that was announced.
    pub(crate) fn pass_on(&self) {
        self.words().pass_on();
    }

    /// Makes the descriptor unreadable, unless the count is not 0. Returns whether that is so.
    pub(crate) fn rearm(&self) -> bool {
        let words = self.words();
        self.readiness.rearm(|number| words.enter(number))
    }

    segment_methods!(self, self.object);

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    fn words(&self) -> &sync::Semaphore {
        // SAFETY: a semaphore is made of atomics, and every pattern of bytes is valid.
        unsafe { self.object.words() }
    }
}

impl Drop for Semaphore {
    fn drop(&mut self) {
        if let Some(number) = self.readiness.number() {
            self.words().remove(number);
        }
    }
}
