//! Trust in a lock's holder, so that a try without waiting costs no liveness check each time.

use crate::{object::Object, sync::Threads, sys};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Which holder was last not found dead, and about when: a liveness check takes microseconds, a try
/// nanoseconds. A death is noticed by the first try of the next 8 ms.
#[derive(Debug, Default)]
pub(crate) struct Trust(AtomicU64);

impl Trust {
    /// The threads that use an object's lock, for a try.
    pub fn of<'a>(&'a self, object: &'a Object) -> Trusted<'a> {
        Trusted {
            trust: self,
            object,
        }
    }
}

/// Threads of which each is asked for once in 8 ms.
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
        // 2²³ ns. Mixed into one word, so that threads cannot take one's holder for another's.
        let period = sys::about_now().as_nanos() as u64 >> 23;
        let found = owner.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ period;
        // Relaxed, both: it says nothing of other memory.
        if self.trust.0.load(Relaxed) == found {
            return false;
        }
        let is_dead = self.object.is_dead(owner);
        if !is_dead {
            self.trust.0.store(found, Relaxed);
        }
        is_dead
    }
}
