//! A ring does what a queue of vectors does: random capacities, lengths and calls, compared with a model.
//!
//! The arithmetic is that of the documentation: a message takes its length and a header, in whole lines, and the
//! messages of a ring take together at most what one message of its capacity takes. A ring accepts a message exactly
//! if there is room for it by that, whatever came before.
//!
//! The seed of each run is printed; `SHMKEY_SEED=…` repeats it.

mod support;

use shmkey::{ErrorKind, Receiver, Ring, Sender};
use std::{collections::VecDeque, sync::mpsc, thread};
use support::{AGES, Environment, Random, fails};

const LINE: usize = 64;
const PIECE: usize = 16 << 10;

/// Returns how many bytes a message takes that was sent as a copy.
fn taken_by_copy(len: usize) -> usize {
    let header = if len > PIECE { 64 } else { 8 };
    (len + header).next_multiple_of(LINE)
}

/// Returns how many bytes a message takes that was written in place.
fn taken_in_place(len: usize) -> usize {
    (len + 8).next_multiple_of(LINE)
}

/// Returns how many bytes the messages of a ring take together at most.
fn taken_at_most(capacity: usize) -> usize {
    (capacity + 64).next_multiple_of(LINE)
}

fn random_capacity(random: &mut Random) -> usize {
    let most = [100, 500, 3000, 20_000, 70_000][random.below(5)];
    64 + random.below(most)
}

/// Returns a length that is often near a limit.
fn random_len(random: &mut Random, capacity: usize) -> usize {
    let len = match random.below(10) {
        0 => capacity - random.below(20),
        1 => capacity / 2 + random.below(40),
        2 => PIECE - 20 + random.below(40),
        3 => 56 * (1 + random.below(4)) + random.below(3) - 1,
        4 | 5 => random.below(capacity + 1),
        _ => random.below(capacity / 8 + 1),
    };
    len.min(capacity)
}

/// Returns bytes that differ between messages and between offsets.
fn message(random: &mut Random, len: usize) -> Vec<u8> {
    let first = random.next() as u8;
    (0..len)
        .map(|at| first.wrapping_add((at / 7) as u8).wrapping_add(at as u8))
        .collect()
}

fn open(name: &str, capacity: usize, many_senders: bool) -> Ring {
    let options = Ring::options().many_senders(many_senders);
    options.open(name, capacity).unwrap()
}

/// A ring, and the queue that models it.
struct Modelled {
    ring: Ring,
    drops: bool,
    senders: Vec<Option<Sender>>,
    receiver: Option<Receiver>,
    /// The messages, and how many bytes each of them takes.
    queue: VecDeque<(Vec<u8>, usize)>,
    dropped: u64,
}

impl Modelled {
    fn new(name: &str, random: &mut Random) -> Modelled {
        let (many, drops) = (random.below(2) == 0, random.below(3) == 0);
        let options = Ring::options().many_senders(many).drop_oldest(drops);
        let ring = options.open(name, random_capacity(random)).unwrap();
        let senders = (0..if many { 3 } else { 1 })
            .map(|_| Some(ring.sender().unwrap()))
            .collect();
        let receiver = Some(ring.receiver().unwrap());
        Modelled {
            ring,
            drops,
            senders,
            receiver,
            queue: VecDeque::new(),
            dropped: 0,
        }
    }

    fn used(&self) -> usize {
        self.queue.iter().map(|(_, taken)| taken).sum()
    }

    /// Returns whether the model has room, after it has dropped the messages that such a ring drops.
    fn makes_room(&mut self, taken: usize) -> bool {
        let most = taken_at_most(self.ring.capacity());
        while self.drops && self.used() + taken > most {
            self.queue.pop_front();
            self.dropped += 1;
        }
        self.used() + taken <= most
    }

    fn sender(&mut self, random: &mut Random) -> &mut Sender {
        let which = random.below(self.senders.len());
        let ring = &self.ring;
        self.senders[which].get_or_insert_with(|| ring.sender().unwrap())
    }

    fn receiver(&mut self) -> &mut Receiver {
        let ring = &self.ring;
        self.receiver
            .get_or_insert_with(|| ring.receiver().unwrap())
    }

    fn send(&mut self, random: &mut Random) {
        let len = random_len(random, self.ring.capacity());
        let bytes = message(random, len);
        let sent = self.sender(random).try_send(&bytes).map_err(|e| e.kind());
        let taken = taken_by_copy(len);
        let expected = self.expected_of(taken);
        assert_eq!(sent, expected, "a message of {len}");
        if sent.is_ok() {
            self.queue.push_back((bytes, taken));
        }
    }

    /// Returns the result that sending a message that takes this many bytes has.
    fn expected_of(&mut self, taken: usize) -> Result<(), ErrorKind> {
        let has_receiver = self.receiver.is_some();
        if self.makes_room(taken) {
            Ok(())
        } else if has_receiver {
            Err(ErrorKind::WouldBlock)
        } else {
            Err(ErrorKind::Closed)
        }
    }

    fn send_batch(&mut self, random: &mut Random) {
        let capacity = self.ring.capacity();
        let batch: Vec<Vec<u8>> = (0..1 + random.below(6))
            .map(|_| {
                let len = random_len(random, capacity);
                message(random, len)
            })
            .collect();
        let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        let sent = self.sender(random).try_send_batch(&slices);
        let mut expected = Ok(0);
        for bytes in batch {
            let taken = taken_by_copy(bytes.len());
            match self.expected_of(taken) {
                Ok(()) => {
                    self.queue.push_back((bytes, taken));
                    expected = expected.map(|count| count + 1);
                }
                Err(kind) => {
                    if expected == Ok(0) {
                        expected = Err(kind);
                    }
                    break;
                }
            }
        }
        assert_eq!(sent.map_err(|error| error.kind()), expected);
    }

    fn reserve(&mut self, random: &mut Random) {
        let len = random_len(random, self.ring.capacity());
        let shorter = random.below(len + 1);
        let len_sent = [len, shorter][random.below(2)];
        let bytes = message(random, len_sent);
        let fate = random.below(4);
        let reserved = self.sender(random).try_reserve(len).map(|mut slot| {
            // Bytes that are not sent may look like a frame.
            slot.write_at(0, &vec![0x41; len]).unwrap();
            slot.write_at(0, &bytes).unwrap();
            slot.truncate(bytes.len());
            match fate {
                0 => drop(slot),
                1 => std::mem::forget(slot),
                _ => slot.commit().unwrap(),
            }
        });
        let expected = self.expected_of(taken_in_place(len));
        assert_eq!(reserved.map_err(|error| error.kind()), expected, "{len}");
        if expected.is_ok() && fate >= 2 {
            let taken = taken_in_place(bytes.len());
            self.queue.push_back((bytes, taken));
        } else if fate == 1 {
            // Dropping the senders aborts the slot: in a ring for many senders, the one that has the lock.
            self.senders.fill_with(|| None);
        }
    }

    fn receive(&mut self, random: &mut Random) {
        let expected = self.queue.pop_front().map(|(bytes, _)| bytes);
        let how = random.below(3);
        let capacity = self.ring.capacity();
        let receiver = self.receiver();
        let received = match how {
            0 => {
                let mut bytes = vec![0; capacity];
                receiver.try_recv(&mut bytes).map(|len| {
                    bytes.truncate(len);
                    bytes
                })
            }
            1 => {
                let mut bytes = Vec::new();
                receiver.try_recv_vec(&mut bytes).map(|_| bytes)
            }
            _ => receiver.try_peek().map(|found| {
                let bytes = found.to_vec();
                // SAFETY: no other process has the ring, and nothing is sent now.
                let again = unsafe { std::slice::from_raw_parts(found.as_ptr(), found.len()) };
                assert!(again == bytes);
                found.release().unwrap();
                bytes
            }),
        };
        self.expect(received, expected);
    }

    fn expect(&self, received: Result<Vec<u8>, shmkey::Error>, expected: Option<Vec<u8>>) {
        match (received, expected) {
            (Ok(received), Some(expected)) => {
                assert!(received == expected, "{} bytes", expected.len());
            }
            (Err(error), None) => {
                let end = [ErrorKind::WouldBlock, ErrorKind::Closed];
                assert!(end.contains(&error.kind()), "{error}");
            }
            (received, expected) => panic!("{received:?}, and not {expected:?}"),
        }
    }

    fn peek(&mut self) {
        let expected = self.queue.front().map(|(bytes, _)| bytes.clone());
        let found = self.receiver().try_peek().map(|found| found.to_vec());
        self.expect(found, expected);
    }

    fn receive_batch(&mut self, random: &mut Random) {
        let mut buffer = vec![0; self.ring.capacity() * 2];
        let mut lengths = vec![0; 1 + random.below(8)];
        let received = self.receiver().try_recv_batch(&mut buffer, &mut lengths);
        let (mut rest, mut left) = (&buffer[..], buffer.len());
        let mut count = 0;
        while count < lengths.len() && self.queue.front().is_some_and(|(b, _)| b.len() <= left) {
            let Some((expected, _)) = self.queue.pop_front() else {
                break;
            };
            assert_eq!(lengths[count], expected.len());
            let (bytes, behind) = rest.split_at(expected.len());
            assert!(bytes == expected);
            (rest, left, count) = (behind, left - expected.len(), count + 1);
        }
        assert_eq!(received.unwrap_or(0), count);
    }

    /// Releases a role, which the next call takes again.
    fn release_a_role(&mut self, random: &mut Random) {
        let which = random.below(self.senders.len() + 1);
        match self.senders.get_mut(which) {
            Some(sender) => *sender = None,
            None => self.receiver = None,
        }
    }

    fn act(&mut self, random: &mut Random) {
        match random.below(20) {
            0..=5 => self.send(random),
            6..=8 => self.reserve(random),
            9 => self.send_batch(random),
            10..=15 => self.receive(random),
            16 => self.receive_batch(random),
            17 => self.peek(),
            18 => {
                while !self.queue.is_empty() {
                    self.receive(random);
                }
            }
            _ => self.release_a_role(random),
        }
        assert_eq!(self.ring.used(), self.used());
        assert_eq!(self.ring.dropped(), self.dropped);
    }
}

#[test]
fn a_ring_is_a_queue_with_the_documented_room() {
    let seed = Random::seed_of_run();
    for case in 0..150 {
        let test = Environment::new();
        let mut random = Random::seeded(seed.wrapping_add(case));
        let mut modelled = Modelled::new(test.name(), &mut random);
        println!("case {case}: {:?}", modelled.ring.capacity());
        for _ in 0..400 {
            modelled.act(&mut random);
        }
    }
}

/// Fills the ring: sends messages of random lengths until the next one would not fit. Returns the messages.
fn fill(sender: &mut Sender, capacity: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut room = taken_at_most(capacity);
    loop {
        let len = random_len(random, capacity);
        let bytes = message(random, len);
        if taken_by_copy(len) > room {
            return sent;
        }
        room -= taken_by_copy(len);
        if len > PIECE || random.below(2) == 0 {
            sender.try_send(&bytes).unwrap();
        } else {
            let mut slot = sender.try_reserve(len).unwrap();
            slot.write_at(0, &bytes).unwrap();
            slot.commit().unwrap();
        }
        sent.push(bytes);
    }
}

/// Expects that exactly these messages are in the ring.
#[track_caller]
fn expect_all(receiver: &mut Receiver, messages: Vec<Vec<u8>>, capacity: usize) {
    let mut buffer = vec![0; capacity];
    for message in messages {
        let len = receiver.try_recv(&mut buffer).unwrap();
        assert!(buffer[..len] == message);
    }
    fails(receiver.try_recv(&mut buffer), ErrorKind::WouldBlock);
}

/// The two ends take turns: one sends what there is room for, and never has to wait; the other receives all of it.
#[test]
fn two_threads_that_take_turns_never_wait_for_room() {
    let seed = Random::seed_of_run();
    for case in 0..30 {
        let test = Environment::new();
        let mut random = Random::seeded(seed.wrapping_add(case));
        let (capacity, senders) = (random_capacity(&mut random), random.below(2));
        let ring = open(test.name(), capacity, senders > 0);
        let mut receiver = ring.receiver().unwrap();
        let (say_sent, sent) = mpsc::channel::<Vec<Vec<u8>>>();
        let (say_received, received) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (say_sent, received) = (say_sent, received);
                let mut sender = ring.sender().unwrap();
                for _ in 0..100 {
                    let messages = fill(&mut sender, capacity, &mut random);
                    say_sent.send(messages).unwrap();
                    received.recv().unwrap();
                }
            });
            for messages in sent {
                expect_all(&mut receiver, messages, capacity);
                say_received.send(()).unwrap();
            }
        });
    }
}

/// Sends messages of random lengths that contain the number of the sender and their index, by each call that waits.
fn send_indexed(sender: &mut Sender, number: u64, capacity: usize, random: &mut Random) {
    for index in 0..EACH {
        let len = random_len(random, capacity).max(16);
        let mut bytes = vec![(index + number) as u8; len];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..16].copy_from_slice(&index.to_le_bytes());
        match random.below(3) {
            0 => sender.send_timeout(&bytes, AGES).unwrap(),
            1 => {
                let sent = sender.send_batch_timeout(&[&bytes], AGES);
                assert_eq!(sent.unwrap(), 1);
            }
            _ => {
                let mut slot = sender.reserve_timeout(len, AGES).unwrap();
                slot.write_at(0, &bytes).unwrap();
                slot.commit().unwrap();
            }
        }
    }
}

/// Receives the next message, by one of the calls that wait.
fn receive_somehow(receiver: &mut Receiver, capacity: usize, random: &mut Random) -> Vec<u8> {
    if random.below(2) == 0 {
        let mut bytes = vec![0; capacity];
        let len = receiver.recv_timeout(&mut bytes, AGES).unwrap();
        bytes.truncate(len);
        bytes
    } else {
        let found = receiver.peek_timeout(AGES).unwrap();
        let bytes = found.to_vec();
        found.release().unwrap();
        bytes
    }
}

/// Expects a message of [`send_indexed`] that is the next one of its sender.
#[track_caller]
fn expect_next(bytes: &[u8], next: &mut [u64]) {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (number, index) = (word(0), word(8));
    assert_eq!(index, next[number as usize]);
    let mut rest = bytes[16..].iter();
    assert!(rest.all(|&byte| byte == (index + number) as u8));
    next[number as usize] += 1;
}

/// The number of messages of each sender.
const EACH: u64 = 300;

/// The senders wait for room, and the receiver waits for messages.
#[test]
fn threads_that_wait_for_each_other_lose_no_message() {
    let seed = Random::seed_of_run();
    for case in 0..12 {
        let test = Environment::new();
        let mut random = Random::seeded(seed.wrapping_add(case));
        let (capacity, count) = (random_capacity(&mut random), [1, 3][random.below(2)]);
        let ring = open(test.name(), capacity, count > 1);
        let mut receiver = ring.receiver().unwrap();
        thread::scope(|scope| {
            for number in 0..count {
                let mut sender = ring.sender().unwrap();
                let mut random = Random::seeded(random.next());
                scope.spawn(move || send_indexed(&mut sender, number, capacity, &mut random));
            }
            let mut next = vec![0; count as usize];
            for _ in 0..count * EACH {
                let message = receive_somehow(&mut receiver, capacity, &mut random);
                expect_next(&message, &mut next);
            }
        });
    }
}
