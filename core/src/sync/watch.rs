//! The watch: two of the threads that sleep on a lock often make a liveness check of its owner.
//!
//! A thread that has not waited for long must notice a death soon. If each such thread woke up every few milliseconds
//! to check, many of them would keep the processors busy, and the scheduler would move them between processors. So only
//! two threads check often, the *watchers*; the others sleep in long slices and rely on them. There are two because an
//! unlock often wakes a watcher to take the lock: then the other one still watches, and the next thread that is about
//! to sleep becomes a watcher. Only when the last watcher leaves does it wake another thread, to become one. If that
//! thread takes the lock before it sleeps again, it wakes yet another one.
//!
//! The thread to be woken may not be asleep yet. So a watcher that leaves changes the word on which the threads sleep
//! before it wakes one: see `Mutex`.
//!
//! The word of the watch contains, for each watcher, the time by which it has promised to check again. If a watcher is
//! killed, or a hostile process overwrites the word, the other threads notice a death one long slice later.

use super::{
    atomic::{
        AtomicU32,
        Ordering::{AcqRel, Relaxed},
    },
    wait::{self, Sleep},
};

/// The watch over a lock, in a segment: two promises, each a time in milliseconds or 0, and [`RELIED`].
#[cfg_attr(not(loom), repr(transparent))]
#[derive(Default)]
pub struct Watch(AtomicU32);

/// A thread that has not waited for long sleeps and relies on the watchers.
const RELIED: u32 = 1 << 31;

/// The places of the promises in the word, and the number of bits of each.
#[cfg(not(loom))]
const PLACES: [u32; 2] = [0, BITS];
/// In a model there is one promise, so that two threads are enough for the last watcher to leave.
#[cfg(loom)]
const PLACES: [u32; 1] = [0];
const BITS: u32 = 15;
const MASK: u32 = (1 << BITS) - 1;

/// The time from a check to the end of the promise, in milliseconds: two short slices, because a thread may be late.
const AHEAD: u32 = 16;

/// How long a watcher watches, in milliseconds, if no other thread begins to rely on it.
const TERM: u32 = 100;

/// A thread's part in the watch.
#[derive(Default)]
pub struct Part {
    /// `Some` while the thread is a watcher.
    watcher: Option<Watcher>,
    /// The thread has slept, and may have been woken to become a watcher.
    has_joined: bool,
}

#[derive(Clone, Copy)]
struct Watcher {
    place: u32,
    promise: u32,
    /// In milliseconds.
    since: u32,
}

impl Watch {
    /// Decides how often a thread that is about to sleep checks: it becomes or stays a watcher, relies on the watchers,
    /// or has waited for so long that it need not check often.
    pub fn join(&self, part: &mut Part, sleep: &mut Sleep) {
        let sleeper = Sleeper {
            is_new: !sleep.has_taken_long(),
            has_checked: sleep.has_expired(),
            now: wait::milliseconds(),
        };
        loop {
            // Relaxed, here and below: `change` compares it.
            let word = self.0.load(Relaxed);
            let (next, watcher) = decide(word, part.watcher, sleeper);
            if self.change(word, next) {
                *part = Part {
                    watcher,
                    has_joined: true,
                };
                return sleep.check_often(watcher.is_some());
            }
        }
    }

    /// Ends the part of a thread that no longer sleeps. Returns whether the caller must wake another thread to become a
    /// watcher: because this thread was the last watcher, or was woken to become one.
    pub fn leave(&self, part: &mut Part) -> bool {
        let Part {
            watcher,
            has_joined,
        } = core::mem::take(part);
        if !has_joined {
            return false;
        }
        loop {
            let word = self.0.load(Relaxed);
            let next = match watcher {
                Some(mine) if mine.is_in(word) => put(word, mine.place, 0),
                // If the thread was late, another one may have its place.
                _ => word,
            };
            if self.change(word, next) {
                return next & RELIED != 0 && !is_watched(next, wait::milliseconds());
            }
        }
    }

    /// Changes the word, even if `next` equals `word`: only a successful exchange shows that the thread has seen the
    /// last change. Of a watcher that leaves and a thread that joins, the later one sees what the other has done.
    fn change(&self, word: u32, next: u32) -> bool {
        // Acquire and Release, which pair with each other: a watcher that leaves and sees RELIED also sees W, which
        // the other thread set in the lock before it joined. Relaxed: on failure, the caller reads the word again.
        self.0.compare_exchange(word, next, AcqRel, Relaxed).is_ok()
    }
}

impl Watcher {
    fn is_in(&self, word: u32) -> bool {
        get(word, self.place) == self.promise
    }
}

/// A thread that is about to sleep.
#[derive(Clone, Copy)]
struct Sleeper {
    /// It has not waited for long.
    is_new: bool,
    /// It has slept to the end of a slice, and has checked.
    has_checked: bool,
    /// In milliseconds.
    now: u32,
}

/// Returns the next word, and whether the thread is a watcher from now on.
fn decide(word: u32, mine: Option<Watcher>, sleeper: Sleeper) -> (u32, Option<Watcher>) {
    let now = sleeper.now;
    // 0 is no promise.
    let promise = ((now + AHEAD) & MASK).max(1);
    let watch = |word, place, since| {
        let watcher = Watcher {
            place,
            promise,
            since,
        };
        (put(word, place, promise), Some(watcher))
    };
    let is_relied_on = word & RELIED != 0;
    match mine.filter(|mine| mine.is_in(word)) {
        // At the end of its slice, the thread goes to the end of the queue of sleepers: if it stayed a watcher, an
        // unlock would rarely wake it.
        Some(mine) if sleeper.has_checked && is_watched(put(word, mine.place, 0), now) => {
            (put(word, mine.place, 0) | RELIED, None)
        }
        Some(mine) if now.wrapping_sub(mine.since) < TERM => watch(word, mine.place, mine.since),
        Some(mine) if is_relied_on => watch(word & !RELIED, mine.place, now),
        Some(mine) => (put(word, mine.place, 0), None),
        None if sleeper.is_new || is_relied_on && !is_watched(word, now) => {
            match PLACES
                .into_iter()
                .find(|&place| !is_kept(get(word, place), now))
            {
                Some(place) => watch(word, place, now),
                None => (word | RELIED, None),
            }
        }
        None => (word, None),
    }
}

fn is_watched(word: u32, now: u32) -> bool {
    PLACES
        .into_iter()
        .any(|place| is_kept(get(word, place), now))
}

/// Returns whether that is a promise whose time has not come yet.
fn is_kept(promise: u32, now: u32) -> bool {
    promise != 0 && promise.wrapping_sub(now) & MASK <= AHEAD
}

fn get(word: u32, place: u32) -> u32 {
    word >> place & MASK
}

fn put(word: u32, place: u32, promise: u32) -> u32 {
    word & !(MASK << place) | promise << place
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Deadline;

    fn sleep() -> Sleep<'static> {
        Sleep::until(Deadline::Never)
    }

    fn join(watch: &Watch) -> Part {
        let mut part = Part::default();
        watch.join(&mut part, &mut sleep());
        part
    }

    #[test]
    fn two_watch_and_the_last_one_wakes_another() {
        let watch = Watch::default();
        let (mut first, mut second, mut third) = (join(&watch), join(&watch), join(&watch));
        assert!(first.watcher.is_some() && second.watcher.is_some() && third.watcher.is_none());
        assert!(!watch.leave(&mut third), "it does not watch");
        assert!(!watch.leave(&mut first), "the second one still watches");
        assert!(watch.leave(&mut second), "no thread watches");
        watch.join(&mut third, &mut sleep());
        assert!(third.watcher.is_some());
    }

    #[test]
    fn watchers_on_which_no_thread_relies_wake_none() {
        let watch = Watch::default();
        let (mut first, mut second) = (join(&watch), join(&watch));
        assert!(!watch.leave(&mut first));
        assert!(!watch.leave(&mut second));
        assert_eq!(watch.0.into_inner(), 0);
    }

    fn at(now: u32) -> Sleeper {
        Sleeper {
            is_new: true,
            has_checked: false,
            now,
        }
    }

    #[test]
    fn a_watcher_that_has_checked_makes_room() {
        let (word, first) = decide(0, None, at(7));
        let (word, second) = decide(word, None, at(7));
        let late = Sleeper {
            has_checked: true,
            ..at(15)
        };
        let (word, first) = decide(word, first, late);
        assert!(first.is_none() && word & RELIED != 0);
        let (_, second) = decide(word, second, late);
        assert!(second.is_some(), "it is the only watcher");
    }

    #[test]
    fn a_watcher_goes_on_for_threads_that_rely_on_it() {
        let old = |now| Sleeper {
            is_new: false,
            ..at(now)
        };
        let (word, watcher) = decide(0, None, at(7));
        let (word, watcher) = decide(word | RELIED, watcher, old(7 + TERM));
        assert!(watcher.is_some() && word & RELIED == 0);
        let (word, watcher) = decide(word, watcher, old(7 + 2 * TERM));
        assert!(watcher.is_none() && word == 0);
        assert!(
            decide(word, watcher, old(7)).1.is_none(),
            "no thread relies on it"
        );
    }

    #[test]
    fn a_broken_promise_ends() {
        for now in [5, MASK - AHEAD, MASK, u32::MAX >> 1] {
            let (word, watcher) = decide(0, None, at(now));
            assert!(watcher.is_some());
            assert!(is_watched(word, now));
            assert!(is_watched(word, now + AHEAD));
            assert!(!is_watched(word, now + AHEAD + 2));
            assert!(!is_watched(word, now - 2), "too far ahead");
        }
        assert!(!is_watched(0, 0) && !is_watched(RELIED, 0));
    }
}
