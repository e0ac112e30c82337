//! A number of permits that processes take and give.

use crate::{
    Error, ErrorKind, Place, Segment,
    error::{Action, What},
    object::{Kind, Object, Spec},
    sync::{self, Deadline},
};
use std::time::Duration;

/// A counting semaphore in shared memory: whoever [posts](Semaphore::post) raises the count by one,
/// whoever [waits](Semaphore::wait) lowers it by one, and sleeps while it is 0.
///
/// ```
/// use shmkey::Semaphore;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a semaphore {}", std::process::id());
/// let news = Semaphore::open(name.as_str(), 0)?; // in every process that takes part
/// news.post()?;                                  // in one
/// news.wait()?;                                  // in another
/// # news.remove()
/// # }
/// ```
///
/// What was written before a post is seen after the wait that took it. Neither makes a system call
/// unless a thread sleeps or has to. A process that dies takes nothing along but what it had taken.
/// If a process is killed between raising the count and waking a thread that sleeps, that thread
/// wakes by itself within 250 ms.
///
/// *Removal.* [`remove`](Semaphore::remove), or `shmkey remove`, frees the name at once. The processes
/// that have the semaphore open keep it and wake each other as before; a process that opens the name
/// afterwards gets a new semaphore, and what it posts reaches none of them. [`is_removed`](Semaphore::is_removed)
/// says whether that has happened. A process that runs for a long time calls it now and then, and if so drops
/// the semaphore and opens it anew.
///
/// *Memory:* 1024 bytes.
#[derive(Debug)]
pub struct Semaphore {
    object: Object,
}

impl Semaphore {
    /// The largest count: 2³¹ − 1.
    pub const MAX: u32 = crate::sync::SEMAPHORE_MAX;

    /// Opens the semaphore, or makes it with this first count.
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open); [`Overflow`](crate::ErrorKind::Overflow) if the count
    /// is above [`MAX`](Semaphore::MAX).
    pub fn open(place: impl Into<Place>, first: u32) -> Result<Semaphore, Error> {
        let place = place.into();
        if first > Semaphore::MAX {
            return Err(Error::first_count(first));
        }
        let spec = Spec {
            kind: Kind::Semaphore,
            size: 0,
            layout: &place.layout,
            any_size: false,
            options: None,
        };
        let object = Object::open(&place, &spec, |object| {
            // SAFETY: as in `core`.
            unsafe { object.words::<sync::Semaphore>() }.init(first);
        })?;
        Ok(Semaphore { object })
    }

    /// Raises the count by one, and wakes one who waits.
    ///
    /// # Errors
    /// [`Overflow`](crate::ErrorKind::Overflow) at [`MAX`](Semaphore::MAX), and then nothing changes.
    #[inline]
    pub fn post(&self) -> Result<(), Error> {
        self.words().post().map_err(|_| {
            let error = self.object.error(ErrorKind::Overflow).during(Action::Post);
            error.with(What::Count, Semaphore::MAX.into(), 0)
        })
    }

    /// Lowers the count by one, and waits until that is possible.
    ///
    /// # Errors
    /// None; it is a [`Result`] like the others.
    #[inline]
    pub fn wait(&self) -> Result<(), Error> {
        self.wait_until(Deadline::Never)
    }

    /// Lowers the count by one if that is possible within this time, measured on the monotonic
    /// clock; zero is one try.
    ///
    /// # Errors
    /// [`TimedOut`](crate::ErrorKind::TimedOut), with a time of zero [`WouldBlock`](crate::ErrorKind::WouldBlock).
    #[inline]
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), Error> {
        self.wait_until(Deadline::after(Some(timeout)))
    }

    #[inline]
    pub(crate) fn wait_until(&self, deadline: Deadline) -> Result<(), Error> {
        match self.words().take(deadline) {
            true => Ok(()),
            false => {
                let error = self.object.late(deadline).during(Action::Wait);
                Err(error.with(What::Count, 0, 0))
            }
        }
    }

    /// Lowers the count by one if it is not 0. Whether it was.
    #[inline]
    pub fn try_wait(&self) -> bool {
        self.words().try_take()
    }

    /// The count at this moment.
    #[inline]
    pub fn value(&self) -> u32 {
        self.words().value()
    }

    /// The segment that it lies in: to ask about it, or to tell its id.
    pub fn segment(&self) -> Segment {
        self.object.segment()
    }

    /// Returns whether its segment has been removed: this process still has the semaphore, and a process that
    /// opens it anew gets another one. Makes one system call, which takes some 0.3 µs.
    ///
    /// # Errors
    /// Those of [`Attachment::is_removed`](crate::Attachment::is_removed).
    pub fn is_removed(&self) -> Result<bool, Error> {
        self.object.is_removed()
    }

    /// Removes the segment that the semaphore lies in: its name is free at once, and it goes when
    /// the last process has closed it.
    ///
    /// # Errors
    /// Those of [`Segment::remove`](crate::Segment::remove).
    pub fn remove(&self) -> Result<(), Error> {
        self.segment().remove()
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    fn words(&self) -> &sync::Semaphore {
        // SAFETY: a counter is made of atomics, and copes with any bytes.
        unsafe { self.object.words() }
    }
}
