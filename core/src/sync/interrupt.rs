//! Ends a wait before its event: because a signal handler has run, or because the wait is cancelled.
//!
//! An [`Interrupt`] belongs to a handle, in this process's own memory. A wait has it in its deadline, and checks it
//! wherever it checks whether the deadline has passed. So an interrupted wait leaves the object as a wait that has
//! timed out does.
//!
//! *Cancelling.* The canceller stores 1 in a word and wakes the threads that sleep on it. When a thread falls asleep,
//! the kernel compares that word as well as the object's. So a cancellation ends the wait of a thread that sleeps, of
//! one that is about to sleep, or of one that waits later: the word stays 1 until a wait ends with the error.
//!
//! *Descriptors.* If the handle has a descriptor, the canceller makes it readable, too. A try that would block takes the
//! cancellation after it has made the descriptor unreadable: so it sees the cancellation, or the descriptor is readable.

use super::atomic::{
    self, AtomicU32,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use core::num::NonZeroU32;

/// What ends the waits of a handle before their events.
#[derive(Debug)]
pub struct Interrupt {
    /// 1 from a cancellation until it has ended a wait.
    cancelled: AtomicU32,
    /// `SIGNALS`, `CANCELS`, both or neither.
    options: AtomicU32,
    /// The number of the handle's descriptor; 0 if it has none.
    descriptor: AtomicU32,
}

/// A signal handler ends a wait.
const SIGNALS: u32 = 1;
/// The wait may be cancelled, so a thread also sleeps on the word `cancelled`.
const CANCELS: u32 = 2;

impl Default for Interrupt {
    fn default() -> Interrupt {
        Interrupt {
            cancelled: AtomicU32::new(0),
            options: AtomicU32::new(0),
            descriptor: AtomicU32::new(0),
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

    /// Makes waits that begin from now on end as soon as they are cancelled.
    pub fn allow_cancelling(&self) {
        self.options.fetch_or(CANCELS, Relaxed);
    }

    /// Returns whether anything may end a wait before its event.
    #[inline(always)]
    pub fn is_allowed(&self) -> bool {
        self.options.load(Relaxed) != 0
    }

    /// Returns whether a signal handler ends a wait.
    pub fn by_signals(&self) -> bool {
        self.options.load(Relaxed) & SIGNALS != 0
    }

    /// Returns the word on which a thread also sleeps, while it is 0; `None` if waits cannot be cancelled.
    pub fn word(&self) -> Option<&AtomicU32> {
        (self.options.load(Relaxed) & CANCELS != 0).then_some(&self.cancelled)
    }

    /// Has a cancellation make the descriptor with this number readable as well.
    pub fn set_descriptor(&self, number: NonZeroU32) {
        // Relaxed, here and in `cancel`: the fences order it. Either `cancel` sees the number, or a try after this call sees
        // the cancellation.
        self.descriptor.store(number.get(), Relaxed);
        fence(SeqCst);
    }

    /// Cancels the waits that are under way, at least one; if there is none, the next one. Makes one system call, and
    /// another one if there is a descriptor. A signal handler may call it.
    pub fn cancel(&self) {
        // Release: pairs with the acquire in `take`: a thread whose wait was cancelled sees what was written before.
        self.cancelled.store(1, Release);
        atomic::wake_own(&self.cancelled);
        fence(SeqCst);
        if let Some(number) = NonZeroU32::new(self.descriptor.load(Relaxed)) {
            atomic::send(number);
        }
    }

    /// Keeps a cancellation that a call has taken and does not return as its error.
    pub fn keep(&self) {
        // Relaxed: the call has acquired it.
        self.cancelled.store(1, Relaxed);
    }

    /// Returns whether a wait is cancelled and has not ended yet.
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: `take` acquires.
        self.cancelled.load(Relaxed) != 0
    }

    /// Takes a cancellation, for the wait that it ends. Returns whether there was one.
    pub fn take(&self) -> bool {
        // Acquire: pairs with the release in `cancel`.
        self.is_cancelled() && self.cancelled.swap(0, Acquire) != 0
    }
}
