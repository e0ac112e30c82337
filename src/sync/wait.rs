//! Waiting: a little spinning, then sleep, in slices.
//!
//! Sleep is cut into slices so that two things heal by themselves: a wake-up that a killed process
//! never sent, and a lock whose owner dies while others sleep. Both cost a sleeper one slice.

use crate::sys::futex;
use core::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// The longest sleep without looking again.
pub(crate) const SLICE: Duration = Duration::from_millis(4);

/// How often to look before sleeping. A look takes a PAUSE, 20 to 60 ns.
const SPINS: u32 = 100;

/// Until when to wait, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    Never,
    At(Instant),
}

impl Deadline {
    /// `None` is for ever. A time too long for the clock is for ever, too.
    pub fn after(timeout: Option<Duration>) -> Deadline {
        timeout
            .and_then(|timeout| Instant::now().checked_add(timeout))
            .map_or(Deadline::Never, Deadline::At)
    }

    /// How long to sleep now; `None` when the time is over.
    pub fn slice(self) -> Option<Duration> {
        match self {
            Deadline::Never => Some(SLICE),
            Deadline::At(end) => {
                let left = end.saturating_duration_since(Instant::now());
                (left > Duration::ZERO).then(|| left.min(SLICE))
            }
        }
    }
}

/// Looks a number of times, a short moment apart. `None` if nothing came of it.
pub(crate) fn spin<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..SPINS {
        if let Some(found) = look() {
            return Some(found);
        }
        core::hint::spin_loop();
    }
    None
}

/// Sleeps for a slice, while the word is as expected. False when the time is over.
pub(crate) fn sleep(word: *const AtomicU32, expected: u32, deadline: Deadline) -> bool {
    match deadline.slice() {
        Some(slice) => {
            futex::wait(word, expected, slice);
            true
        }
        None => false,
    }
}
