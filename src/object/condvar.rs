//! Waiting for a change of the value in a mutex.

use crate::{
    Error, Mutex, MutexGuard, Place, Plain,
    error::{Action, What},
    object::mutex::RawMutex,
    object::{Kind, Object, Spec},
    sync::{self, Acquired, Deadline, Waited},
};
use std::time::Duration;

/// A condition variable in shared memory: threads of all processes wait until another one notifies them that the
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
/// *Wake-ups.* No notification is lost: one that comes after the wait has unlocked the mutex ends the wait. A
/// notification is not taken by a thread that begins to wait after it. A wait may also end without a notification,
/// so the caller checks its condition again, or uses [`wait_while`](Condvar::wait_while).
///
/// *Deaths.* A process that is killed while it waits or notifies delays the other threads by at most 300 ms. The
/// mutex is robust: if its holder has died, [`MutexGuard::owner_died`] is true for the guard that a wait returns.
///
/// *Waiting* sleeps, and wakes up 4 times a second. A notification makes no system call if no thread waits.
///
/// *The mutex* may have any value, and may lie in another segment. All threads that wait at the same time use the
/// same mutex. A guard whose [`owner_died`](MutexGuard::owner_died) is true must be marked as consistent before the
/// wait, which unlocks the mutex: otherwise the value is lost.
///
/// *Removal and namespaces*: as for a [`Mutex`]. *Threads*: several threads may use one at the same time. *Fork*: a
/// child can use its parent's. *Signals*: no method is safe in a signal handler; signals do not end a wait.
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

impl Condvar {
    /// Opens the condition variable, or makes it.
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
    /// [`NotRecoverable`](crate::ErrorKind::NotRecoverable) (`ENOTRECOVERABLE`) if the value is lost;
    /// [`NotOwner`](crate::ErrorKind::NotOwner) (`EPERM`) in a child that has its parent's guard. Then the thread does
    /// not have the lock.
    pub fn wait<'a, T: Plain>(&self, guard: MutexGuard<'a, T>) -> Result<MutexGuard<'a, T>, Error> {
        self.wait_until(guard, Deadline::Never)
            .map(|(guard, _)| guard)
    }

    /// Does the same; waits for a notification at most this time on the monotonic clock. It then waits for the mutex
    /// without limit.
    ///
    /// # Errors
    /// Those of [`wait`](Condvar::wait). The end of the timeout is no error.
    pub fn wait_timeout<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), Error> {
        self.wait_until(guard, Deadline::after(Some(timeout)))
    }

    /// Waits as long as `condition` is true of the value. Calls it with the mutex locked: before the first wait and
    /// after each.
    ///
    /// # Errors
    /// Those of [`wait`](Condvar::wait).
    pub fn wait_while<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut MutexGuard<'a, T>) -> bool,
    ) -> Result<MutexGuard<'a, T>, Error> {
        self.wait_while_until(guard, Deadline::Never, condition)
            .map(|(guard, _)| guard)
    }

    /// Does the same; waits at most this time on the monotonic clock. The result tells that it timed out if
    /// `condition` is still true then.
    ///
    /// # Errors
    /// Those of [`wait`](Condvar::wait). The end of the timeout is no error.
    pub fn wait_timeout_while<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
        condition: impl FnMut(&mut MutexGuard<'a, T>) -> bool,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), Error> {
        self.wait_while_until(guard, Deadline::after(Some(timeout)), condition)
    }

    fn wait_while_until<'a, T: Plain>(
        &self,
        mut guard: MutexGuard<'a, T>,
        deadline: Deadline,
        mut condition: impl FnMut(&mut MutexGuard<'a, T>) -> bool,
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), Error> {
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
    ) -> Result<(MutexGuard<'a, T>, WaitTimeoutResult), Error> {
        let mutex: &'a Mutex<T> = guard.mutex();
        // If the wait fails, the thread does not have the lock, and dropping the guard does nothing.
        let waited = self.wait_with(mutex.raw(), deadline)?;
        core::mem::forget(guard);
        Ok((
            mutex.guard(waited.acquired == Acquired::OwnerDied),
            WaitTimeoutResult(waited.timed_out),
        ))
    }

    pub(crate) fn wait_with(&self, mutex: &RawMutex, deadline: Deadline) -> Result<Waited, Error> {
        mutex.wait(self.words(), deadline)
    }

    /// Returns the error for a wait that no notification has ended.
    #[cold]
    pub(crate) fn not_notified(&self, deadline: Deadline) -> Error {
        let error = self.object.late(deadline).during(Action::Wait);
        error.with(What::NotNotified, 0, 0)
    }

    /// Notifies one thread that waits. Without one, nothing happens: notifications are not kept.
    #[inline]
    pub fn notify_one(&self) {
        self.words().notify_one();
    }

    /// Notifies all threads that wait.
    #[inline]
    pub fn notify_all(&self) {
        self.words().notify_all();
    }

    segment_methods!(self, self.object);

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    #[inline(always)]
    fn words(&self) -> &sync::Condvar {
        // SAFETY: it is made of atomics, and copes with any bytes.
        unsafe { self.object.words() }
    }
}
