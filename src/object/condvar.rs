//! Waiting for a change of the value in a mutex.

use crate::{
    Error, ErrorKind, Mutex, MutexGuard, Place, Plain,
    error::{Action, What},
    object::mutex::RawMutex,
    object::{Kind, Object, Spec},
    sync::{self, Acquired, Deadline, Waited},
};
use core::fmt;
use std::time::Duration;

/// A condition variable in shared memory: a thread waits until another thread, in any process, notifies it that the
/// value in a [`Mutex`] has changed.
///
/// Its methods are those of [`std::sync::Condvar`]. Each process opens the condition variable and the mutex.
///
/// ```
/// use shmkey::{Condvar, Mutex};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = |what: &str| format!("example of a {what} {}", std::process::id());
/// let jobs = Mutex::<u64>::open(name("count of jobs"), 0)?;
/// let added = Condvar::open(name("condition variable"))?;
/// # std::thread::scope(|threads| {
/// # threads.spawn(|| -> Result<(), shmkey::Error> {
///
/// // In one process:
/// jobs.lock()?.update(|count| *count += 1);
/// added.notify_one();
/// # Ok(())
/// # });
///
/// // In another one:
/// let mut guard = added.wait_while(jobs.lock()?, |jobs| jobs.get() == 0)?;
/// guard.update(|count| *count -= 1);
/// # drop(guard);
/// # jobs.remove()?;
/// # added.remove()
/// # })
/// # }
/// ```
///
/// *Wake-ups.* No notification is lost: one that comes after the wait has unlocked the mutex ends the wait, and a
/// thread that begins to wait later cannot take it. A wait may also end without a notification, so the caller checks
/// its condition again, or uses [`wait_while`](Condvar::wait_while).
///
/// *Deaths.* A process that is killed while it waits or notifies delays the other threads by at most 300 ms. The
/// mutex is robust: if its holder has died, [`MutexGuard::owner_died`] is true for the guard that a wait returns.
///
/// *Waiting* sleeps, and wakes up 4 times a second. A notification makes no system call if no thread waits.
///
/// *The mutex* may have a value of any type, and may be in another segment. All threads that wait at the same time use
/// the same mutex. Before a wait with a guard whose [`owner_died`](MutexGuard::owner_died) is true, mark the value as
/// consistent; otherwise it is lost when the wait unlocks the mutex.
///
/// *Removal and namespaces* work as for a [`Mutex`]. *Threads*: several threads may use a `Condvar` at the same time.
/// *Fork*: a child can use its parent's. *Signals*: no method is safe in a signal handler; signals do not end a wait,
/// unless [`set_interruptible`](Condvar::set_interruptible) allows it.
///
/// *Memory:* 1024 bytes.
#[derive(Debug)]
pub struct Condvar {
    object: Object,
}

/// Whether a wait ended at its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Returns whether no notification came before the timeout.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

/// Why a wait for a [`Condvar`] has failed, and the guard of the mutex, if the thread has it.
///
/// ```
/// use shmkey::{Condvar, ErrorKind, Mutex};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = |what: &str| format!("example of a failed wait {what} {}", std::process::id());
/// let jobs = Mutex::<u64>::open(name("count"), 0)?;
/// let added = Condvar::open(name("condition variable"))?;
/// added.canceller().cancel();
///
/// let failed = added.wait(jobs.lock()?).unwrap_err();
/// assert_eq!(failed.kind(), ErrorKind::Cancelled);
/// let guard = failed.into_guard().expect("the thread has the lock after a cancellation");
/// # drop(guard);
/// # jobs.remove()?;
/// # added.remove()
/// # }
/// ```
///
/// The operator `?` converts it to an [`Error`], and unlocks the mutex.
pub struct WaitError<'a, T: Plain> {
    error: Error,
    guard: Option<MutexGuard<'a, T>>,
}

impl<'a, T: Plain> WaitError<'a, T> {
    /// Returns the error.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// Returns the guard, if the thread has the mutex: after [`Interrupted`](ErrorKind::Interrupted) and
    /// [`Cancelled`](ErrorKind::Cancelled), but not after another error.
    #[must_use = "the mutex is unlocked when its guard is dropped"]
    pub fn into_guard(self) -> Option<MutexGuard<'a, T>> {
        self.guard
    }
}

/// Unlocks the mutex.
impl<T: Plain> From<WaitError<'_, T>> for Error {
    fn from(failed: WaitError<'_, T>) -> Error {
        failed.error
    }
}

impl<T: Plain> fmt::Debug for WaitError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitError")
            .field("error", &self.error)
            .field("is_locked", &self.guard.is_some())
            .finish()
    }
}

impl<T: Plain> fmt::Display for WaitError<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: Plain> core::error::Error for WaitError<'_, T> {}

impl Condvar {
    /// Opens the condition variable, or creates it.
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open).
    pub fn open(place: impl Into<Place>) -> Result<Condvar, Error> {
        let place = place.into();
        let spec = Spec {
            kind: Kind::Condvar,
            size: 0,
            any_size: false,
            capacity: 0,
            layout: &place.layout,
            options: None,
        };
        Ok(Condvar {
            object: Object::open(&place, &spec, |_| {})?,
        })
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) of the condition variable has ended the wait; the thread
    /// then waits for the mutex without limit, and has the lock: [`WaitError::into_guard`].
    ///
    /// [`NotRecoverable`](ErrorKind::NotRecoverable) (`ENOTRECOVERABLE`) if the value is lost;
    /// [`NotOwner`](ErrorKind::NotOwner) (`EPERM`) in a child made by `fork` that has its parent's guard. After either
    /// error, the thread does not have the mutex.
    pub fn wait<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> Result<MutexGuard<'a, T>, WaitError<'a, T>> {
        self.wait_until(guard, Deadline::Never)
            .map(|(guard, _)| guard)
    }

    /// Unlocks the mutex, waits for a notification at most this time on the monotonic clock, and locks the mutex again,
    /// for which it waits without limit.
    ///
    /// # Errors
    /// Those of [`wait`](Condvar::wait). The end of the timeout is no error.
    pub fn wait_timeout<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), WaitError<'a, T>> {
        self.wait_until(guard, Deadline::after(Some(timeout)))
    }

    /// Waits as long as `condition` returns true. Calls `condition` with the mutex locked, before the first wait and
    /// after each wait.
    ///
    /// # Errors
    /// Those of [`wait`](Condvar::wait).
    pub fn wait_while<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut MutexGuard<'a, T>) -> bool,
    ) -> Result<MutexGuard<'a, T>, WaitError<'a, T>> {
        self.wait_while_until(guard, Deadline::Never, condition)
            .map(|(guard, _)| guard)
    }

    /// Waits as long as `condition` returns true, at most this time on the monotonic clock.
    /// [`timed_out`](WaitTimeoutResult::timed_out) is true for the result if `condition` still returns true at the end.
    ///
    /// # Errors
    /// Those of [`wait`](Condvar::wait). The end of the timeout is no error.
    pub fn wait_timeout_while<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: impl FnMut(&mut MutexGuard<'a, T>) -> bool,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), WaitError<'a, T>> {
        self.wait_while_until(guard, Deadline::after(Some(timeout)), condition)
    }

    fn wait_while_until<'a, T: Plain>(
        &self,
        mut guard: MutexGuard<'a, T>,
        deadline: Deadline,
        mut condition: impl FnMut(&mut MutexGuard<'a, T>) -> bool,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), WaitError<'a, T>> {
        let mut result = WaitTimeoutResult(false);
        while condition(&mut guard) {
            if result.timed_out() {
                return Ok((guard, result));
            }
            (guard, result) = self.wait_until(guard, deadline)?;
        }
        Ok((guard, WaitTimeoutResult(false)))
    }

    fn wait_until<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Deadline,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), WaitError<'a, T>> {
        let deadline = deadline.or_at(self.object.interrupt());
        let mutex: &'a Mutex<T> = guard.mutex();
        let waited = match self.wait_with(mutex.raw(), deadline) {
            Ok(waited) => waited,
            // The thread does not have the mutex, and dropping the guard does nothing.
            Err(error) => return Err(WaitError { error, guard: None }),
        };
        core::mem::forget(guard);
        let guard = mutex.guard(waited.acquired == Acquired::OwnerDied);
        if !waited.is_notified {
            let error = self.not_notified(deadline);
            if let ErrorKind::Interrupted | ErrorKind::Cancelled = error.kind() {
                let guard = Some(guard);
                return Err(WaitError { error, guard });
            }
        }
        Ok((guard, WaitTimeoutResult(!waited.is_notified)))
    }

    pub(crate) fn wait_with(&self, mutex: &RawMutex, deadline: Deadline) -> Result<Waited, Error> {
        mutex.wait(self.words(), deadline)
    }

    /// Returns the error for a wait with this deadline that no notification has ended.
    #[cold]
    pub(crate) fn not_notified(&self, deadline: Deadline) -> Error {
        let error = self.object.late(deadline).during(Action::Wait);
        error.with(What::NotNotified, 0, 0)
    }

    /// Notifies one waiting thread. Does nothing if no thread waits: a notification is not kept. The waits of the other
    /// threads end, too, within 300 ms.
    #[inline]
    pub fn notify_one(&self) {
        self.words().notify_one();
    }

    /// Notifies all waiting threads.
    #[inline]
    pub fn notify_all(&self) {
        self.words().notify_all();
    }

    interrupt_methods!(self, self.object.interrupt());
    segment_methods!(self, self.object);

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    #[inline(always)]
    fn words(&self) -> &sync::Condvar {
        // SAFETY: the words are atomics, and are valid whatever their bytes are.
        unsafe { self.object.words() }
    }
}
