//! A role that one process has at a time: the sender, the receiver, the publisher.

use super::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// The holder of a role, as it lies in a segment: the number of a process, or 0. It may hold anything:
/// a number that no process has is that of a dead one.
#[cfg_attr(not(loom), repr(transparent))]
pub struct Claim(AtomicU64);

impl Claim {
    #[cfg(loom)]
    pub fn new() -> Claim {
        Claim(AtomicU64::new(0))
    }

    /// Takes the role for the calling process, `me`, if no live process has it. Asked twice, the
    /// same process is refused, too.
    pub fn take(&self, me: u64, is_dead: impl Fn(u64) -> bool) -> bool {
        // Acquire: with the number comes the namespace of its process.
        let holder = self.0.load(Acquire);
        if holder != 0 && !is_dead(holder) {
            return false;
        }
        // Acquire: what the last holder did in its role is seen. Release: a process that sees this
        // number sees what its process wrote before, its namespaces.
        self.0.compare_exchange(holder, me, AcqRel, Relaxed).is_ok()
    }

    /// Releases the role, if this process has it.
    pub fn release(&self, me: u64) {
        // Release: the next holder sees what was done. Relaxed: else there is nothing to see.
        let _ = self.0.compare_exchange(me, 0, Release, Relaxed);
    }

    /// Returns whether this process has it.
    #[inline(always)]
    pub fn is_of(&self, me: u64) -> bool {
        // Relaxed: nothing else is read because of it, and it may change right after.
        self.0.load(Relaxed) == me
    }

    /// Returns the number of the process that has it.
    #[inline]
    pub fn holder(&self) -> Option<u64> {
        // Acquire: as in `take`.
        match self.0.load(Acquire) {
            0 => None,
            number => Some(number),
        }
    }
}
