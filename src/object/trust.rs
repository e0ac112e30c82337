//! The time of the last liveness check of a lock's holder, which limits how often a try to lock makes one.

use crate::{object::Object, sync::Threads, sys};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The 8 ms period in which the last liveness check was made. A check takes microseconds, a try to lock
/// nanoseconds. If the holder dies, the first try in the next period notices it.
#[derive(Debug, Default)]
pub(crate) struct Trust(AtomicU64);

impl Trust {
    /// Returns the threads that use an object's lock.
    pub fn of<'a>(&'a self, object: &'a Object) -> Trusted<'a> {
        Trusted {
            trust: self,
            object,
        }
    }
}

/// The threads that use a lock, with at most one liveness check in 8 ms.
pub(crate) struct Trusted<'a> {
    trust: &'a Trust,
    object: &'a Object,
}

impl Threads for Trusted<'_> {
    #[inline(always)]
    fn is_mine(&self, owner: u64) -> bool {
        self.object.is_mine(owner)
    }

    fn is_dead(&self, owner: u64) -> bool {
        self.object.is_dead(owner)
    }

    #[inline]
    fn seems_dead(&self, owner: u64) -> bool {
        // 2²³ ns; never 0.
        let period = (sys::about_now() >> 23) + 1;
        // Relaxed, both: the period orders no other memory.
        if self.trust.0.load(Relaxed) == period {
            return false;
        }
        let is_dead = self.is_dead(owner);
        if !is_dead {
            self.trust.0.store(period, Relaxed);
        }
        is_dead
    }
}
