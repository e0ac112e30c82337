//! A role that one process has at a time: the sender, the receiver, the publisher.

use super::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// The holder of a role, in a segment: the number of a process, or 0. It may hold anything: a number that no process
/// has counts as a dead holder.
#[cfg_attr(not(loom), repr(transparent))]
pub struct Claim(AtomicU64);

impl Claim {
    #[cfg(loom)]
    pub fn new() -> Claim {
        Claim(AtomicU64::new(0))
    }

    /// Takes the role for the calling process, whose number is `me`, if no live process has it. Returns false also if
    /// this process has it already.
    pub fn take(&self, me: u64, is_dead: impl Fn(u64) -> bool) -> bool {
        // Acquire: pairs with the release below, so that the namespaces of the holder's process are visible to
        // `is_dead`.
        let holder = self.0.load(Acquire);
        if holder != 0 && !is_dead(holder) {
            return false;
        }
        // Acquire: pairs with the release in `release`: what the last holder did in its role is visible. Release:
        // pairs with the acquire loads of the holder: a process that sees this number sees what this process wrote
        // before, its namespaces. Relaxed: on failure, this process reads nothing but the number.
        let follow = |holder| self.0.compare_exchange(holder, me, AcqRel, Relaxed);
        match follow(holder) {
            // The holder released the role before it ended.
            Err(0) => follow(0).is_ok(),
            followed => followed.is_ok(),
        }
    }

    /// Returns whether `holder`, which had the role when this process last looked, has died in the role: its number is
    /// still there after the liveness check. Returns false if the holder released the role before it ended.
    pub fn died_in_role(&self, holder: u64, is_dead: impl Fn(u64) -> bool) -> bool {
        // Acquire: pairs with the release in `release`. Whatever a process wrote is visible before its end is. So this
        // load, which follows the liveness check, does not find the number of a holder that released the role.
        is_dead(holder) && self.0.load(Acquire) == holder
    }

    /// Releases the role if this process has it.
    pub fn release(&self, me: u64) {
        // Release: pairs with the acquire in `take`: the next holder sees what this one did. Relaxed: on failure,
        // another process has the role.
        let _ = self.0.compare_exchange(me, 0, Release, Relaxed);
    }

    /// Returns whether this process has it.
    #[inline(always)]
    pub fn is_of(&self, me: u64) -> bool {
        // Relaxed: no other read depends on it, and it may change right after.
        self.0.load(Relaxed) == me
    }

    /// Returns the number of the process that has it.
    #[inline]
    pub fn holder(&self) -> Option<u64> {
        // Acquire: as in `take`.
        Some(self.0.load(Acquire)).filter(|&number| number != 0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_is_released_during_the_liveness_check_is_free() {
        let role = Claim(AtomicU64::new(8));
        let ends = |holder| {
            role.release(holder);
            true
        };
        assert!(!role.died_in_role(8, ends));
        assert!(role.take(4, |_| false));
        assert!(!role.died_in_role(4, |_| false));
        assert!(role.died_in_role(4, |_| true));
        assert!(role.take(12, ends), "free, and the holder has ended");
        assert_eq!(role.holder(), Some(12));
    }
}
