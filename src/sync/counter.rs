//! The counting semaphore's core: one word with the count and a bit that says whether somebody
//! sleeps.

use super::{
    atomic::{
        self, AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
    wait::{self, Deadline},
};

/// The semaphore as it lies in a segment: 8 bytes.
#[cfg_attr(not(loom), repr(C))]
pub(crate) struct Counter {
    /// The count in the upper 31 bits, W in the lowest.
    word: AtomicU32,
    reserved: AtomicU32,
}

/// Somebody sleeps, or did so a moment ago.
const W: u32 = 1;
const ONE: u32 = 2;

/// The largest count.
pub(crate) const MAX: u32 = u32::MAX >> 1;

/// The count would exceed [`MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Counter {
    #[cfg(any(test, loom))]
    pub fn new(count: u32) -> Counter {
        Counter {
            word: AtomicU32::new(count * ONE),
            reserved: AtomicU32::new(0),
        }
    }

    /// Sets the count, while nobody else uses it. At most [`MAX`].
    pub fn init(&self, count: u32) {
        // Relaxed: whoever publishes the object orders it.
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
            let next = word.checked_add(ONE).ok_or(Overflow)?;
            // Release: what was written before is seen by whoever takes this one.
            match self
                .word
                .compare_exchange_weak(word, next, Release, Relaxed)
            {
                Ok(_) if next & W == 0 => return Ok(()),
                Ok(_) => {
                    self.wake(next);
                    return Ok(());
                }
                Err(now) => word = now,
            }
        }
    }

    #[cold]
    fn wake(&self, posted: u32) {
        if atomic::wake_one(&self.word) == 0 {
            // Nobody sleeps any more, so W goes, if the word is still what this post has made it.
            // Where others have made it that again meanwhile, one who sleeps may lose its W; that
            // one wakes by itself after a slice. Relaxed: W orders nothing.
            let _ = self
                .word
                .compare_exchange(posted, posted & !W, Relaxed, Relaxed);
        }
    }

    /// Takes one if there is one.
    #[inline]
    pub fn try_take(&self) -> bool {
        let mut word = self.word.load(Relaxed);
        while word >= ONE {
            // Acquire: what was written before this one was posted is seen from here on.
            match self
                .word
                .compare_exchange_weak(word, word - ONE, Acquire, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes one, and waits until there is one. False when the time is over.
    #[inline]
    pub fn take(&self, deadline: Deadline) -> bool {
        self.try_take() || self.take_later(deadline)
    }

    #[cold]
    fn take_later(&self, deadline: Deadline) -> bool {
        if matches!(deadline, Deadline::Now) {
            return false;
        }
        if wait::spin(|| self.try_take().then_some(())).is_some() {
            return true;
        }
        loop {
            // Relaxed: W orders nothing; the kernel compares the word again.
            let word = self.word.fetch_or(W, Relaxed) | W;
            if word >= ONE {
                if self.try_take() {
                    return true;
                }
                continue;
            }
            if !atomic::sleep_half(&self.word, word, deadline) {
                return self.try_take();
            }
        }
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
        let counter = Counter::new(2);
        assert!(counter.take(now()) && counter.take(now()) && !counter.take(now()));
        counter.post().unwrap();
        assert_eq!(counter.value(), 1);
        assert!(counter.try_take() && !counter.try_take());
    }

    #[test]
    fn overflow_is_an_error_and_changes_nothing() {
        let counter = Counter::new(MAX);
        assert_eq!(counter.post(), Err(Overflow));
        assert_eq!(counter.value(), MAX);
        assert!(counter.try_take());
        counter.post().unwrap();
        assert_eq!(counter.value(), MAX);
    }

    #[test]
    fn nothing_is_lost_among_many() {
        const EACH: u32 = 20_000;
        let counter = Counter::new(0);
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
