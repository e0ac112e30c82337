//! The time of the last liveness check of a lock's holder, so that not every try at the lock makes one.

use crate::{object::Object, sync::Threads, sys};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The period of 8 ms in which the last liveness check was made: a check takes microseconds, a try at a lock
/// nanoseconds. The first try in the next period notices a death.
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

/// The threads that use a lock, with a liveness check once in 8 ms.
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
        // Relaxed, both: it says nothing of other memory.
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
