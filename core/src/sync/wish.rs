//! The wish of a thread that sleeps until a position in a ring has moved on: how far.

use super::{
    atomic::{self, AtomicU64, Ordering::Relaxed, heavy_barrier},
    wait::{Deadline, Sleep},
};

/// A thread that sleeps until a position has moved as far as it needs. It is woken when the position passes the wish.
///
/// At first it wishes for more than it needs, so that it is not woken for each message. The thread that moves the
/// position may stop in between; so after a slice it wishes for what it needs.
pub struct Wish<'a> {
    /// Where the wish is written. Only the thread that wishes writes it.
    wanted: &'a AtomicU64,
    needed: u64,
    is_least: bool,
    sleep: Sleep<'a>,
}

impl<'a> Wish<'a> {
    /// Wishes for a position behind the one that is needed.
    pub fn new(
        wanted: &'a AtomicU64,
        plenty: u64,
        needed: u64,
        deadline: Deadline<'a>,
    ) -> Wish<'a> {
        let mut wish = Wish {
            wanted,
            needed,
            is_least: plenty == needed,
            sleep: Sleep::until(deadline),
        };
        wish.write(plenty);
        wish
    }

    fn write(&mut self, position: u64) {
        // Relaxed: the heavy barrier orders this store before the caller's next loads of the position. It pairs with
        // the light barrier of the thread that moves the position, between its store of that and its load of the wish.
        // So this thread sees the position, or that thread sees the wish when it passes it, and wakes this one.
        self.wanted.store(position, Relaxed);
        if !heavy_barrier() {
            self.sleep.stay_light();
        }
    }

    /// Sleeps for a slice while the position is as expected. Returns false if the deadline has passed.
    pub fn sleep(&mut self, position: &AtomicU64, seen: u64) -> bool {
        let in_time = atomic::sleep(position, seen, &mut self.sleep);
        if in_time && !self.is_least && self.sleep.has_expired() {
            self.is_least = true;
            self.write(self.needed);
        }
        in_time
    }
}
