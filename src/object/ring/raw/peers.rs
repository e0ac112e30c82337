//! What each end knows of the other side: which processes have a role, and which of them live.

use super::RawRing;
use crate::{
    error::Action,
    holder::{Holder, Life},
    object::checked::Checked,
    sync::{AtomicU32, Claim, Inquiry, ring::Peers},
};
use core::{cell::Cell, slice, sync::atomic::Ordering::Relaxed};

/// What an end knows of the other side.
#[derive(Default)]
pub(super) struct Watch {
    pub checked: Checked,
    /// The index of a claim whose process was not dead in the last check.
    seen: Cell<usize>,
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
    pub(super) fn look_at_senders(&self, watch: &Watch, inquiry: Inquiry) -> Peers {
        let had = &self.words().parties.had_sender;
        self.look_at(self.senders(), had, watch, inquiry)
    }

    /// Returns what a sender can expect of the receiver.
    pub(super) fn look_at_receiver(&self, watch: &Watch, inquiry: Inquiry) -> Peers {
        let parties = &self.words().parties;
        let receiver = slice::from_ref(&parties.receiver);
        self.look_at(receiver, &parties.had_receiver, watch, inquiry)
    }

    fn look_at(&self, claims: &[Claim], had: &AtomicU32, watch: &Watch, inquiry: Inquiry) -> Peers {
        // Searches twice: a search can miss a process that took a place behind it, before another process left a place
        // that it had not yet reached.
        let search = || {
            let places = claims.iter().enumerate();
            places.filter_map(|(place, claim)| Some((place, claim.holder()?)))
        };
        let mut holders = search().chain(search()).peekable();
        if holders.peek().is_none() {
            // Relaxed: orders nothing.
            return if had.load(Relaxed) == 0 {
                Peers::Expected
            } else {
                Peers::Gone
            };
        }
        let is_dead = |holder| self.object.life(Holder::from_bits(holder)) == Life::Dead;
        let are_dead = watch.checked.answers(inquiry, || {
            // A process that has just released its place does not count as dead. The next check finds the place free.
            let living =
                holders.find(|&(place, holder)| !claims[place].died_in_role(holder, is_dead));
            if let Some((place, _)) = living {
                watch.seen.set(place);
            }
            living.is_none()
        });
        if are_dead {
            Peers::Died
        } else {
            Peers::Expected
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
