//! The counting semaphore: one word with the count, and a bit that is set while a thread may sleep.

use super::{
    atomic::{
        self, AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
    wait::{self, Deadline, Sleep},
};

/// The semaphore in a segment: 8 bytes.
#[cfg_attr(not(loom), repr(C))]
pub struct Semaphore {
    /// The count in the upper 31 bits, W in the lowest.
    word: AtomicU32,
    #[cfg(not(loom))]
    reserved: AtomicU32,
}

/// Waiting: a thread sleeps, or slept until just now. A post clears W and wakes one thread, which sets W again
/// because there may be others. So a post accesses nothing after it has raised the count: the thread that takes the
/// count may detach the semaphore at once.
const W: u32 = 1;
const ONE: u32 = 2;

/// The largest count.
pub const MAX: u32 = u32::MAX >> 1;

/// The count would exceed [`MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl Semaphore {
    #[cfg(any(test, loom))]
    pub fn new(count: u32) -> Semaphore {
        Semaphore {
            word: AtomicU32::new(count * ONE),
            #[cfg(not(loom))]
            reserved: AtomicU32::new(0),
        }
    }

    /// Sets the count, at most [`MAX`], while no other thread uses the semaphore.
    pub fn init(&self, count: u32) {
        // Relaxed: the store of *ready* orders it.
        self.word.store(count * ONE, Relaxed);
    }

    /// Returns the count.
    pub fn value(&self) -> u32 {
        // Relaxed: the answer may be outdated as soon as it is returned.
        self.word.load(Relaxed) / ONE
    }

    /// Raises the count by one, and wakes one sleeper.
    #[inline]
    pub fn post(&self) -> Result<(), Overflow> {
        let mut word = self.word.load(Relaxed);
        loop {
            let next = word.checked_add(ONE).ok_or(Overflow)? & !W;
            // Release: pairs with the acquire in `take_and`: the thread that takes this count sees what was written
            // before the post.
            match self
                .word
                .compare_exchange_weak(word, next, Release, Relaxed)
            {
                Ok(_) if word & W == 0 => return Ok(()),
                Ok(_) => {
                    // If the semaphore was unmapped since, the kernel returns an error and no more.
                    atomic::wake_half(&self.word);
                    return Ok(());
                }
                Err(now) => word = now,
            }
        }
    }

    /// Lowers the count by one if it is not 0. Returns whether it did.
    #[inline]
    pub fn try_take(&self) -> bool {
        self.take_and(0).is_some()
    }

    /// Lowers the count by one if it is not 0, sets these bits, and returns the new word.
    #[inline(always)]
    fn take_and(&self, bits: u32) -> Option<u32> {
        let mut word = self.word.load(Relaxed);
        while word >= ONE {
            let next = (word - ONE) | bits;
            // Acquire: pairs with the release in `post`.
            match self
                .word
                .compare_exchange_weak(word, next, Acquire, Relaxed)
            {
                Ok(_) => return Some(next),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Does the same for a thread that has slept.
    fn take_after_sleep(&self) -> bool {
        let Some(word) = self.take_and(W) else {
            return false;
        };
        if word >= ONE {
            // The post that woke this thread has cleared W, so a later post may have woken no other thread.
            atomic::wake_half(&self.word);
        }
        true
    }

    /// Waits until the count is not 0, and lowers it by one. Returns false if the deadline has passed.
    #[inline]
    pub fn take(&self, deadline: Deadline) -> bool {
        self.try_take() || !matches!(deadline, Deadline::Now) && self.take_later(deadline)
    }

    #[cold]
    fn take_later(&self, deadline: Deadline) -> bool {
        if wait::spin(|| self.try_take().then_some(())).is_some() {
            return true;
        }
        let mut sleep = Sleep::until(deadline);
        // A semaphore has no holder whose death matters. Slices are for wake-ups that a killed process did not send.
        sleep.look_often(false);
        loop {
            // Relaxed: W orders nothing; the kernel compares the word again.
            let word = self.word.fetch_or(W, Relaxed) | W;
            if word >= ONE {
                if self.take_after_sleep() {
                    return true;
                }
                continue;
            }
            if !atomic::sleep_half(&self.word, word, &mut sleep) {
                if self.take_after_sleep() {
                    return true;
                }
                // A post may have cleared W to wake this thread, which gives up: the next post must wake another.
                // Relaxed: W orders nothing.
                self.word.fetch_or(W, Relaxed);
                return false;
            }
            if self.take_after_sleep() {
                return true;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicU64, thread, time::Duration};

    #[test]
    fn it_counts() {
        let counter = Semaphore::new(2);
        let take = || counter.take(Deadline::Now);
        assert!(take() && take() && !take());
        counter.post().unwrap();
        assert_eq!(counter.value(), 1);
        assert!(counter.try_take() && !counter.try_take());
    }

    #[test]
    fn overflow_is_an_error_and_changes_nothing() {
        let counter = Semaphore::new(MAX);
        assert_eq!(counter.post(), Err(Overflow));
        assert_eq!(counter.value(), MAX);
        assert!(counter.try_take());
        counter.post().unwrap();
        assert_eq!(counter.value(), MAX);
    }

    #[test]
    fn many_threads_lose_no_count() {
        const EACH: u32 = 20_000;
        let counter = Semaphore::new(0);
        let taken = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..EACH).for_each(|_| counter.post().unwrap()));
                scope.spawn(|| {
                    for _ in 0..EACH {
                        assert!(counter.take(Deadline::after(Some(Duration::from_secs(60)))));
                        taken.fetch_add(1, Relaxed);
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), u64::from(3 * EACH));
        assert_eq!(counter.value(), 0);
    }
}
