//! Sleeping and waking in a model. As with `futex(2)`, the thread that fell asleep first is woken first. A sleep
//! without a deadline has no end, so a missed wake-up is a deadlock, which loom reports. A sleep with a deadline has
//! one slice, which ends after other threads have run.

use super::{
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
    wait::{Deadline, Sleep},
};
use loom::{
    sync::{Condvar, Mutex},
    thread,
};
use std::{num::NonZeroU32, ptr, time::Duration};

loom::lazy_static! {
    static ref BUCKET: (Mutex<Bucket>, Condvar) = Default::default();
}

/// The sleeping threads.
#[derive(Default)]
struct Bucket {
    /// For each sleeping thread, the addresses of its words, and a number of its own.
    asleep: Vec<([usize; 2], u64)>,
    next: u64,
    /// The descriptors that are readable.
    readable: Vec<NonZeroU32>,
    /// The slices of threads that look often have an end.
    they_look: bool,
}

/// Makes threads that look often wake up by themselves in this model.
pub fn let_them_look() {
    BUCKET.0.lock().unwrap().they_look = true;
}

impl<'a> Sleep<'a> {
    pub fn until(deadline: Deadline<'a>) -> Sleep<'a> {
        let slices = match deadline {
            Deadline::Now => 0,
            Deadline::At(_) | Deadline::Interruptible(Some(_), _) => 1,
            Deadline::Never | Deadline::Interruptible(None, _) => u32::MAX,
        };
        Sleep {
            deadline,
            slices,
            often: false,
            expired: false,
        }
    }

    pub fn stay_light(&mut self) {}

    pub fn check_often(&mut self, often: bool) {
        self.often = often;
    }

    pub fn has_taken_long(&self) -> bool {
        false
    }

    /// In a model, a thread that has slept at all has slept for long.
    pub fn elapsed(&self) -> Duration {
        match (self.deadline, self.slices) {
            (Deadline::Never | Deadline::Interruptible(None, _), u32::MAX)
            | (Deadline::At(_) | Deadline::Interruptible(Some(_), _), 1) => Duration::ZERO,
            _ => Duration::MAX,
        }
    }

    fn sleep_while(&mut self, word: usize, is_expected: impl FnOnce() -> bool) -> bool {
        if self.deadline.is_cancelled() {
            return false;
        }
        let Some(left) = self.slices.checked_sub(1) else {
            return false;
        };
        let cancelled = match self.deadline {
            Deadline::Interruptible(_, interrupt) => interrupt.word(),
            _ => None,
        };
        self.slices = left;
        let (bucket, woken) = (&BUCKET.0, &BUCKET.1);
        let mut guard = bucket.lock().unwrap();
        // The kernel makes a full barrier before it reads the word.
        fence(SeqCst);
        if !is_expected() || self.deadline.is_cancelled() {
            return true;
        }
        let me = guard.next;
        guard.next += 1;
        let own = cancelled.map_or(0, |word| ptr::from_ref(word).addr());
        guard.asleep.push(([word, own], me));
        let has_end = matches!(
            self.deadline,
            Deadline::At(_) | Deadline::Interruptible(Some(_), _)
        );
        if has_end || self.often && guard.they_look {
            drop(guard);
            thread::yield_now();
            let mut guard = bucket.lock().unwrap();
            guard.asleep.retain(|&(_, id)| id != me);
            return true;
        }
        while guard.asleep.iter().any(|&(_, id)| id == me) {
            guard = woken.wait(guard).unwrap();
        }
        true
    }
}

fn wake_up(word: usize, most: usize) -> bool {
    let mut guard = BUCKET.0.lock().unwrap();
    let mut left = most;
    guard.asleep.retain(|&(theirs, _)| {
        let wakes = theirs.contains(&word) && left > 0;
        left -= usize::from(wakes);
        !wakes
    });
    drop(guard);
    BUCKET.1.notify_all();
    left < most
}

/// Makes a descriptor readable.
pub fn send(number: NonZeroU32) {
    BUCKET.0.lock().unwrap().readable.push(number);
    BUCKET.1.notify_all();
}

/// Makes a descriptor unreadable.
pub fn drain(number: NonZeroU32) {
    let mut guard = BUCKET.0.lock().unwrap();
    guard.readable.retain(|&each| each != number);
}

/// Waits until a descriptor is readable.
pub fn poll(number: NonZeroU32) {
    let mut guard = BUCKET.0.lock().unwrap();
    while !guard.readable.contains(&number) {
        guard = BUCKET.1.wait(guard).unwrap();
    }
}

pub fn sleep(word: &AtomicU64, expected: u64, sleep: &mut Sleep) -> bool {
    // The kernel compares the lower half.
    let is_expected = || word.load(Relaxed) as u32 == expected as u32;
    sleep.sleep_while(ptr::from_ref(word).addr(), is_expected)
}

pub fn sleep_half(word: &AtomicU32, expected: u32, sleep: &mut Sleep) -> bool {
    let is_expected = || word.load(Relaxed) == expected;
    sleep.sleep_while(ptr::from_ref(word).addr(), is_expected)
}

pub fn wake(word: &AtomicU64) {
    wake_up(ptr::from_ref(word).addr(), usize::MAX);
}

pub fn wake_one(word: &AtomicU64) -> bool {
    wake_up(ptr::from_ref(word).addr(), 1)
}

pub fn wake_half(word: &AtomicU32) -> bool {
    wake_up(ptr::from_ref(word).addr(), 1)
}

pub fn wake_all_half(word: &AtomicU32) {
    wake_up(ptr::from_ref(word).addr(), usize::MAX);
}

pub fn wake_own(word: &AtomicU32) {
    wake_up(ptr::from_ref(word).addr(), usize::MAX);
}
