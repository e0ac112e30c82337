//! Descriptors: a thread whose try would block enters its descriptor, tries once more, and polls the descriptor. The
//! model leaves out the timer that ends each poll, so that a missed wake-up is a deadlock, which loom reports.

use super::bounded;
use crate::sync::{
    Area, AtomicU64, Deadline, Semaphore, drain,
    latest::{Latest, LatestWords, slots, stride},
    poll,
};
use loom::{sync::Arc, thread};
use std::num::NonZeroU32;

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// Takes from a semaphore as an event loop does.
fn take_by_descriptor(counter: &Semaphore, descriptor: NonZeroU32) {
    while !counter.try_take() {
        drain(descriptor);
        if !counter.enter(descriptor) {
            poll(descriptor);
        }
    }
}

#[test]
fn a_post_makes_a_descriptor_readable() {
    loom::model(|| {
        let counter = Arc::new(Semaphore::new(0));
        let poster = thread::spawn({
            let counter = counter.clone();
            move || counter.post().unwrap()
        });
        take_by_descriptor(&counter, number(1));
        poster.join().unwrap();
        assert_eq!(counter.value(), 0);
    });
}

/// One thread polls a descriptor, and one sleeps.
#[test]
fn two_posts_reach_a_descriptor_and_a_sleeper() {
    bounded(3, || {
        let counter = Arc::new(Semaphore::new(0));
        let sleeper = thread::spawn({
            let counter = counter.clone();
            move || assert!(counter.take(Deadline::Never))
        });
        let poller = thread::spawn({
            let counter = counter.clone();
            move || take_by_descriptor(&counter, number(1))
        });
        counter.post().unwrap();
        counter.post().unwrap();
        sleeper.join().unwrap();
        poller.join().unwrap();
        assert!(!counter.try_take());
    });
}

#[test]
fn two_posts_reach_two_descriptors() {
    bounded(3, || {
        let counter = Arc::new(Semaphore::new(0));
        let takers: Vec<_> = (1..=2)
            .map(|each| {
                let counter = counter.clone();
                thread::spawn(move || take_by_descriptor(&counter, number(each)))
            })
            .collect();
        counter.post().unwrap();
        counter.post().unwrap();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert!(!counter.try_take());
    });
}

const SIZE: usize = 8;

struct Memory {
    words: LatestWords,
    slots: Vec<AtomicU64>,
}

impl Memory {
    fn new() -> Arc<Memory> {
        let len = stride(SIZE).unwrap() / 8 * slots(SIZE);
        Arc::new(Memory {
            words: LatestWords::new(),
            slots: (0..len).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    fn latest(&self) -> Latest<'_> {
        Latest {
            words: &self.words,
            area: Area(&self.slots),
            size: SIZE,
        }
    }

    fn publish(&self, version: u64) {
        self.latest().publish(version - 1, (&[0; SIZE]).into());
    }

    /// Polls a descriptor until the second version is published.
    fn follow(&self, descriptor: NonZeroU32) {
        let mut seen = 0;
        while seen < 2 {
            let version = self.latest().version();
            if version != seen {
                seen = version;
                continue;
            }
            drain(descriptor);
            if !self.latest().enter(descriptor, seen) {
                poll(descriptor);
            }
        }
    }
}

#[test]
fn each_version_makes_a_descriptor_readable() {
    bounded(3, || {
        let memory = Memory::new();
        let writer = thread::spawn({
            let memory = memory.clone();
            move || (1..=2).for_each(|version| memory.publish(version))
        });
        memory.follow(number(1));
        writer.join().unwrap();
    });
}

/// One thread polls and one sleeps: neither clears what the other one has announced.
#[test]
fn a_version_reaches_a_descriptor_and_a_sleeper() {
    bounded(3, || {
        let memory = Memory::new();
        let poller = thread::spawn({
            let memory = memory.clone();
            move || memory.follow(number(1))
        });
        let sleeper = thread::spawn({
            let memory = memory.clone();
            move || assert!(memory.latest().wait(1, true, Deadline::Never))
        });
        memory.publish(1);
        memory.publish(2);
        poller.join().unwrap();
        sleeper.join().unwrap();
    });
}

#[test]
fn a_version_reaches_two_descriptors() {
    bounded(2, || {
        let memory = Memory::new();
        let pollers: Vec<_> = (1..=2)
            .map(|each| {
                let memory = memory.clone();
                thread::spawn(move || memory.follow(number(each)))
            })
            .collect();
        memory.publish(1);
        memory.publish(2);
        pollers.into_iter().for_each(|each| each.join().unwrap());
    });
}
