//! Ends a wait before its event: because a signal handler has run, or because the wait is cancelled.
//!
//! An [`Interrupt`] belongs to a handle, in this process's own memory. A wait has it in its deadline, and asks it
//! wherever it asks whether the deadline has passed. So an interrupted wait leaves the object as one that has timed out.
//!
//! *Cancelling.* The canceller stores 1 in a word and wakes its sleepers; the kernel compares that word as well as the
//! object's when a thread falls asleep. So a cancellation is seen by a thread that sleeps, one that is about to sleep,
//! and one that waits later: the word stays 1 until the error of a wait has taken it.

use super::atomic::{
    self, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

/// What ends the waits of a handle before their events.
#[derive(Debug)]
pub struct Interrupt {
    /// 1 from a cancellation until a wait has ended by it.
    cancelled: AtomicU32,
    /// `SIGNALS` and `CANCELS`.
    options: AtomicU32,
}

/// A signal handler ends a wait.
const SIGNALS: u32 = 1;
/// A cancellation may come: a thread that sleeps must be woken by it.
const CANCELS: u32 = 2;

impl Default for Interrupt {
    fn default() -> Interrupt {
        Interrupt {
            cancelled: AtomicU32::new(0),
            options: AtomicU32::new(0),
        }
    }
}

impl Interrupt {
    /// Sets whether a signal handler ends a wait.
    pub fn set_by_signals(&self, on: bool) {
        // Relaxed, here and below: the options order nothing.
        if on {
            self.options.fetch_or(SIGNALS, Relaxed);
        } else {
            self.options.fetch_and(!SIGNALS, Relaxed);
        }
    }

    /// Makes waits that begin from now on end at once when they are cancelled.
    pub fn allow_cancelling(&self) {
        self.options.fetch_or(CANCELS, Relaxed);
    }

    /// Returns whether anything may end a wait before its event.
    #[inline(always)]
    pub fn is_allowed(&self) -> bool {
        self.options.load(Relaxed) != 0
    }

    pub(super) fn by_signals(&self) -> bool {
        self.options.load(Relaxed) & SIGNALS != 0
    }

    /// Returns the word on which to sleep as well, while it is 0; `None` if no wait is cancelled.
    pub(super) fn word(&self) -> Option<&AtomicU32> {
        (self.options.load(Relaxed) & CANCELS != 0).then_some(&self.cancelled)
    }

    /// Cancels the waits that are under way, at least one; if there is none, the next one. Makes one system call. A
    /// signal handler may call it.
    pub fn cancel(&self) {
        // Release: pairs with the acquire in `take`: after its wait, the thread sees what was written before this.
        self.cancelled.store(1, Release);
        atomic::wake_own(&self.cancelled);
    }

    /// Returns whether a wait is cancelled and has not ended yet.
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: `take` acquires.
        self.cancelled.load(Relaxed) != 0
    }

    /// Ends a cancellation, for the wait that ends by it. Returns whether there was one.
    pub fn take(&self) -> bool {
        // Acquire: pairs with the release in `cancel`.
        self.cancelled.swap(0, Acquire) != 0
    }
}
