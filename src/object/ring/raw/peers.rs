//! What each end knows of the other side: which processes have a role, and which of them live.

use super::RawRing;
use crate::{
    error::Action,
    holder::{Holder, Life},
    sync::{AtomicU32, Claim, ring::Peers},
    sys,
};
use core::{cell::Cell, slice, sync::atomic::Ordering::Relaxed};

/// The interval between liveness checks of the other side, in nanoseconds. A check takes some microseconds.
const TRUST: u64 = 4_000_000;

/// The last liveness check of the other side, so that there is at most one in each interval.
#[derive(Default)]
pub(super) struct Watch {
    /// The time of the check in nanoseconds.
    checked: Cell<Option<u64>>,
    /// The index of a claim whose process was not dead then.
    seen: Cell<usize>,
}

impl Watch {
    /// Returns whether the last check is recent. If it is not, the caller makes one.
    fn trusts(&self) -> bool {
        let now = sys::about_now();
        if self.is_recent(now) {
            return true;
        }
        self.checked.set(Some(now));
        false
    }

    /// Returns whether the last check was made less than an interval before `now`.
    #[inline]
    pub fn is_recent(&self, now: u64) -> bool {
        let checked = self.checked.get();
        checked.is_some_and(|checked| now.abs_diff(checked) < TRUST)
    }

    fn distrust(&self) {
        self.checked.set(None);
    }
}

impl RawRing {
    /// Frees the roles of senders that have died.
    pub(super) fn free_the_dead(&self) {
        for claim in self.senders() {
            if let Some(holder) = claim.holder()
                && self.object.life(Holder::from_bits(holder)) == Life::Dead
            {
                claim.release(holder);
            }
        }
    }

    /// Returns what the receiver can expect of the senders.
    pub(super) fn look_at_senders(&self, watch: &Watch) -> Peers {
        let had = &self.words().parties.had_sender;
        self.look_at(self.senders(), had, watch)
    }

    /// Returns what a sender can expect of the receiver.
    pub(super) fn look_at_receiver(&self, watch: &Watch) -> Peers {
        let parties = &self.words().parties;
        let receiver = slice::from_ref(&parties.receiver);
        self.look_at(receiver, &parties.had_receiver, watch)
    }

    fn look_at(&self, claims: &[Claim], had: &AtomicU32, watch: &Watch) -> Peers {
        let holders = claims.iter().enumerate();
        let mut holders = holders
            .filter_map(|(place, claim)| Some((place, claim.holder()?)))
            .peekable();
        if holders.peek().is_none() {
            // Relaxed: orders nothing.
            return match had.load(Relaxed) {
                0 => Peers::Expected,
                _ => Peers::Gone,
            };
        }
        if watch.trusts() {
            return Peers::Expected;
        }
        let is_dead = |holder| self.object.life(Holder::from_bits(holder)) == Life::Dead;
        match holders.find(|&(_, holder)| !is_dead(holder)) {
            Some((place, _)) => {
                watch.seen.set(place);
                Peers::Expected
            }
            None => {
                watch.distrust();
                Peers::Died
            }
        }
    }

    /// Returns a process that has the role that this call needs, as a number, for an error.
    pub(super) fn word_of(&self, action: Action) -> u64 {
        let holder = match action {
            Action::Send | Action::Reserve => self.senders().iter().find_map(Claim::holder),
            _ => self.words().parties.receiver.holder(),
        };
        holder.unwrap_or(0)
    }

    /// Returns a sender as a number, for a receiver's error: the one that was not dead in the last liveness check.
    pub(super) fn sender_seen(&self, watch: &Watch) -> u64 {
        let seen = self.senders().get(watch.seen.get());
        let seen = seen.and_then(Claim::holder);
        seen.unwrap_or_else(|| self.word_of(Action::Send))
    }
}
