//! Whether a thread sleeps on a word, so that a thread that changes it knows whether to wake one.
//!
//! A thread that changes the word does it, and then looks here; one that wants to sleep says so here, and
//! then looks at the word. Each does a store and then a load, and one of the two must see the other.
//!
//! What changes is counted: versions of a value, or bytes of a ring. A sleeper says after which
//! count it sleeps, so that a thread that wakes the sleepers of an earlier count does not take this one
//! for one of those.

use super::{
    atomic::{self, AtomicU64, Ordering::Relaxed, heavy_barrier, light_barrier},
    wait::Sleep,
};

/// One more than the highest count that a thread sleeps after; 0 if none does.
#[cfg_attr(not(loom), repr(transparent))]
#[derive(Default)]
pub struct Sleepers(AtomicU64);

impl Sleepers {
    #[cfg(loom)]
    pub fn new() -> Sleepers {
        Sleepers(AtomicU64::new(0))
    }

    /// Wakes all who sleep on a word that the caller has just changed, with which the count became
    /// `count`.
    #[inline(always)]
    pub fn wake(&self, word: &AtomicU64, count: u64) {
        light_barrier();
        // Relaxed: ordered by the barriers.
        let asleep = self.0.load(Relaxed);
        if asleep != 0 {
            self.wake_now(asleep, word, count);
        }
    }

    #[cold]
    fn wake_now(&self, asleep: u64, word: &AtomicU64, count: u64) {
        atomic::wake(word);
        // A thread that sleeps after this very count is for the next one to wake.
        if asleep != count.wrapping_add(1) {
            // Relaxed: orders nothing. If another one has come since, it stays.
            let _ = self.0.compare_exchange(asleep, 0, Relaxed, Relaxed);
        }
    }

    /// Sleeps for a slice, while the word is as expected and `look` finds nothing new after
    /// `count`. False when the time is over.
    #[cold]
    pub fn sleep(
        &self,
        count: u64,
        word: &AtomicU64,
        expected: u64,
        sleep: &mut Sleep,
        mut look: impl FnMut() -> bool,
    ) -> bool {
        // Relaxed: ordered by the barriers. The highest, so that one who is late and finds
        // something new at once does not stand in for one who sleeps.
        self.0.fetch_max(count.wrapping_add(1), Relaxed);
        if !heavy_barrier() {
            sleep.stay_light();
        }
        look() || atomic::sleep(word, expected, sleep)
    }
}
