//! Whether somebody sleeps on a word, so that those who change it know whether to wake anybody.
//!
//! Whoever changes the word does it, and then looks here; whoever wants to sleep says so here, and
//! then looks at the word. Each does a store and then a load, and one of the two must see the other.

use super::{
    atomic::{self, AtomicU32, AtomicU64, Ordering::Relaxed, heavy_barrier, light_barrier},
    wait::Deadline,
};

/// How often somebody went to sleep since the last wake-up; 0 if nobody did.
#[cfg_attr(not(loom), repr(transparent))]
pub(crate) struct Sleepers(AtomicU32);

impl Sleepers {
    #[cfg(loom)]
    pub fn new() -> Sleepers {
        Sleepers(AtomicU32::new(0))
    }

    /// Wakes all who sleep on a word that the caller has just changed.
    #[inline(always)]
    pub fn wake(&self, word: &AtomicU64) {
        light_barrier();
        // Relaxed: ordered by the barriers.
        let asleep = self.0.load(Relaxed);
        if asleep != 0 {
            self.wake_now(asleep, word);
        }
    }

    #[cold]
    fn wake_now(&self, asleep: u32, word: &AtomicU64) {
        atomic::wake(word);
        // Relaxed: orders nothing. If another one has come meanwhile, it stays as it is.
        let _ = self.0.compare_exchange(asleep, 0, Relaxed, Relaxed);
    }

    /// Sleeps for a slice, while the word is as expected and `look` finds nothing. False when the
    /// time is over.
    #[cold]
    pub fn sleep(
        &self,
        word: &AtomicU64,
        expected: u64,
        deadline: Deadline,
        mut look: impl FnMut() -> bool,
    ) -> bool {
        // Relaxed: ordered by the barriers. It passes zero once in 2³² times, which costs a slice.
        self.0.fetch_add(1, Relaxed);
        heavy_barrier();
        look() || atomic::sleep(word, expected, deadline)
    }
}
