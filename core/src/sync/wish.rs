//! The position that a sleeping thread waits for: its *wish*, at which the thread that moves the position wakes it.

use super::{
    atomic::{self, AtomicU64, Ordering::Relaxed, heavy_barrier},
    wait::{Deadline, Sleep},
};

/// The sleep of a thread that needs a position to reach a point. The thread is woken when the position passes the wish.
///
/// At first, the wish is beyond that point, so that the thread is not woken for each message. The thread that moves the
/// position may stop before it gets there; so after a slice, the wish is only what is needed.
pub struct Wish<'a> {
    /// Where the wish is written. Only the thread that sleeps writes it.
    wanted: &'a AtomicU64,
    needed: u64,
    is_least: bool,
    sleep: Sleep<'a>,
}

impl<'a> Wish<'a> {
    /// Writes a first wish, `plenty`, which is not before the position that is needed.
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
        // the light barrier of the thread that moves the position, between its store of the position and its load of
        // the wish. So this thread sees the new position, or that thread sees the wish when the position passes it, and
        // wakes this one.
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
