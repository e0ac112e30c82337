//! Trust in a lock's holder, so that a try without waiting costs no liveness check each time.

use crate::sys::{self, Life, Task};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Which holder was last found alive, and about when: a liveness check takes microseconds, a try
/// nanoseconds. A death is noticed by the first try of the next 8 ms.
#[derive(Debug, Default)]
pub(crate) struct Trust(AtomicU64);

impl Trust {
    /// What `look` says, or has said of this holder within these 8 ms if that was not "dead".
    #[inline]
    pub fn life(&self, holder: Task, look: impl FnOnce() -> Life) -> Life {
        // 2²³ ns. Mixed into one word, so that threads cannot take one's holder for another's.
        let period = sys::about_now().as_nanos() as u64 >> 23;
        let found = holder.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ period;
        // Relaxed, both: it says nothing of other memory.
        if self.0.load(Relaxed) == found {
            return Life::Alive;
        }
        let life = look();
        if life != Life::Dead {
            self.0.store(found, Relaxed);
        }
        life
    }
}
