//! The time of the last liveness check that one end of an object made of the other, so that there is at most one check
//! in each interval.

use crate::{sync::Inquiry, sys};
use core::cell::Cell;

/// The interval between liveness checks of the other side, in nanoseconds. A check takes some microseconds.
const INTERVAL: u64 = 4_000_000;

/// The time of the last liveness check in nanoseconds, if it found no death.
#[derive(Default)]
pub(crate) struct Checked(Cell<Option<u64>>);

impl Checked {
    /// Returns whether the last check is recent.
    #[inline]
    pub fn is_recent(&self) -> bool {
        self.is_recent_at(sys::about_now())
    }

    #[inline]
    fn is_recent_at(&self, now: u64) -> bool {
        let checked = self.0.get();
        checked.is_some_and(|checked| now.abs_diff(checked) < INTERVAL)
    }

    /// Makes a liveness check, unless the last one is recent. Returns whether it found a death. If it did, the next
    /// call makes a check again.
    pub fn finds(&self, is_dead: impl FnOnce() -> bool) -> bool {
        let now = sys::about_now();
        if self.is_recent_at(now) {
            return false;
        }
        self.check(now, is_dead)
    }

    /// Makes a liveness check, unless the last one is recent; for a brief inquiry only if none was made, or the last
    /// one found a death. Returns whether it found a death.
    pub fn answers(&self, inquiry: Inquiry, is_dead: impl FnOnce() -> bool) -> bool {
        match inquiry {
            Inquiry::Brief if self.0.get().is_some() => false,
            Inquiry::Brief => self.check(sys::about_now(), is_dead),
            Inquiry::Full => self.finds(is_dead),
        }
    }

    fn check(&self, now: u64, is_dead: impl FnOnce() -> bool) -> bool {
        let found = is_dead();
        self.0.set((!found).then_some(now));
        found
    }
}
