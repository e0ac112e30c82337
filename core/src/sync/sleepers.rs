//! Announces that threads sleep on a word, so that a thread that changes the word knows whether to wake them.
//!
//! A thread that changes the word does so, and then reads the announcement. A thread that is about to sleep announces
//! it, and then reads the word. Each makes a store and then a load, and at least one of the two sees the other's
//! store.
//!
//! The word has a count, of versions of a value or of bytes in a ring. The announcement contains the count after which
//! the thread sleeps, so that a thread that wakes the sleepers of an earlier count does not clear it.

use super::{
    atomic::{self, AtomicU64, Ordering::Relaxed, heavy_barrier, light_barrier},
    wait::Sleep,
};

/// The highest count after which a thread sleeps, plus 1; 0 if none sleeps.
#[cfg_attr(not(loom), repr(transparent))]
#[derive(Default)]
pub struct Sleepers(AtomicU64);

impl Sleepers {
    #[cfg(loom)]
    pub fn new() -> Sleepers {
        Sleepers(AtomicU64::new(0))
    }

    /// Wakes all threads that sleep on a word. The caller has just changed it, and `count` is its new count.
    #[inline(always)]
    pub fn wake(&self, word: &AtomicU64, count: u64) {
        light_barrier();
        // Relaxed: the barriers order it.
        let asleep = self.0.load(Relaxed);
        if asleep != 0 {
            self.wake_now(asleep, word, count);
        }
    }

    #[cold]
    fn wake_now(&self, asleep: u64, word: &AtomicU64, count: u64) {
        atomic::wake(word);
        // A thread that sleeps after this very count waits for the next change.
        if asleep != count.wrapping_add(1) {
            // Relaxed: orders nothing. If another thread has announced its sleep since, that stays.
            let _ = self.0.compare_exchange(asleep, 0, Relaxed, Relaxed);
        }
    }

    /// Sleeps for a slice while the word is as expected and `look` returns false, which checks for a change after
    /// `count`. Returns false if the deadline has passed.
    #[cold]
    pub fn sleep(
        &self,
        count: u64,
        word: &AtomicU64,
        expected: u64,
        sleep: &mut Sleep,
        mut look: impl FnMut() -> bool,
    ) -> bool {
        // Relaxed: the barriers order it. The maximum, so that a late thread, which finds a change at once, does not
        // replace the announcement of a thread that sleeps.
        self.0.fetch_max(count.wrapping_add(1), Relaxed);
        if !heavy_barrier() {
            sleep.stay_light();
        }
        look() || atomic::sleep(word, expected, sleep)
    }
}
