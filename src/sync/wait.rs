//! Waiting: a little spinning or yielding, then sleep, in slices.
//!
//! Sleep is cut into slices so that three things heal by themselves: a wake-up that a killed process
//! never sent, one that was missed because the kernel has no barrier for it, and a lock whose owner
//! dies while others sleep. Each costs a sleeper one slice.

use std::time::{Duration, Instant};

/// The longest sleep without looking again.
pub(crate) const SLICE: Duration = Duration::from_millis(4);

/// How often to look before sleeping. A look takes a PAUSE, 20 to 60 ns.
#[cfg(not(loom))]
const SPINS: u32 = 100;
#[cfg(loom)]
const SPINS: u32 = 1;

/// How long to look for what a peer on another processor does: about as long as it takes to put
/// this thread to sleep and wake it again.
#[cfg(not(loom))]
const AWAKE: Duration = Duration::from_micros(30);

/// How often to let others run, before sleeping, where the peer runs on this same processor. Once
/// is enough if it is ready to run; if not, this returns at once.
#[cfg(not(loom))]
const YIELDS: u32 = 4;

/// Until when to wait, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// One try.
    Now,
    At(Instant),
    Never,
}

impl Deadline {
    /// `None` is for ever. A time too long for the clock is for ever, too.
    pub fn after(timeout: Option<Duration>) -> Deadline {
        match timeout {
            Some(Duration::ZERO) => Deadline::Now,
            Some(timeout) => Instant::now()
                .checked_add(timeout)
                .map_or(Deadline::Never, Deadline::At),
            None => Deadline::Never,
        }
    }

    /// How long to sleep now; `None` when the time is over.
    pub fn slice(self) -> Option<Duration> {
        match self {
            Deadline::Now => None,
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

/// The same, with moments that grow: for a word that its owner is about to change, and that each look
/// takes away from its cache.
pub(crate) fn spin_gently<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let mut pauses = 1;
    let mut left = SPINS;
    while left > 0 {
        if let Some(found) = look() {
            return Some(found);
        }
        (0..pauses).for_each(|_| core::hint::spin_loop());
        left = left.saturating_sub(pauses);
        pauses *= 2;
    }
    None
}

/// Looks as long as it pays to stay awake for a peer that was last seen on this processor; a peer
/// that nothing is known of is taken to run elsewhere.
#[cfg(not(loom))]
pub(crate) fn stay_awake<T>(peer: Option<u32>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    if peer.is_some() && peer == crate::sys::cpu() {
        return (0..YIELDS).find_map(|_| {
            crate::sys::yield_now();
            look()
        });
    }
    if let Some(found) = spin(&mut look) {
        return Some(found);
    }
    let start = Instant::now();
    while start.elapsed() < AWAKE {
        if let Some(found) = spin(&mut look) {
            return Some(found);
        }
    }
    None
}

/// In a model, there is nothing between looking and sleeping.
#[cfg(loom)]
pub(crate) fn stay_awake<T>(_: Option<u32>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    look()
}

/// Sleeps for a slice, while the word is as expected. False when the time is over.
#[cfg(not(loom))]
pub(crate) fn sleep(
    word: *const core::sync::atomic::AtomicU32,
    expected: u32,
    deadline: Deadline,
) -> bool {
    match deadline.slice() {
        Some(slice) => {
            crate::sys::futex::wait(word, expected, slice);
            true
        }
        None => false,
    }
}
