//! Trust in a lock's holder, so that a try without waiting costs no liveness check each time.

use crate::{object::Object, sync::Threads, sys};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The holder that was last found not to be dead, and about when: a liveness check takes microseconds,
/// a try nanoseconds. The first try in the next period of 8 ms notices a death.
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

/// The threads that use an object's lock, with at most one liveness check of each in 8 ms.
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
        // 2²³ ns. Mixed into one word, so that no thread combines one check's holder with another's time.
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
