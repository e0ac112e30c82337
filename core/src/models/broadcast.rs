//! The broadcast: messages to several subscribers, lossless and lossy, and the deaths of publishers and subscribers.

use super::bounded;
use crate::sync::{
    Area, AtomicU64, Buffer, Deadline, Inquiry,
    broadcast::{
        BroadcastError, BroadcastWords, MemberWords, Peer, Publisher, Subscriber, View, room_for,
    },
};
use loom::{sync::Arc, thread};

/// The longest message, which two lines have room for.
const CAPACITY: usize = 112;

struct Memory {
    words: BroadcastWords,
    members: Vec<MemberWords>,
    frames: Vec<AtomicU64>,
    lossy: bool,
}

impl Memory {
    /// Room for three messages of one line: two that the capacity promises, and one more.
    fn new(lossy: bool) -> Arc<Memory> {
        let room = room_for(CAPACITY).unwrap();
        Arc::new(Memory {
            words: BroadcastWords::new(),
            members: (0..2).map(|_| MemberWords::new()).collect(),
            frames: (0..room / 8).map(|_| AtomicU64::new(0)).collect(),
            lossy,
        })
    }

    fn view(&self) -> View<'_> {
        View {
            words: &self.words,
            members: &self.members,
            area: Area(&self.frames),
            capacity: CAPACITY,
            lossy: self.lossy,
            writable: true,
        }
    }

    fn publisher(&self) -> Publisher {
        Publisher::find(self.view()).unwrap()
    }

    fn publish(&self, publisher: &mut Publisher, number: u64, deadline: Deadline) {
        let bytes = message(number);
        if !publisher.publish_if_room(self.view(), (&bytes).into()) {
            publisher
                .publish(self.view(), (&bytes).into(), deadline, |_| false)
                .unwrap();
        }
    }
}

/// Returns a message of two equal words: if the words of a copy differ, it is torn.
fn message(number: u64) -> Vec<u8> {
    number.to_ne_bytes().repeat(2)
}

fn expected(_: Inquiry) -> Peer {
    Peer::Expected
}

fn receive(
    end: &mut Subscriber,
    memory: &Memory,
    deadline: Deadline,
) -> Result<u64, BroadcastError> {
    let mut bytes = [0; 16];
    let start = bytes.as_mut_ptr();
    // SAFETY: the bytes are used by this call alone.
    let buffer = |_| Some(unsafe { Buffer::new(start, 16) });
    let len = end.receive(memory.view(), buffer, deadline, expected)?;
    assert_eq!(len, 16);
    let number = u64::from_ne_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, *message(number), "torn");
    Ok(number)
}

/// Publishes more messages than there is room for: the publisher waits for each subscriber, and is woken.
fn cross(messages: u64, subscribers: usize) {
    let memory = Memory::new(false);
    let mut others: Vec<_> = (0..subscribers)
        .map(|member| {
            let memory = memory.clone();
            let mut end = Subscriber::join(memory.view(), Some(member), false).unwrap();
            move || {
                for number in 0..messages {
                    assert_eq!(receive(&mut end, &memory, Deadline::Never), Ok(number));
                }
                assert_eq!(end.missed(), 0);
            }
        })
        .collect();
    let mut here = others.pop().unwrap();
    let mut threads: Vec<_> = others.into_iter().map(thread::spawn).collect();
    threads.push(thread::spawn({
        let memory = memory.clone();
        move || {
            let mut publisher = memory.publisher();
            for number in 0..messages {
                memory.publish(&mut publisher, number, Deadline::Never);
            }
        }
    }));
    here();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn messages_cross_and_the_publisher_waits_for_room() {
    bounded(3, || cross(6, 1));
}

/// The publisher waits twice for the same subscriber: the end of the first wait does not clear the wish of the second
/// one.
#[test]
fn a_publisher_that_waits_again_is_woken_again() {
    bounded(3, || {
        let memory = Memory::new(false);
        let mut end = Subscriber::join(memory.view(), Some(0), false).unwrap();
        let mut publisher = memory.publisher();
        for number in 0..3 {
            memory.publish(&mut publisher, number, Deadline::Now);
        }
        let thread = thread::spawn({
            let memory = memory.clone();
            move || {
                for number in 3..6 {
                    memory.publish(&mut publisher, number, Deadline::Never);
                }
            }
        });
        // The publisher has room for its last message when this many messages are released.
        for number in 0..4 {
            assert_eq!(receive(&mut end, &memory, Deadline::Never), Ok(number));
        }
        thread.join().unwrap();
    });
}

/// Messages that are committed together wake each subscriber that waits for the first of them. A subscriber that
/// receives all of them before the publisher wakes it, and sleeps again, is woken by the next messages.
#[test]
fn messages_that_are_committed_together_wake_each_subscriber() {
    bounded(1, || {
        let memory = Memory::new(false);
        let threads = [0, 1].map(|member| {
            let memory = memory.clone();
            let mut end = Subscriber::join(memory.view(), Some(member), false).unwrap();
            thread::spawn(move || {
                for number in 0..3 {
                    assert_eq!(receive(&mut end, &memory, Deadline::Never), Ok(number));
                }
            })
        });
        let view = memory.view();
        let mut publisher = memory.publisher();
        for messages in [0..2, 2..3] {
            for number in messages {
                let bytes = message(number);
                publisher
                    .add(view, (&bytes).into(), Deadline::Never, |_| false)
                    .unwrap();
            }
            publisher.commit(view);
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn each_subscriber_receives_each_message() {
    bounded(1, || cross(4, 2));
}

/// The publisher does not wait: a subscriber gets whole messages, in order, and knows how many it has missed.
#[test]
fn an_overtaken_subscriber_knows_what_it_missed() {
    bounded(3, || {
        let memory = Memory::new(true);
        let mut end = Subscriber::join(memory.view(), None, false).unwrap();
        let publisher = thread::spawn({
            let memory = memory.clone();
            move || {
                let mut publisher = memory.publisher();
                for number in 0..5 {
                    memory.publish(&mut publisher, number, Deadline::Now);
                }
            }
        });
        let mut received = 0;
        let mut step = || match receive(&mut end, &memory, Deadline::Now) {
            Ok(number) => {
                received += 1;
                assert_eq!(end.missed() + received, number + 1);
                Some(number)
            }
            Err(error) => {
                assert_eq!(error, BroadcastError::TimedOut);
                None
            }
        };
        step();
        step();
        publisher.join().unwrap();
        let mut last = None;
        while let Some(number) = step() {
            last = Some(number);
        }
        assert!(last.is_none_or(|last| last == 4));
    });
}

/// A subscriber joins while the publisher overwrites old messages to have room: it begins with a whole message, and
/// misses none after that.
fn join_late(from_oldest: bool) {
    let memory = Memory::new(false);
    let mut publisher = memory.publisher();
    for number in 0..3 {
        memory.publish(&mut publisher, number, Deadline::Now);
    }
    let thread = thread::spawn({
        let memory = memory.clone();
        move || {
            for number in 3..6 {
                memory.publish(&mut publisher, number, Deadline::Never);
            }
        }
    });
    let mut end = Subscriber::join(memory.view(), Some(0), from_oldest).unwrap();
    let mut next = None;
    while next != Some(6) {
        // If no message is published after the subscriber has joined, there is nothing to wait for.
        let deadline = if next.is_none() {
            Deadline::Now
        } else {
            Deadline::Never
        };
        match receive(&mut end, &memory, deadline) {
            Ok(number) => {
                assert!(next.is_none_or(|next| next == number), "{number}");
                next = Some(number + 1);
            }
            Err(error) => {
                assert_eq!(error, BroadcastError::TimedOut);
                break;
            }
        }
    }
    let received_all = next == Some(6);
    if !received_all {
        memory.view().leave(0);
    }
    thread.join().unwrap();
    if !received_all {
        assert!(!from_oldest, "there is always an oldest message");
    }
}

#[test]
fn a_late_subscriber_begins_with_the_oldest() {
    bounded(2, || join_late(true));
}

#[test]
fn a_late_subscriber_begins_with_the_next() {
    bounded(2, || join_late(false));
}

/// The publisher waits for a subscriber that leaves, and then continues.
#[test]
fn the_publisher_no_longer_waits_for_a_subscriber_that_leaves() {
    bounded(3, || {
        let memory = Memory::new(false);
        let mut end = Subscriber::join(memory.view(), Some(0), false).unwrap();
        let publisher = thread::spawn({
            let memory = memory.clone();
            move || {
                let mut publisher = memory.publisher();
                for number in 0..6 {
                    memory.publish(&mut publisher, number, Deadline::Never);
                }
            }
        });
        assert_eq!(receive(&mut end, &memory, Deadline::Never), Ok(0));
        memory.view().leave(0);
        publisher.join().unwrap();
    });
}

/// The publisher sleeps on the position of a dead member, whose number another subscriber takes. That one begins behind
/// the messages that the publisher waits for, and receives nothing.
#[test]
fn a_subscriber_that_takes_a_slot_wakes_the_publisher() {
    bounded(3, || {
        let memory = Memory::new(false);
        let _dead = Subscriber::join(memory.view(), Some(0), false).unwrap();
        let mut publisher = memory.publisher();
        for number in 0..3 {
            memory.publish(&mut publisher, number, Deadline::Now);
        }
        let thread = thread::spawn({
            let memory = memory.clone();
            move || memory.publish(&mut publisher, 3, Deadline::Never)
        });
        let _end = Subscriber::join(memory.view(), Some(0), false).unwrap();
        thread.join().unwrap();
    });
}

/// One subscriber is dead, which the publisher notices while it waits. The other one receives all messages.
#[test]
fn a_dead_subscriber_is_dropped() {
    bounded(2, || {
        let memory = Memory::new(false);
        let _dead = Subscriber::join(memory.view(), Some(0), false).unwrap();
        let mut end = Subscriber::join(memory.view(), Some(1), false).unwrap();
        let publisher = thread::spawn({
            let memory = memory.clone();
            move || {
                let view = memory.view();
                let mut publisher = memory.publisher();
                for number in 0..5 {
                    let is_gone = |member| {
                        if member == 0 {
                            view.leave(member);
                        }
                        member == 0
                    };
                    // In a model a sleep has no end, so the publisher does not sleep until it finds the death.
                    let bytes = message(number);
                    while let Err(error) =
                        publisher.publish(view, (&bytes).into(), Deadline::Now, is_gone)
                    {
                        assert_eq!(error, BroadcastError::Slow(1));
                        thread::yield_now();
                    }
                }
            }
        });
        for number in 0..5 {
            assert_eq!(receive(&mut end, &memory, Deadline::Never), Ok(number));
        }
        publisher.join().unwrap();
    });
}

/// A publisher dies while it writes a message, and before it has stored the tail. The next publisher continues.
#[test]
fn the_next_publisher_continues() {
    bounded(3, || {
        let memory = Memory::new(false);
        let mut end = Subscriber::join(memory.view(), Some(0), false).unwrap();
        let publishers = thread::spawn({
            let memory = memory.clone();
            move || {
                let view = memory.view();
                for number in 0..3 {
                    let mut publisher = memory.publisher();
                    memory.publish(&mut publisher, number, Deadline::Never);
                    let offset = publisher
                        .reserve(view, 16, Deadline::Never, |_| false)
                        .unwrap();
                    view.area.write_wrapping(offset, (&message(77)).into());
                }
            }
        });
        for number in 0..3 {
            assert_eq!(receive(&mut end, &memory, Deadline::Never), Ok(number));
        }
        publishers.join().unwrap();
        let nothing = receive(&mut end, &memory, Deadline::Now);
        assert_eq!(nothing, Err(BroadcastError::TimedOut));
    });
}
