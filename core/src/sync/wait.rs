//! Waiting: a little spinning or yielding, then sleep, in slices.
//!
//! Sleep is cut into slices so that three things heal by themselves: a wake-up that a killed process
//! never sent, one that was missed because the kernel has no barrier for it, and a lock or a role
//! whose holder dies while others sleep. Each costs a sleeper one slice. Most waits are over soon, or
//! take long; so slices are short at first, and long later.

use crate::sys::Instant;
use core::time::Duration;

/// How long slices are short.
const AT_FIRST: Duration = Duration::from_millis(100);

/// The length of a slice at first, and later.
const SHORT: Duration = Duration::from_millis(8);
const LONG: Duration = Duration::from_millis(250);

/// How long to leave a lock to the thread that is to be next: about twice what it takes to wake one
/// on an idle processor.
#[cfg(not(loom))]
const NAP: Duration = Duration::from_micros(100);

/// How often to look before sleeping. A look takes a PAUSE, 20 to 60 ns.
#[cfg(not(loom))]
const SPINS: u32 = 100;
#[cfg(loom)]
const SPINS: u32 = 1;

/// How long to look for what a peer on another processor does: about as long as it takes to put
/// this thread to sleep and wake it again.
#[cfg(not(loom))]
const AWAKE: Duration = Duration::from_micros(30);

/// How long to insist on a lock that others have again and again: longer than most have it.
#[cfg(not(loom))]
const INSIST: Duration = Duration::from_millis(2);

/// How often to let others run, before sleeping, where the peer runs on this same processor. Once
/// is enough if it is ready to run; if not, this returns at once.
#[cfg(not(loom))]
const YIELDS: u32 = 4;

/// Until when to wait, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub enum Deadline {
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

    /// Whether the time is over.
    pub fn is_over(self) -> bool {
        match self {
            Deadline::Now => true,
            Deadline::Never => false,
            Deadline::At(end) => Instant::now() >= end,
        }
    }
}

/// How long slices are.
#[cfg(not(loom))]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    ShortAtFirst,
    Short,
    Long,
}

/// The sleep of a thread that waits, slice after slice.
pub struct Sleep {
    pub(super) deadline: Deadline,
    #[cfg(not(loom))]
    since: Option<Instant>,
    #[cfg(not(loom))]
    pace: Pace,
    /// When the slice ends that has begun.
    #[cfg(not(loom))]
    slice_end: Option<Instant>,
    /// The last slice came to its end.
    pub(super) expired: bool,
    /// In a model, how many slices there are.
    #[cfg(loom)]
    pub(super) slices: u32,
    /// In a model, whether slices are short.
    #[cfg(loom)]
    pub(super) often: bool,
}

impl Sleep {
    /// Returns whether the last slice came to its end. In a model slices have no end, and it is as if
    /// each had.
    pub fn has_expired(&self) -> bool {
        self.expired || cfg!(loom)
    }
}

#[cfg(not(loom))]
impl Sleep {
    pub fn until(deadline: Deadline) -> Sleep {
        Sleep {
            deadline,
            since: None,
            pace: Pace::ShortAtFirst,
            slice_end: None,
            expired: false,
        }
    }

    /// From now on, slices are short: a wake-up may be missed.
    pub fn stay_light(&mut self) {
        self.pace = Pace::Short;
    }

    /// From now on, slices are short or long, however long the thread has waited.
    pub fn look_often(&mut self, often: bool) {
        let pace = if often { Pace::Short } else { Pace::Long };
        // A long slice that has begun must not hide the end of the short one.
        if self.pace != pace {
            self.pace = pace;
            self.slice_end = None;
        }
    }

    /// Returns whether the thread has waited for so long that it need not look often.
    pub fn has_taken_long(&self) -> bool {
        self.elapsed() >= AT_FIRST
    }

    /// Returns the time since the first sleep.
    pub fn elapsed(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Sleeps for a slice, while the word is as expected. False when the time is over.
    pub fn on(&mut self, word: *const core::sync::atomic::AtomicU32, expected: u32) -> bool {
        self.at_most(Duration::MAX, word, expected)
    }

    /// The same for `NAP` at most.
    pub fn briefly_on(
        &mut self,
        word: *const core::sync::atomic::AtomicU32,
        expected: u32,
    ) -> bool {
        self.at_most(NAP, word, expected)
    }

    fn at_most(
        &mut self,
        most: Duration,
        word: *const core::sync::atomic::AtomicU32,
        expected: u32,
    ) -> bool {
        let Some(slice) = self.slice() else {
            return false;
        };
        // A slice goes on where a wake-up, or a signal, has ended the sleep: else a thread that is
        // woken again and again would never look at what slices are for.
        let now = Instant::now();
        let end = *self.slice_end.get_or_insert(now + slice);
        let rest = end.since(now);
        crate::sys::futex::wait(word, expected, rest.min(slice).min(most));
        self.expired = Instant::now() >= end;
        if self.expired {
            self.slice_end = None;
        }
        true
    }

    /// Returns how long to sleep now; `None` when the time is over.
    fn slice(&mut self) -> Option<Duration> {
        let left = match self.deadline {
            Deadline::Now => return None,
            Deadline::Never => Duration::MAX,
            Deadline::At(end) => end.since(Instant::now()),
        };
        let elapsed = self.since.get_or_insert_with(Instant::now).elapsed();
        let is_short = match self.pace {
            Pace::ShortAtFirst => elapsed < AT_FIRST,
            pace => pace == Pace::Short,
        };
        let slice = if is_short { SHORT } else { LONG };
        (left > Duration::ZERO).then(|| left.min(slice))
    }
}

/// The monotonic clock in milliseconds, modulo 2³¹; a few late.
#[cfg(not(loom))]
pub fn milliseconds() -> u32 {
    (crate::sys::about_now() / 1_000_000) as u32 & u32::MAX >> 1
}

/// In a model no time passes.
#[cfg(loom)]
pub fn milliseconds() -> u32 {
    1
}

/// Looks a number of times, a short moment apart. `None` if nothing came of it.
pub fn spin<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
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
pub fn spin_gently<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    // More of it makes no lock faster, and the scheduler has a thread that spins wait for the lock's
    // owner to go on.
    let mut pauses = 1;
    let mut left = SPINS.min(20);
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
pub fn stay_awake<T>(peer: Option<u32>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
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

/// Looks as long as others have a lock in most cases, and lets others run now and then.
#[cfg(not(loom))]
pub fn insist<T>(deadline: Deadline, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    for round in 1_u32.. {
        for _ in 0..20 {
            if let Some(found) = look() {
                return Some(found);
            }
            core::hint::spin_loop();
        }
        if start.elapsed() > INSIST || deadline.is_over() {
            break;
        }
        if round.is_multiple_of(8) {
            crate::sys::yield_now();
        }
    }
    None
}

/// In a model, a thread looks once, after others have run.
#[cfg(loom)]
pub fn insist<T>(_: Deadline, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    loom::thread::yield_now();
    look()
}

/// In a model, there is nothing between looking and sleeping.
#[cfg(loom)]
pub fn stay_awake<T>(_: Option<u32>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    look()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU32;

    /// A thread whose sleep is interrupted looks at the end of the slice that has begun; one that is to
    /// look often from then on, at the end of a short slice.
    #[test]
    fn a_long_slice_ends_when_short_ones_are_due() {
        let changed = AtomicU32::new(1);
        let mut sleep = Sleep::until(Deadline::Never);
        let mut end_of_slice = |often| {
            sleep.look_often(often);
            assert!(sleep.on(&changed, 0), "the word has another value");
            sleep.slice_end.expect("it has not come to its end")
        };
        let long = end_of_slice(false);
        assert_eq!(end_of_slice(false), long);
        let short = end_of_slice(true);
        assert!(short < long);
        assert_eq!(end_of_slice(true), short);
    }
}
