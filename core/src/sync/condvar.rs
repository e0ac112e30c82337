//! The condition variable: a count of notifications. A thread that has released a mutex sleeps on it.
//!
//! A thread reads the count while it holds the mutex, releases the mutex, and sleeps while the count is unchanged. So
//! no thread misses a notification after the release. A thread that begins to wait after a notification cannot take it
//! from one that waited before, because it has read the new count.
//!
//! *Yielding.* A thread that waits on the processor that the last notification came from yields a few times before it
//! sleeps: the next thread to notify it may be waiting for this processor, and then makes no system call.
//!
//! *Deaths.* All waiting threads find the changed count at the latest at the end of their slices. So a thread that is
//! killed after it was woken, or between the change and the wake-up, only delays the others. Locking the mutex returns
//! whether its owner has died.

use super::{
    atomic::{
        self, AtomicU32,
        Ordering::{self, Acquire, Relaxed, Release},
    },
    mutex::{Acquired, Condition, LockError, Mutex, NotOwner, Threads},
    wait::{self, Deadline, Sleep},
};

/// The condition variable in a segment: 8 bytes, all zero at first.
#[cfg_attr(not(loom), repr(C))]
#[derive(Default)]
pub struct Condvar {
    /// The count of notifications in the upper 31 bits, [`W`] in the lowest.
    word: AtomicU32,
    /// The processor on which the last thread that notified ran, plus 1; 0 if that is unknown.
    cpu: AtomicU32,
}

/// A thread sleeps, or is about to sleep.
const W: u32 = 1;
const ONE: u32 = 2;

/// How a wait ended. The calling thread holds the mutex again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    pub acquired: Acquired,
    /// Whether there was a notification before the deadline and before an interrupt.
    pub is_notified: bool,
}

/// Why a thread does not hold the mutex after a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// It did not hold it before, and has not waited.
    NotOwner,
    /// The data that the mutex protects is lost: this thread or another one has unlocked it while it was suspect.
    NotRecoverable,
}

impl Condvar {
    /// Releases the mutex, waits for a notification, and acquires the mutex again, however long that takes.
    /// May also return without a notification: the caller checks its condition again. The calling thread's
    /// number is `me`.
    pub fn wait(
        &self,
        mutex: &Mutex,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Waited, WaitError> {
        // Relaxed: the release of the mutex orders this load before any change that another thread makes while it holds
        // the mutex.
        let count = self.count(Relaxed);
        let is_consistent = mutex.look().1 == Condition::Consistent;
        mutex
            .unlock(threads)
            .map_err(|NotOwner| WaitError::NotOwner)?;
        if !is_consistent {
            return Err(WaitError::NotRecoverable); // the unlock has made the data lost
        }
        let is_notified = self.await_another(count, deadline);
        match mutex.lock(me, threads, Deadline::Never) {
            Ok(acquired) => Ok(Waited {
                acquired,
                is_notified,
            }),
            Err(LockError::NotRecoverable) => Err(WaitError::NotRecoverable),
            // It holds no lock, and has no deadline.
            Err(LockError::Deadlock | LockError::TimedOut) => Err(WaitError::NotOwner),
        }
    }

    /// Waits until the count of notifications differs from `count`. Returns false if it was the same at the deadline,
    /// or when the wait was interrupted.
    fn await_another(&self, count: u32, deadline: Deadline) -> bool {
        // Relaxed: any value is harmless.
        let notifier = self.cpu.load(Relaxed).checked_sub(1);
        if !matches!(deadline, Deadline::Now) && wait::is_here(notifier) {
            // Acquire: as below.
            let is_another = || (self.count(Acquire) != count).then_some(());
            if wait::yield_for(is_another).is_some() {
                return true;
            }
        }
        let mut sleep = Sleep::until(deadline);
        // There is no holder that can die; only a wake-up can be lost, if the process that should send it is killed.
        sleep.check_often(false);
        let (mut in_time, mut has_passed_on) = (true, false);
        loop {
            // Acquire: pairs with the release in `notify_one` and `notify_all`.
            let word = self.word.fetch_or(W, Acquire) | W;
            if word >> 1 != count {
                return true;
            }
            if !in_time {
                return false;
            }
            // If W has been cleared since, the kernel returns at once.
            in_time = atomic::sleep_half(&self.word, word, &mut sleep);
            // The kernel wakes threads with real-time priorities first: this one may have been woken in place of a thread
            // that has waited since before the notification. Once, so that such threads do not wake each other for ever.
            if !has_passed_on && !sleep.has_expired() && self.count(Relaxed) == count {
                has_passed_on = true;
                atomic::wake_all_half(&self.word);
            }
        }
    }

    fn count(&self, order: Ordering) -> u32 {
        self.word.load(order) >> 1
    }

    /// Stores on which processor this thread runs, for the threads that wait.
    #[inline]
    fn tell_cpu(&self) {
        // Relaxed: it orders nothing.
        let cpu = crate::sys::cpu().map_or(0, |cpu| cpu.wrapping_add(1));
        self.cpu.store(cpu, Relaxed);
    }

    /// Notifies one thread that waits.
    #[inline]
    pub fn notify_one(&self) {
        self.tell_cpu();
        // Release: a thread that sees the new count sees what this one wrote before, even if this one does not hold the
        // mutex.
        let word = self.word.fetch_add(ONE, Release).wrapping_add(ONE);
        if word & W != 0 {
            self.wake_one(word);
        }
    }

    /// Wakes one thread. Others may still sleep, so W stays, unless no thread was asleep.
    #[cold]
    fn wake_one(&self, word: u32) {
        // Threads may have fallen asleep before W is cleared, so wake again: all of them, because the next notification
        // finds no W until one of them has set it again. Relaxed: W orders nothing. If the word has changed since, W
        // stays.
        if !atomic::wake_half(&self.word)
            && self
                .word
                .compare_exchange(word, word & !W, Relaxed, Relaxed)
                .is_ok()
        {
            atomic::wake_all_half(&self.word);
        }
    }

    /// Returns the count of notifications, and whether a thread waits or has waited since the last one, for
    /// display.
    pub fn look(&self) -> (u32, bool) {
        // Relaxed: the answer may be outdated as soon as it is returned.
        let word = self.word.load(Relaxed);
        (word >> 1, word & W != 0)
    }

    /// Notifies all threads that wait.
    #[inline]
    pub fn notify_all(&self) {
        self.tell_cpu();
        let mut word = self.word.load(Relaxed);
        loop {
            let next = word.wrapping_add(ONE) & !W;
            // Release: as in `notify_one`.
            match self
                .word
                .compare_exchange_weak(word, next, Release, Relaxed)
            {
                Ok(_) if word & W == 0 => return,
                Ok(_) => return atomic::wake_all_half(&self.word),
                Err(now) => word = now,
            }
        }
    }
}
