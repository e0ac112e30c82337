//! The counting semaphore's core: one word with the count and a bit that says whether a thread
//! sleeps.

use super::{
    atomic::{
        self, AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
    wait::{self, Deadline, Sleep},
};

/// The semaphore as it lies in a segment: 8 bytes.
#[cfg_attr(not(loom), repr(C))]
pub struct Semaphore {
    /// The count in the upper 31 bits, W in the lowest.
    word: AtomicU32,
    reserved: AtomicU32,
}

/// A thread sleeps, or did so a moment ago. A thread that posts takes W away and wakes one; that one sets it
/// again, for there may be others. So nothing is touched after the count is there: a thread that takes it
/// may give the semaphore up at once.
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
            reserved: AtomicU32::new(0),
        }
    }

    /// Sets the count, while no other thread uses it. At most [`MAX`].
    pub fn init(&self, count: u32) {
        // Relaxed: publishing the object orders it.
        self.word.store(count * ONE, Relaxed);
    }

    pub fn value(&self) -> u32 {
        // Relaxed: the answer may be old as soon as it is given.
        self.word.load(Relaxed) / ONE
    }

    /// Adds one, and wakes one who sleeps.
    #[inline]
    pub fn post(&self) -> Result<(), Overflow> {
        let mut word = self.word.load(Relaxed);
        loop {
            let next = word.checked_add(ONE).ok_or(Overflow)? & !W;
            // Release: what was written before is seen by the thread that takes this one.
            match self
                .word
                .compare_exchange_weak(word, next, Release, Relaxed)
            {
                Ok(_) if word & W == 0 => return Ok(()),
                Ok(_) => {
                    // The kernel takes any address, also one where nothing is any more.
                    atomic::wake_half(&self.word);
                    return Ok(());
                }
                Err(now) => word = now,
            }
        }
    }

    /// Takes one if there is one.
    #[inline]
    pub fn try_take(&self) -> bool {
        self.take_and(0).is_some()
    }

    /// Takes one if there is one, sets these bits, and says what the word is then.
    #[inline(always)]
    fn take_and(&self, bits: u32) -> Option<u32> {
        let mut word = self.word.load(Relaxed);
        while word >= ONE {
            let next = (word - ONE) | bits;
            // Acquire: what was written before this one was posted is seen from here on.
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

    /// The same for one that has slept, and perhaps was woken for others, too.
    fn take_after_sleep(&self) -> bool {
        let Some(word) = self.take_and(W) else {
            return false;
        };
        if word >= ONE {
            // Posted by one who saw no W, because it was taken away to wake us.
            atomic::wake_half(&self.word);
        }
        true
    }

    /// Takes one, and waits until there is one. False when the time is over.
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
        // No holder can die; only a wake-up may be lost, with a process that was killed.
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
                return self.take_after_sleep() || self.give_up();
            }
            if self.take_after_sleep() {
                return true;
            }
        }
    }

    /// Leaves to another one who sleeps what may have been meant for this one.
    fn give_up(&self) -> bool {
        // Relaxed: W orders nothing.
        self.word.fetch_or(W, Relaxed);
        false
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicU64, thread, time::Duration};

    fn now() -> Deadline {
        Deadline::after(Some(Duration::ZERO))
    }

    #[test]
    fn it_counts() {
        let counter = Semaphore::new(2);
        assert!(counter.take(now()) && counter.take(now()) && !counter.take(now()));
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
    fn nothing_is_lost_among_many() {
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
