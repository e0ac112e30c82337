//! The counting semaphore: one word with the count, a bit that is set while a thread may sleep, and a number that is
//! not 0 while a descriptor waits.

use super::{
    atomic::{
        self, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    pollers::{Pollers, Taken},
    wait::{self, Deadline, Sleep},
};
#[cfg(not(loom))]
use crate::sys::waitv::Word;
use core::num::NonZeroU32;

/// The semaphore in a segment.
#[cfg_attr(not(loom), repr(C))]
pub struct Semaphore {
    /// The lower half has the count in its upper 31 bits, and W in its lowest. The upper half has P.
    word: AtomicU64,
    /// The descriptors that wait until the count is not 0.
    pollers: Pollers,
}

/// Waiting: a thread sleeps, or slept until just now. A post clears W and wakes one thread, which sets W again
/// because there may be others. So a post accesses nothing after it has raised the count: the thread that takes the
/// count may detach the semaphore at once.
const W: u64 = 1;
const ONE: u64 = 2;
/// Polling: how often a descriptor was entered since the last post. A post takes the descriptors out before it raises
/// the count, and sets P to 0 as it does that; if P has changed, it begins anew.
const P: u64 = 1 << 32;

/// The largest count.
pub const MAX: u32 = u32::MAX >> 1;

/// The count would exceed [`MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// Returns the word after a post.
#[inline(always)]
fn raised(word: u64) -> Result<u64, Overflow> {
    let raised = (word as u32).checked_add(ONE as u32).ok_or(Overflow)?;
    Ok(u64::from(raised) & !W)
}

/// Returns whether the count is not 0.
#[inline(always)]
fn has_count(word: u64) -> bool {
    word as u32 >= ONE as u32
}

impl Semaphore {
    #[cfg(any(test, loom))]
    pub fn new(count: u32) -> Semaphore {
        Semaphore {
            word: AtomicU64::new(u64::from(count) * ONE),
            pollers: Pollers::default(),
        }
    }

    /// Sets the count, at most [`MAX`], while no other thread uses the semaphore.
    pub fn init(&self, count: u32) {
        // Relaxed: the store of *ready* orders it.
        self.word.store(u64::from(count) * ONE, Relaxed);
    }

    /// Returns the count.
    pub fn value(&self) -> u32 {
        // Relaxed: the answer may be outdated as soon as it is returned.
        self.word.load(Relaxed) as u32 / ONE as u32
    }

    /// Raises the count by one, wakes one sleeper, and makes the descriptors readable.
    #[inline]
    pub fn post(&self) -> Result<(), Overflow> {
        let mut word = self.word.load(Relaxed);
        loop {
            let next = raised(word)?;
            if word >= P {
                return self.post_to_pollers();
            }
            // Release: pairs with the acquire in `take_and`: the thread that takes this count sees what was written
            // before the post.
            match self
                .word
                .compare_exchange_weak(word, next, Release, Relaxed)
            {
                Ok(_) if word & W == 0 => return Ok(()),
                Ok(_) => {
                    // If the semaphore was unmapped since, the kernel returns an error and no more.
                    atomic::wake_one(&self.word);
                    return Ok(());
                }
                Err(now) => word = now,
            }
        }
    }

    #[cold]
    fn post_to_pollers(&self) -> Result<(), Overflow> {
        let mut taken = Taken::new();
        let mut word = self.word.load(Relaxed);
        let result = loop {
            let next = match raised(word) {
                Ok(next) => next,
                Err(overflow) => break Err(overflow),
            };
            if word >= P {
                self.pollers.take_out(&mut taken);
            }
            // Release: as in `post`. The whole word is compared, with P: a descriptor that was entered since it was
            // loaded is taken out in the next round.
            match self.word.compare_exchange(word, next, Release, Relaxed) {
                Ok(_) if word & W == 0 => break Ok(()),
                Ok(_) => {
                    // As in `post`.
                    atomic::wake_one(&self.word);
                    break Ok(());
                }
                Err(now) => word = now,
            }
        };
        taken.wake();
        result
    }

    /// Enters a descriptor, which the next post makes readable. Returns whether the count is not 0 by now.
    #[cold]
    pub fn enter(&self, number: NonZeroU32) -> bool {
        self.pollers.enter(number);
        let mut word = self.word.load(Relaxed);
        loop {
            let next = match word.checked_add(P) {
                Some(next) => next,
                None => word & (P - 1) | P,
            };
            // Release: pairs with the fence in `Pollers::take`. A post that is before this in the order of the word has
            // raised the count that is returned, and one after it sees P.
            match self
                .word
                .compare_exchange_weak(word, next, Release, Relaxed)
            {
                Ok(_) => return has_count(word),
                Err(now) => word = now,
            }
        }
    }

    /// Announces that a thread is about to sleep, and returns the word for it. A thread that does so calls
    /// [`pass_on`](Semaphore::pass_on) when it no longer waits.
    #[cfg(not(loom))]
    pub fn announce_sleep(&self) -> Word {
        // Relaxed: W orders nothing; the kernel compares the word again.
        let word = self.word.fetch_or(W, Relaxed) | W;
        Word::new(atomic::lower_half(&self.word), word as u32)
    }

    /// Wakes another thread in place of this one, which no longer waits and has not lowered the count: a post may have
    /// cleared W to wake this one.
    pub fn pass_on(&self) {
        // Relaxed: W orders nothing.
        let word = self.word.fetch_or(W, Relaxed);
        if word & W == 0 && has_count(word) {
            atomic::wake_one(&self.word);
        }
    }

    /// Takes a descriptor out that is about to be closed.
    pub fn remove(&self, number: NonZeroU32) {
        self.pollers.remove(number);
    }

    /// Lowers the count by one if it is not 0. Returns whether it did.
    #[inline]
    pub fn try_take(&self) -> bool {
        self.take_and(0).is_some()
    }

    /// Lowers the count by one if it is not 0, sets these bits, and returns the new word.
    #[inline(always)]
    fn take_and(&self, bits: u64) -> Option<u64> {
        let mut word = self.word.load(Relaxed);
        while has_count(word) {
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
        if has_count(word) {
            // The post that woke this thread has cleared W, so a later post may have woken no other thread.
            atomic::wake_one(&self.word);
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
        sleep.check_often(false);
        loop {
            // Relaxed: W orders nothing; the kernel compares the word again.
            let word = self.word.fetch_or(W, Relaxed) | W;
            if has_count(word) {
                if self.take_after_sleep() {
                    return true;
                }
                continue;
            }
            if !atomic::sleep(&self.word, word, &mut sleep) {
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
    use std::{thread, time::Duration};

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
