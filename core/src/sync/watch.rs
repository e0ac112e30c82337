//! Two threads of those that sleep on a lock look often whether its owner still lives.
//!
//! A death is to be noticed soon by a thread that has not waited for long. If each of them woke up
//! every few milliseconds to look, a crowd would keep the processors busy, and the scheduler would
//! move its threads about. So two of them do, the *watchers*; the others sleep for long, and rely on
//! them. Two, because one of them is often woken to have the lock, and then the other one still
//! watches; the next thread that comes to sleep is a watcher again. Only where the last one leaves
//! does it have to wake another; and so does that one, if it has the lock before it sleeps again.
//!
//! That other thread may just be about to sleep. So the watcher that leaves changes the word on which
//! they sleep before it wakes one: see `Mutex`.
//!
//! The word of the watch says until when each watcher has promised to look again. It may hold anything: a
//! promise that is not kept costs the others one long slice.

use super::{
    atomic::{
        AtomicU32,
        Ordering::{AcqRel, Relaxed},
    },
    wait::{self, Sleep},
};

/// The watch over a lock, as it lies in a segment: two promises, each a time in milliseconds or 0,
/// and [`RELIED`].
#[cfg_attr(not(loom), repr(transparent))]
#[derive(Default)]
pub struct Watch(AtomicU32);

/// A thread that has not waited for long sleeps, and relies on the watchers.
const RELIED: u32 = 1 << 31;

/// Where the promises are in the word, and how many bits each has.
#[cfg(not(loom))]
const PLACES: [u32; 2] = [0, BITS];
/// In a model, there is one: so two threads can show what the last one does that leaves.
#[cfg(loom)]
const PLACES: [u32; 1] = [0];
const BITS: u32 = 15;
const MASK: u32 = (1 << BITS) - 1;

/// How far ahead a promise is, in milliseconds: two short slices, as a thread may be late.
const AHEAD: u32 = 16;

/// How long a watcher watches, in milliseconds, if no other thread has come to rely on it since.
const TERM: u32 = 100;

/// The part of a thread in the watch.
#[derive(Default)]
pub struct Part {
    /// It watches.
    watcher: Option<Watcher>,
    /// It has slept, and perhaps was woken to become a watcher.
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
    /// Settles how often a thread that is about to sleep looks: it becomes or stays a watcher, or
    /// relies on the others, or has waited for so long that it need not look often.
    pub fn join(&self, part: &mut Part, sleep: &mut Sleep) {
        let sleeper = Sleeper {
            is_new: !sleep.has_taken_long(),
            has_looked: sleep.has_expired(),
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
                return sleep.look_often(watcher.is_some());
            }
        }
    }

    /// Ends the part of a thread that sleeps no more. Returns whether another thread is to be woken, to
    /// become a watcher: if this was the last one, or was woken to be one.
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
                // If it was late, another one has its place.
                _ => word,
            };
            if self.change(word, next) {
                return next & RELIED != 0 && !is_watched(next, wait::milliseconds());
            }
        }
    }

    /// Changes the word, even to what it is: only so does a thread know that it has seen the last change. Of a
    /// watcher that leaves and a thread that joins one comes later, and sees what the other has done.
    fn change(&self, word: u32, next: u32) -> bool {
        // Acquire and Release: with RELIED, the watcher that leaves sees W, which the other thread has set
        // in the lock before. Relaxed: then the word is read again.
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
    /// It slept to the end of a slice, and looked.
    has_looked: bool,
    /// In milliseconds.
    now: u32,
}

/// What becomes of the word, and of the thread.
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
        // The end of its slice has moved it to the end of those that an unlock wakes: a watcher for long would
        // hardly come to its turn.
        Some(mine) if sleeper.has_looked && is_watched(put(word, mine.place, 0), now) => {
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

/// Whether that is a promise, and its time has not come.
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

    fn sleep() -> Sleep {
        Sleep::until(Deadline::Never)
    }

    fn join(watch: &Watch) -> Part {
        let mut part = Part::default();
        watch.join(&mut part, &mut sleep());
        part
    }

    #[test]
    fn two_watch_and_the_last_one_calls_another() {
        let watch = Watch::default();
        let (mut first, mut second, mut third) = (join(&watch), join(&watch), join(&watch));
        assert!(first.watcher.is_some() && second.watcher.is_some() && third.watcher.is_none());
        assert!(!watch.leave(&mut third), "it does not watch");
        assert!(!watch.leave(&mut first), "the second one still does");
        assert!(watch.leave(&mut second), "no one does");
        watch.join(&mut third, &mut sleep());
        assert!(third.watcher.is_some());
    }

    #[test]
    fn watchers_alone_call_no_thread() {
        let watch = Watch::default();
        let (mut first, mut second) = (join(&watch), join(&watch));
        assert!(!watch.leave(&mut first));
        assert!(!watch.leave(&mut second));
        assert_eq!(watch.0.into_inner(), 0);
    }

    fn at(now: u32) -> Sleeper {
        Sleeper {
            is_new: true,
            has_looked: false,
            now,
        }
    }

    #[test]
    fn one_that_has_looked_makes_room() {
        let (word, first) = decide(0, None, at(7));
        let (word, second) = decide(word, None, at(7));
        let late = Sleeper {
            has_looked: true,
            ..at(15)
        };
        let (word, first) = decide(word, first, late);
        assert!(first.is_none() && word & RELIED != 0);
        let (_, second) = decide(word, second, late);
        assert!(second.is_some(), "it is the only one");
    }

    #[test]
    fn a_watcher_goes_on_for_those_that_came() {
        let old = |now| Sleeper {
            is_new: false,
            ..at(now)
        };
        let (word, watcher) = decide(0, None, at(7));
        let (word, watcher) = decide(word | RELIED, watcher, old(7 + TERM));
        assert!(watcher.is_some() && word & RELIED == 0);
        let (word, watcher) = decide(word, watcher, old(7 + 2 * TERM));
        assert!(watcher.is_none() && word == 0);
        assert!(decide(word, watcher, old(7)).1.is_none(), "it need not");
    }

    #[test]
    fn a_promise_that_is_not_kept_ends() {
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
