//! Waiting: a thread spins or yields, and then sleeps in slices.
//!
//! Between slices a thread reads its word again and makes a liveness check of a holder. So four things delay it by at
//! most one slice: a wake-up that a killed process did not send, one that was missed because the kernel has no barrier
//! for it, the death of the holder of a lock or a role, and the release of a role just before the thread falls asleep,
//! which does not change its word. Most waits either end soon or take long, so slices are short at first and long
//! later.

use super::interrupt::Interrupt;
use crate::sys::Instant;
#[cfg(not(loom))]
use crate::sys::{
    futex,
    waitv::{self, Word},
};
use core::time::Duration;

/// How long a thread waits in short slices before they become long.
#[cfg(not(loom))]
const AT_FIRST: Duration = Duration::from_millis(100);

/// The length of a short slice, and of a long one.
#[cfg(not(loom))]
const SHORT: Duration = Duration::from_millis(8);
#[cfg(not(loom))]
const LONG: Duration = Duration::from_millis(250);

/// How long other threads leave a lock to the thread whose turn is next: about twice the time that it takes to wake a
/// thread on an idle processor.
pub(super) const NAP: Duration = Duration::from_micros(100);

/// How many times to read a word before sleeping. The PAUSE after each time takes 20 to 60 ns.
#[cfg(not(loom))]
const SPINS: u32 = 100;
#[cfg(loom)]
const SPINS: u32 = 1;

/// How long to stay awake for a peer on another processor: about the time that it takes to fall asleep and be woken.
#[cfg(not(loom))]
const AWAKE: Duration = Duration::from_micros(30);

/// How long to try to get a lock that other threads take again and again: longer than most threads hold a lock.
#[cfg(not(loom))]
const INSIST: Duration = Duration::from_millis(2);

/// How many times to yield before sleeping if the peer runs on this processor. Once is enough if the peer is ready to
/// run; if it is not, yielding returns at once.
#[cfg(not(loom))]
const YIELDS: u32 = 4;

/// The point in time at which a wait ends.
#[derive(Clone, Copy, Debug)]
pub enum Deadline<'a> {
    /// Try once, and do not wait.
    Now,
    At(Instant),
    Never,
    /// At this time, if there is one, or earlier if the wait is interrupted or cancelled.
    Interruptible(Option<Instant>, &'a Interrupt),
}

/// Why a wait has ended without its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The deadline was [`Deadline::Now`].
    AtOnce,
    TimedOut,
    /// A signal handler has run.
    Interrupted,
    Cancelled,
}

impl<'a> Deadline<'a> {
    /// Returns the deadline after a timeout from now. It is [`Deadline::Never`] for `None`, and for a timeout beyond
    /// the clock's range.
    pub fn after(timeout: Option<Duration>) -> Deadline<'a> {
        match timeout {
            Some(Duration::ZERO) => Deadline::Now,
            Some(timeout) => Instant::now()
                .checked_add(timeout)
                .map_or(Deadline::Never, Deadline::At),
            None => Deadline::Never,
        }
    }

    /// Returns this deadline for a wait that can be interrupted or cancelled. A try cannot.
    #[inline]
    pub fn or_at(self, interrupt: &'a Interrupt) -> Deadline<'a> {
        match self {
            Deadline::At(end) if interrupt.is_allowed() => {
                Deadline::Interruptible(Some(end), interrupt)
            }
            Deadline::Never if interrupt.is_allowed() => Deadline::Interruptible(None, interrupt),
            deadline => deadline,
        }
    }

    /// Returns whether the deadline has passed, or the wait is cancelled.
    pub fn is_over(self) -> bool {
        self.is_cancelled() || self.has_passed()
    }

    fn has_passed(self) -> bool {
        match self {
            Deadline::Now => true,
            Deadline::Never | Deadline::Interruptible(None, _) => false,
            Deadline::At(end) | Deadline::Interruptible(Some(end), _) => Instant::now() >= end,
        }
    }

    fn interrupt(self) -> Option<&'a Interrupt> {
        match self {
            Deadline::Interruptible(_, interrupt) => Some(interrupt),
            _ => None,
        }
    }

    /// Returns whether the wait is cancelled.
    pub fn is_cancelled(self) -> bool {
        self.interrupt().is_some_and(Interrupt::is_cancelled)
    }

    /// Returns why a wait with this deadline has ended without its event. If it was cancelled, this takes the
    /// cancellation, so the caller must return an error.
    #[cold]
    pub fn why_ended(self) -> Ended {
        match self {
            Deadline::Now => Ended::AtOnce,
            Deadline::Interruptible(_, interrupt) if interrupt.take() => Ended::Cancelled,
            Deadline::Interruptible(_, interrupt) if !self.has_passed() => {
                if interrupt.by_signals() {
                    Ended::Interrupted
                } else {
                    // Another wait of this handle has ended by the same cancellation.
                    Ended::Cancelled
                }
            }
            _ => Ended::TimedOut,
        }
    }
}

/// How thoroughly an end that finds nothing asks what it can expect of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// Before it sleeps: without a liveness check if the last one found a live holder, so that a thread that is woken
    /// for each message makes none. A released role is found nevertheless.
    Brief,
    /// After a slice, or in a try: with a liveness check, unless the last one is recent.
    Full,
}

/// The lengths of a thread's slices.
#[cfg(not(loom))]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    ShortAtFirst,
    Short,
    Long,
}

/// The sleep of a thread that waits, slice after slice.
pub struct Sleep<'a> {
    pub(super) deadline: Deadline<'a>,
    #[cfg(not(loom))]
    since: Option<Instant>,
    #[cfg(not(loom))]
    pace: Pace,
    /// The end of the slice that has begun.
    #[cfg(not(loom))]
    slice_end: Option<Instant>,
    /// Whether the last slice has reached its end.
    pub(super) expired: bool,
    /// In a model, the number of slices that are left.
    #[cfg(loom)]
    pub(super) slices: u32,
    /// In a model, whether slices are short.
    #[cfg(loom)]
    pub(super) often: bool,
}

impl Sleep<'_> {
    /// Returns whether the last slice has reached its end. In a model, every slice has.
    pub fn has_expired(&self) -> bool {
        self.expired || cfg!(loom)
    }

    /// Returns whether the thread may go on waiting: for a round without a sleep, because a sleep looks at the
    /// deadline.
    pub fn is_in_time(&self) -> bool {
        !self.deadline.is_over()
    }
}

#[cfg(not(loom))]
impl<'a> Sleep<'a> {
    pub fn until(deadline: Deadline<'a>) -> Sleep<'a> {
        Sleep {
            deadline,
            since: None,
            pace: Pace::ShortAtFirst,
            slice_end: None,
            expired: false,
        }
    }

    /// Makes all further slices short, because a wake-up may be missed.
    pub fn stay_light(&mut self) {
        self.pace = Pace::Short;
    }

    /// Makes all further slices short or long, however long the thread has waited.
    pub fn check_often(&mut self, often: bool) {
        let pace = if often { Pace::Short } else { Pace::Long };
        // A long slice that has begun must not hide the end of the short one.
        if self.pace != pace {
            self.pace = pace;
            self.slice_end = None;
        }
    }

    /// Returns whether the thread has waited for so long that it need not check often.
    pub fn has_taken_long(&self) -> bool {
        self.elapsed() >= AT_FIRST
    }

    /// Returns the time since the first sleep.
    pub fn elapsed(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Sleeps for a slice while the word is as expected. Returns false if the deadline has passed, or the wait is
    /// interrupted.
    pub fn on(&mut self, word: *const core::sync::atomic::AtomicU32, expected: u32) -> bool {
        self.at_most(Duration::MAX, word, expected)
    }

    /// Sleeps as [`on`](Sleep::on) does, for at most a `NAP`.
    pub fn briefly_on(
        &mut self,
        word: *const core::sync::atomic::AtomicU32,
        expected: u32,
    ) -> bool {
        self.at_most(NAP, word, expected)
    }

    /// Sleeps for a slice while each word is as expected. Returns false if the deadline has passed, or the wait is
    /// interrupted; `None`, without a sleep, if the kernel cannot sleep on several words.
    pub fn on_any(&mut self, words: &[Word]) -> Option<bool> {
        self.for_slice(|_, time| waitv::wait(words, time))
    }

    fn at_most(
        &mut self,
        most: Duration,
        word: *const core::sync::atomic::AtomicU32,
        expected: u32,
    ) -> bool {
        let slept =
            self.for_slice(|deadline, time| Some(sleep(deadline, word, expected, time.min(most))));
        slept != Some(false)
    }

    /// Calls `sleep` with the deadline and the rest of a slice; it returns whether a signal handler has ended the
    /// sleep, or `None`. Returns false if the deadline has passed, or the wait is interrupted; `None` if `sleep`
    /// returns that.
    pub fn for_slice(
        &mut self,
        sleep: impl FnOnce(Deadline, Duration) -> Option<bool>,
    ) -> Option<bool> {
        let Some(slice) = self.slice() else {
            return Some(false);
        };
        // A wake-up or a signal ends the sleep, but not the slice: otherwise a thread that is woken again and again
        // would never reach the end of a slice, where it checks for deaths.
        let now = Instant::now();
        let end = *self.slice_end.get_or_insert(now + slice);
        let woken_by_signal = sleep(self.deadline, end.since(now).min(slice))?;
        self.expired = Instant::now() >= end;
        if self.expired {
            self.slice_end = None;
        }
        let interrupt = self.deadline.interrupt();
        Some(!(woken_by_signal && interrupt.is_some_and(Interrupt::by_signals)))
    }

    /// Returns the length of the next slice; `None` if the deadline has passed, or the wait is cancelled.
    pub fn slice(&mut self) -> Option<Duration> {
        if self.deadline.is_cancelled() {
            return None;
        }
        let left = match self.deadline {
            Deadline::Now => return None,
            Deadline::Never | Deadline::Interruptible(None, _) => Duration::MAX,
            Deadline::At(end) | Deadline::Interruptible(Some(end), _) => end.since(Instant::now()),
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

/// Sleeps while the word is as expected and the wait is not cancelled. Returns whether a signal handler has ended the
/// sleep.
#[cfg(not(loom))]
fn sleep(
    deadline: Deadline,
    word: *const core::sync::atomic::AtomicU32,
    expected: u32,
    time: Duration,
) -> bool {
    let Some(cancelled) = deadline.interrupt().and_then(Interrupt::word) else {
        return futex::wait(word, expected, time);
    };
    // Where the kernel cannot sleep on two words, a cancellation is seen at the end of a short slice.
    waitv::wait(&[Word::new(word, expected), Word::own(cancelled, 0)], time)
        .unwrap_or_else(|| futex::wait(word, expected, time.min(SHORT)))
}

/// Returns the time of the monotonic clock in milliseconds, modulo 2³¹. It is up to a few milliseconds late.
#[cfg(not(loom))]
pub fn milliseconds() -> u32 {
    (crate::sys::about_now() / 1_000_000) as u32 & u32::MAX >> 1
}

/// In a model no time passes.
#[cfg(loom)]
pub fn milliseconds() -> u32 {
    1
}

/// Calls `look` a number of times, a PAUSE apart, until it returns `Some`.
pub fn spin<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..SPINS {
        if let Some(found) = look() {
            return Some(found);
        }
        core::hint::spin_loop();
    }
    None
}

/// Calls `look` until it returns `Some`, with growing pauses: for a word that its owner is about to change, and that
/// each call takes away from the owner's cache.
pub fn spin_gently<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    // More spinning makes no lock faster, and a thread that spins may keep the lock's owner off the processor.
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

/// Calls `look` until it returns `Some`, or until falling asleep costs less than staying awake. `peer`: the processor
/// on which the peer last ran; if it is unknown, the peer counts as running on another one.
#[cfg(not(loom))]
pub fn stay_awake<T>(peer: Option<u32>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    if is_here(peer) {
        return yield_for(look);
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

/// Returns whether the peer last ran on this thread's processor.
#[cfg(not(loom))]
pub fn is_here(peer: Option<u32>) -> bool {
    peer.is_some() && peer == crate::sys::cpu()
}

/// Calls `look` after each of a few yields, until it returns `Some`: for a peer on this thread's processor.
#[cfg(not(loom))]
pub fn yield_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    (0..YIELDS).find_map(|_| {
        crate::sys::yield_now();
        look()
    })
}

/// Calls `look` until it returns `Some`, for at most `INSIST`, and yields at intervals.
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

/// In a model, calls `look` once, after other threads have run.
#[cfg(loom)]
pub fn insist<T>(_: Deadline, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    loom::thread::yield_now();
    look()
}

/// In a model, each peer runs on the same processor.
#[cfg(loom)]
pub fn is_here(_: Option<u32>) -> bool {
    true
}

/// In a model, calls `look` once.
#[cfg(loom)]
pub fn yield_for<T>(look: impl FnMut() -> Option<T>) -> Option<T> {
    stay_awake(None, look)
}

/// In a model, calls `look` once.
#[cfg(loom)]
pub fn stay_awake<T>(_: Option<u32>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    look()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU32;

    /// A wake-up does not move the end of the slice; a change to short slices does.
    #[test]
    fn a_long_slice_ends_when_short_ones_are_due() {
        let changed = AtomicU32::new(1);
        let mut sleep = Sleep::until(Deadline::Never);
        let mut end_of_slice = |often| {
            sleep.check_often(often);
            assert!(sleep.on(&changed, 0), "the word has another value");
            sleep.slice_end.expect("the slice has not reached its end")
        };
        let long = end_of_slice(false);
        assert_eq!(end_of_slice(false), long);
        let short = end_of_slice(true);
        assert!(short < long);
        assert_eq!(end_of_slice(true), short);
    }
}
