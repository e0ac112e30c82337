//! Announces that threads sleep on a word or poll a descriptor, so that a thread that changes the word knows whether it
//! must wake them.
//!
//! A thread that changes the word does so, and then reads the announcement. A thread that is about to wait announces
//! it, and then reads the word. Each makes a store and then a load, and at least one of the two sees the other's
//! store.
//!
//! The word contains a count: of versions of a value, or of bytes in a ring. The announcement contains the count that
//! the thread has seen, so that a thread that wakes the waiters of an earlier count does not clear it.

use super::{
    atomic::{
        self, AtomicU64,
        Ordering::{Relaxed, Release},
        heavy_barrier, light_barrier,
    },
    pollers::Pollers,
    wait::Sleep,
};
use core::num::NonZeroU32;

/// The waiters of a word.
#[cfg_attr(not(loom), repr(C))]
#[derive(Default)]
pub struct Sleepers {
    /// 0 if no thread waits. Otherwise, bits 2 and higher are the highest count that a waiting thread has seen, plus 1;
    /// bits 0 and 1 say how the threads wait: `ASLEEP`, `POLLING` or both.
    announced: AtomicU64,
    pollers: Pollers,
}

/// Threads sleep on the word.
const ASLEEP: u64 = 1;
/// Descriptors wait in `pollers`.
const POLLING: u64 = 2;
const WAYS: u64 = ASLEEP | POLLING;

/// Returns the announcement of threads that wait for a change after this count.
fn after(count: u64) -> u64 {
    count.wrapping_add(1) << 2
}

impl Sleepers {
    #[cfg(loom)]
    pub fn new() -> Sleepers {
        Sleepers::default()
    }

    /// Wakes all waiters of a word. The caller has just changed it, and `count` is its new count.
    #[inline(always)]
    pub fn wake(&self, word: &AtomicU64, count: u64) {
        light_barrier();
        // Relaxed: the barriers order it.
        let announced = self.announced.load(Relaxed);
        if announced != 0 {
            self.wake_now(announced, word, count);
        }
    }

    #[cold]
    fn wake_now(&self, announced: u64, word: &AtomicU64, count: u64) {
        if announced & ASLEEP != 0 {
            atomic::wake(word);
        }
        if announced & POLLING != 0 {
            self.pollers.wake();
        }
        // A thread that has seen this count waits for the next change.
        if announced & !WAYS != after(count) {
            // Relaxed: orders nothing. If another thread has announced its wait since, that stays.
            let _ = self
                .announced
                .compare_exchange(announced, 0, Relaxed, Relaxed);
        }
    }

    /// Wakes all waiters of a word, announced or not, for a reason other than a change of the word.
    pub fn wake_all(&self, word: &AtomicU64) {
        atomic::wake(word);
        self.pollers.wake();
    }

    /// Announces a wait after a count.
    fn announce(&self, count: u64, way: u64) {
        let mut before = self.announced.load(Relaxed);
        loop {
            // The maximum, so that a thread with an outdated count, which finds the change at once, does not replace
            // the announcement of a thread that waits.
            let latest = (before & !WAYS).max(after(count));
            let next = latest | before & WAYS | way;
            // Release: pairs with the fence in `Pollers::take`. Otherwise the barriers order it.
            match self
                .announced
                .compare_exchange_weak(before, next, Release, Relaxed)
            {
                Ok(_) => return,
                Err(now) => before = now,
            }
        }
    }

    /// Announces that a thread is about to sleep on the word, in which it has seen this count. Before it sleeps, the
    /// caller makes a heavy barrier and reads the word again.
    #[cold]
    pub fn announce_sleep(&self, count: u64) {
        self.announce(count, ASLEEP);
    }

    /// Enters a descriptor, which the next change of the word after this count makes readable. The caller then reads
    /// the word again. Returns false if a change can be missed, because the kernel has no barrier for it.
    #[cold]
    pub fn enter(&self, number: NonZeroU32, count: u64) -> bool {
        self.pollers.enter(number);
        self.announce(count, POLLING);
        heavy_barrier()
    }

    /// Removes a descriptor that is about to be closed.
    pub fn remove(&self, number: NonZeroU32) {
        self.pollers.remove(number);
    }

    /// Sleeps for a slice while the word is as expected, unless `look`, which checks for a change after `count`,
    /// returns true. Returns false if the deadline has passed.
    #[cold]
    pub fn sleep(
        &self,
        count: u64,
        word: &AtomicU64,
        expected: u64,
        sleep: &mut Sleep,
        mut look: impl FnMut() -> bool,
    ) -> bool {
        self.announce_sleep(count);
        if !heavy_barrier() {
            sleep.stay_light();
        }
        if look() {
            // A hostile process can make every round end here, by changes that the caller does not wait for. So look at
            // the deadline here, too.
            sleep.is_in_time()
        } else {
            atomic::sleep(word, expected, sleep)
        }
    }
}
