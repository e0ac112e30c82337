use crate::sync::{
    Area, AtomicU64, Deadline, Inquiry,
    ring::{Consumer, Found, Peers, Producer, RingError, RingWords, View, room_for},
};
use loom::{sync::Arc, thread};

struct Memory {
    words: RingWords,
    frames: Vec<AtomicU64>,
    capacity: usize,
    drops: bool,
}

impl Memory {
    fn new(capacity: usize, drops: bool) -> Arc<Memory> {
        let room = room_for(capacity).unwrap();
        Arc::new(Memory {
            words: RingWords::default(),
            frames: (0..room / 8).map(|_| AtomicU64::new(0)).collect(),
            capacity,
            drops,
        })
    }

    fn view(&self) -> View<'_> {
        View {
            words: &self.words,
            area: Area(&self.frames),
            capacity: self.capacity,
            drops: self.drops,
        }
    }
}

fn expected(_: Inquiry) -> Peers {
    Peers::Expected
}

/// A message of so many words, all alike.
fn message(number: u64, words: usize) -> Vec<u8> {
    number.to_ne_bytes().repeat(words)
}

/// Receives a message, which must be this one.
fn expect(view: View, head: &mut Consumer, number: u64, words: usize) {
    let mut buffer = vec![0; view.capacity];
    let len = head
        .receive(view, (&mut buffer).into(), Deadline::Never, expected)
        .unwrap();
    assert_eq!(&buffer[..len], message(number, words));
}

fn check(threads: impl Fn() + Send + Sync + 'static, preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(threads);
}

/// Adds a message to a batch, if it needs no wait. Returns whether it was added.
fn add_short(view: View, tail: &mut Producer, bytes: &[u8]) -> bool {
    let (added, _) = tail.add_short(view, &mut core::iter::once(Ok::<_, ()>(bytes.into())));
    added == 1
}

/// Adds a message to a batch, and waits for room.
fn add(view: View, tail: &mut Producer, bytes: &[u8]) {
    if !add_short(view, tail, bytes) {
        tail.add(view, bytes.into(), Deadline::Never, expected)
            .unwrap();
    }
}

/// Sends messages of these lengths, in words, and receives them, each end waiting for the other.
fn cross(capacity: usize, lengths: &'static [usize], batch: bool) {
    let memory = Memory::new(capacity, false);
    let sender = thread::spawn({
        let memory = memory.clone();
        move || {
            let view = memory.view();
            let mut tail = Producer::find(view).unwrap();
            for (number, &words) in (1..).zip(lengths) {
                let bytes = message(number, words);
                if batch {
                    add(view, &mut tail, &bytes);
                } else if !tail.send_short(view, (&bytes).into()) {
                    tail.send(view, (&bytes).into(), Deadline::Never, expected)
                        .unwrap();
                }
            }
            tail.commit(view);
        }
    });
    let view = memory.view();
    let mut head = Consumer::find(view);
    let mut buffer = vec![0; capacity];
    for (number, &words) in (1..).zip(lengths) {
        let len = match head.receive_usual(view, (&mut buffer).into()) {
            Found::Usual(len) => len,
            _ => head
                .receive_short(view, (&mut buffer).into())
                .unwrap_or_else(|| {
                    head.receive(view, (&mut buffer).into(), Deadline::Never, expected)
                        .unwrap()
                }),
        };
        assert_eq!(&buffer[..len], message(number, words));
    }
    sender.join().unwrap();
    let nothing = head.receive(view, (&mut buffer).into(), Deadline::Now, expected);
    assert_eq!(nothing, Err(RingError::TimedOut));
}

#[test]
fn messages_cross() {
    check(|| cross(64, &[1, 1], false), 3);
}

/// More than fits: the sender waits for the receiver, and wraps at the end.
#[test]
fn the_sender_waits_for_room() {
    // Room for two frames of a line each, in seven lines.
    check(|| cross(16, &[1, 1, 1, 1, 1, 1], false), 2);
}

#[test]
fn a_batch_is_there_at_once() {
    check(|| cross(64, &[1, 1, 1], true), 2);
}

/// Receives so many messages of one word, as many at a time as are there.
fn expect_batches(view: View, head: &mut Consumer, first: u64, last: u64) {
    let mut next = first;
    while next <= last {
        let mut buffer = [0; 64];
        let mut lengths = 0;
        let received = head.receive_short_batch(view, (&mut buffer).into(), 8, |at, len| {
            assert_eq!((at, len), (lengths, 8));
            lengths += 1;
        });
        for bytes in buffer.chunks(8).take(received) {
            assert_eq!(bytes, message(next, 1));
            next += 1;
        }
        if received == 0 {
            expect(view, head, next, 1);
            next += 1;
        }
    }
    assert_eq!(next, last + 1);
}

/// Sends so many messages of one word together, and waits for room.
fn send_batch(view: View, tail: &mut Producer, first: u64, last: u64) {
    for number in first..=last {
        add(view, tail, &message(number, 1));
    }
    tail.commit(view);
}

/// More than fits: the batch is committed in parts, and its lines are used again.
#[test]
fn batches_cross() {
    check(
        || {
            // Room for two frames of a line each, in seven lines.
            let memory = Memory::new(16, false);
            let sender = thread::spawn({
                let memory = memory.clone();
                move || {
                    let view = memory.view();
                    send_batch(view, &mut Producer::find(view).unwrap(), 1, 6);
                }
            });
            let view = memory.view();
            expect_batches(view, &mut Consumer::find(view), 1, 6);
            sender.join().unwrap();
        },
        2,
    );
}

/// A sender follows one that was killed before it had committed its batch.
#[test]
fn the_batch_of_a_killed_sender_is_not_received() {
    check(
        || {
            let memory = Memory::new(64, false);
            let view = memory.view();
            let mut killed = Producer::find(view).unwrap();
            send_batch(view, &mut killed, 1, 1);
            for _ in 0..2 {
                assert!(add_short(view, &mut killed, &message(9, 1)));
            }
            let sender = thread::spawn({
                let memory = memory.clone();
                move || {
                    let view = memory.view();
                    let mut tail = Producer::find(view).unwrap();
                    send_batch(view, &mut tail, 2, 2);
                    send_batch(view, &mut tail, 3, 4);
                }
            });
            let mut head = Consumer::find(view);
            expect_batches(view, &mut head, 1, 4);
            sender.join().unwrap();
            assert!(head.finds_nothing(view));
        },
        3,
    );
}

/// In a model, a piece has 8 bytes.
#[test]
fn a_long_message_crosses_in_pieces() {
    check(|| cross(64, &[5], false), 2);
}

/// The longest message, from the middle of the ring: it wraps at the end.
#[test]
fn the_longest_message_crosses() {
    check(|| cross(32, &[1, 4], false), 2);
}

/// The lines of a large frame are not cleared: short messages come to its place in the next round.
#[test]
fn short_messages_follow_a_large_one() {
    // Room for a frame of five lines, in ten lines.
    check(|| cross(64, &[5, 1, 1, 1, 1, 1, 1], false), 2);
}

/// A slot that would wrap begins behind a gap, which the sender waits for as for the slot.
#[test]
fn slots_cross_behind_gaps() {
    check(
        || {
            // A frame of four lines at most, in nine lines.
            let memory = Memory::new(40, false);
            let sender = thread::spawn({
                let memory = memory.clone();
                move || {
                    let view = memory.view();
                    let mut tail = Producer::find(view).unwrap();
                    for number in 1..=4 {
                        let bytes = message(number, 4);
                        let offset = tail
                            .reserve_slot(view, 32, Deadline::Never, expected)
                            .unwrap();
                        assert!(!view.area.wraps(offset, 32));
                        view.area.write(offset, (&bytes).into());
                        tail.commit_message(view, 32);
                    }
                }
            });
            let view = memory.view();
            let mut head = Consumer::find(view);
            for number in 1..=4 {
                expect(view, &mut head, number, 4);
            }
            sender.join().unwrap();
        },
        2,
    );
}

/// A sender that drops the oldest never waits, and the receiver sees whole messages, in order.
#[test]
fn what_is_not_dropped_is_whole() {
    check(
        || {
            let memory = Memory::new(16, true);
            let sender = thread::spawn({
                let memory = memory.clone();
                move || {
                    let view = memory.view();
                    let mut tail = Producer::find(view).unwrap();
                    for number in 1..=4 {
                        tail.send(view, (&message(number, 1)).into(), Deadline::Now, expected)
                            .unwrap();
                    }
                }
            });
            let view = memory.view();
            let mut head = Consumer::find(view);
            let mut buffer = [0; 16];
            let mut last = 0;
            let mut receive = |last: &mut u64| match head.receive(
                view,
                (&mut buffer).into(),
                Deadline::Now,
                expected,
            ) {
                Ok(len) => {
                    assert_eq!(len, 8);
                    let number = u64::from_ne_bytes(buffer[..8].try_into().unwrap());
                    assert!(number > *last && number <= 4, "{number} after {last}");
                    *last = number;
                    true
                }
                Err(RingError::TimedOut) => false,
                Err(other) => panic!("{other:?}"),
            };
            receive(&mut last);
            sender.join().unwrap();
            while receive(&mut last) {}
            assert_eq!(last, 4);
        },
        3,
    );
}

/// Sends messages of these lengths, in words, without waiting.
fn send_all(view: View, tail: &mut Producer, first: u64, lengths: &[usize]) {
    for (number, &words) in (first..).zip(lengths) {
        tail.send(
            view,
            (&message(number, words)).into(),
            Deadline::Now,
            expected,
        )
        .unwrap();
    }
}

/// A sender follows one that was killed after it had committed a message and before it had said so in `tail`, while the
/// receiver takes that message and clears its lines.
#[test]
fn a_sender_that_follows_a_killed_one_finds_the_end() {
    check(
        || {
            let memory = Memory::new(64, false);
            let view = memory.view();
            send_all(view, &mut Producer::find(view).unwrap(), 1, &[1]);
            memory.words.forget_last_tail();
            let sender = thread::spawn({
                let memory = memory.clone();
                move || {
                    let view = memory.view();
                    send_all(view, &mut Producer::find(view).unwrap(), 2, &[1]);
                }
            });
            let mut head = Consumer::find(view);
            for number in 1..=2 {
                expect(view, &mut head, number, 1);
                head.free_all(view);
            }
            sender.join().unwrap();
        },
        3,
    );
}

/// The same, where the receiver has freed only some lines of that message: what is in the others is no frame.
#[test]
fn a_sender_that_follows_a_killed_one_does_not_begin_inside_of_a_message() {
    check(
        || {
            let memory = Memory::new(64, false);
            let view = memory.view();
            send_all(view, &mut Producer::find(view).unwrap(), 0x4141, &[4]);
            memory.words.forget_last_tail();
            let sender = thread::spawn({
                let memory = memory.clone();
                move || {
                    let view = memory.view();
                    send_all(view, &mut Producer::find(view).unwrap(), 2, &[1]);
                }
            });
            let mut head = Consumer::find(view);
            expect(view, &mut head, 0x4141, 4);
            expect(view, &mut head, 2, 1);
            sender.join().unwrap();
        },
        3,
    );
}

/// A sender follows one that was killed with lines written and not committed; it clears them while the receiver looks.
#[test]
fn what_a_killed_sender_has_written_is_no_message() {
    check(
        || {
            let memory = Memory::new(64, false);
            let view = memory.view();
            let mut killed = Producer::find(view).unwrap();
            let offset = killed.reserve(view, 56, Deadline::Now, expected).unwrap();
            // As a frame's word, this is a message.
            view.area.write_wrapping(offset, (&[0x41_u8; 56]).into());
            let sender = thread::spawn({
                let memory = memory.clone();
                move || {
                    let view = memory.view();
                    send_all(view, &mut Producer::find(view).unwrap(), 1, &[1, 1]);
                }
            });
            let mut head = Consumer::find(view);
            let mut buffer = [0; 64];
            for number in 1..=2 {
                expect(view, &mut head, number, 1);
            }
            sender.join().unwrap();
            let nothing = head.receive(view, (&mut buffer).into(), Deadline::Now, expected);
            assert_eq!(nothing, Err(RingError::TimedOut));
        },
        3,
    );
}

/// A receiver follows one that was killed between taking messages and giving their lines back, while a sender without
/// room waits for it.
#[test]
fn a_receiver_that_follows_a_killed_one_gives_back_what_that_one_took() {
    check(
        || {
            let memory = Memory::new(16, false);
            let view = memory.view();
            let mut tail = Producer::find(view).unwrap();
            send_all(view, &mut tail, 1, &[1, 1]);
            let mut buffer = [0; 16];
            let mut killed = Consumer::find(view);
            killed
                .receive(view, (&mut buffer).into(), Deadline::Now, expected)
                .unwrap();
            memory.words.forget_head();
            let sender = thread::spawn({
                let memory = memory.clone();
                move || {
                    let view = memory.view();
                    for number in 3..=4 {
                        tail.send(
                            view,
                            (&message(number, 1)).into(),
                            Deadline::Never,
                            expected,
                        )
                        .unwrap();
                    }
                }
            });
            let mut head = Consumer::find(view);
            for number in 2..=4 {
                expect(view, &mut head, number, 1);
            }
            sender.join().unwrap();
        },
        2,
    );
}
