use super::{frame::size_of_frame, *};
use crate::sync::{Buffer, Deadline, Inquiry, atomic::Ordering::Relaxed};
use core::time::Duration;
use std::vec::Vec;

/// The memory of a broadcast for one thread, or for several.
struct Memory {
    words: BroadcastWords,
    members: Vec<MemberWords>,
    area: Vec<Line>,
    capacity: usize,
    lossy: bool,
}

#[repr(align(64))]
#[allow(dead_code)] // accessed by its address
struct Line([AtomicU64; 8]);

impl Memory {
    fn new(capacity: usize, lossy: bool) -> Memory {
        let room = room_for(capacity).unwrap();
        Memory {
            // SAFETY: words are atomics, of which all zeroes are valid.
            words: unsafe { core::mem::zeroed() },
            members: (0..SUBSCRIBERS).map(|_| MemberWords::default()).collect(),
            area: (0..room / LINE)
                .map(|_| Line([const { AtomicU64::new(0) }; 8]))
                .collect(),
            capacity,
            lossy,
        }
    }

    fn view(&self) -> View<'_> {
        View {
            words: &self.words,
            members: &self.members,
            // SAFETY: the memory lives as long as the area, has this length, and is aligned.
            area: unsafe {
                Area::new(self.area.as_ptr().cast_mut().cast(), self.area.len() * LINE)
            },
            capacity: self.capacity,
            lossy: self.lossy,
            writable: true,
        }
    }
}

fn live(_: usize) -> bool {
    false
}

fn expected(_: Inquiry) -> Peer {
    Peer::Expected
}

fn receive(end: &mut Subscriber, view: View) -> Result<Vec<u8>, BroadcastError> {
    let mut bytes = Vec::new();
    end.receive(
        view,
        |len| {
            bytes.resize(len, 0);
            // SAFETY: they are used before the vector changes again.
            Some(unsafe { Buffer::new(bytes.as_mut_ptr(), len) })
        },
        Deadline::Now,
        expected,
    )?;
    Ok(bytes)
}

/// A sequence of numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn the_memory_is_at_most_a_quarter_more_than_the_capacity() {
    for capacity in (0..5000).chain([1 << 20, (1 << 40) + 7, CAPACITY_MAX]) {
        let room = room_for(capacity).unwrap();
        assert!(room >= size_of_frame(capacity), "{capacity}: {room}");
        assert!(room <= capacity + capacity / 4 + 256, "{capacity}: {room}");
    }
    assert_eq!(room_for(CAPACITY_MAX + 1), None);
}

/// Random capacities, lengths, batches and subscribers, in one thread, against a model: a list of messages, and for
/// each subscriber where it stands in it.
#[test]
fn any_sequence_is_what_the_model_says() {
    let runs = if cfg!(miri) { 4 } else { 400 };
    for seed in 0..runs {
        let mut dice = Dice(seed);
        let lossy = seed % 2 == 1;
        let memory = Memory::new(64 + dice.below(2000), lossy);
        let view = memory.view();
        let mut publisher = Publisher::find(view).unwrap();
        let mut sent: Vec<Vec<u8>> = Vec::new();
        let mut ends: Vec<(Subscriber, usize, usize)> = Vec::new();
        for step in 0..if cfg!(miri) { 60 } else { 300 } {
            match dice.below(10) {
                0 if ends.len() < 5 => {
                    let member =
                        (0..SUBSCRIBERS).find(|member| ends.iter().all(|end| end.2 != *member));
                    let end = Subscriber::join(view, member, false).unwrap();
                    ends.push((end, sent.len(), member.unwrap()));
                }
                1 if ends.len() > 2 => {
                    let (_, _, member) = ends.remove(dice.below(3));
                    view.leave(member);
                }
                2 => publisher = Publisher::find(view).unwrap(),
                3..=5 => {
                    let message = vec![step as u8; dice.below(view.capacity + 1)];
                    let published = publisher.publish(view, (&message).into(), Deadline::Now, live);
                    let unread = |at: usize| {
                        let frames = sent[at..].iter();
                        frames
                            .map(|message| frame::size_of_frame(message.len()))
                            .sum::<usize>()
                    };
                    let size = frame::size_of_frame(message.len());
                    let most = ends.iter().map(|&(_, at, _)| unread(at)).max().unwrap_or(0);
                    // What the capacity promises, and what the room allows.
                    if lossy || most + size <= view.capacity + HEADER {
                        assert_eq!(published, Ok(()));
                    }
                    if !lossy && most + size + LINE > view.room() {
                        assert!(matches!(published, Err(BroadcastError::Slow(_))));
                    }
                    if published.is_ok() {
                        sent.push(message);
                    }
                }
                _ if !ends.is_empty() => {
                    let at = dice.below(ends.len());
                    let (end, next, _) = &mut ends[at];
                    let before = end.missed();
                    match receive(end, view) {
                        Ok(message) => {
                            // The number of those that it missed says which one it is.
                            let skipped = (end.missed() - before) as usize;
                            assert!(lossy || skipped == 0);
                            assert_eq!(message, sent[*next + skipped]);
                            *next += skipped + 1;
                        }
                        Err(error) => {
                            assert_eq!(error, BroadcastError::TimedOut);
                            assert_eq!(*next, sent.len());
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// An overtaken subscriber knows how many messages it missed, and continues with the oldest that is left.
#[test]
fn what_was_missed_is_counted() {
    let memory = Memory::new(640, true);
    let view = memory.view();
    let mut publisher = Publisher::find(view).unwrap();
    let mut end = Subscriber::join(view, None, false).unwrap();
    for number in 0..100_u8 {
        assert_eq!(
            publisher.publish(view, (&[number; 40]).into(), Deadline::Now, live),
            Ok(())
        );
    }
    // Those before a message are missed from the time that it is found, not only when it is released.
    let found = end.peek(view, Deadline::Now, expected).unwrap();
    assert!(end.is_whole(view, &found));
    let missed = end.missed();
    let first = receive(&mut end, view).unwrap()[0];
    assert_eq!((missed, end.missed()), (first.into(), first.into()));
    // As many as the capacity promises, of one line each.
    assert!(first <= 100 - 10, "{first}");
    for number in first + 1..100 {
        assert_eq!(receive(&mut end, view).unwrap(), [number; 40]);
    }
    assert_eq!(receive(&mut end, view), Err(BroadcastError::TimedOut));
    assert_eq!(end.missed(), u64::from(first));
}

/// An empty broadcast takes a message of its whole capacity, wherever the last one has ended.
#[test]
fn an_empty_one_takes_the_longest_message_from_any_state() {
    let memory = Memory::new(1000, false);
    let view = memory.view();
    let mut publisher = Publisher::find(view).unwrap();
    let mut end = Subscriber::join(view, Some(0), false).unwrap();
    for len in 0..200 {
        for len in [len * 5, view.capacity] {
            let message: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert_eq!(
                publisher.publish(view, (&message).into(), Deadline::Now, live),
                Ok(())
            );
            assert_eq!(receive(&mut end, view), Ok(message));
        }
    }
}

#[test]
fn a_late_subscriber_begins_where_it_asks_to() {
    for lossy in [false, true] {
        let memory = Memory::new(640, lossy);
        let view = memory.view();
        let mut publisher = Publisher::find(view).unwrap();
        for number in 0..50_u8 {
            publisher
                .publish(view, (&[number]).into(), Deadline::Now, live)
                .unwrap();
        }
        let mut newest = Subscriber::join(view, Some(0), false).unwrap();
        let mut oldest = Subscriber::join(view, Some(1), true).unwrap();
        let first = receive(&mut oldest, view).unwrap()[0];
        assert!(first <= 40);
        for number in first + 1..50 {
            assert_eq!(receive(&mut oldest, view).unwrap(), [number]);
        }
        publisher
            .publish(view, (&[77]).into(), Deadline::Now, live)
            .unwrap();
        assert_eq!(receive(&mut newest, view).unwrap(), [77]);
        assert_eq!(receive(&mut oldest, view).unwrap(), [77]);
        assert_eq!((newest.missed(), oldest.missed()), (0, 0));
    }
}

/// The next publisher continues behind the messages that a dead one has committed, and overwrites the others.
#[test]
fn a_new_publisher_finds_the_end() {
    let memory = Memory::new(640, false);
    let view = memory.view();
    let mut end = Subscriber::join(view, Some(0), false).unwrap();
    for number in 0..100_u8 {
        let mut publisher = Publisher::find(view).unwrap();
        publisher
            .publish(view, (&[number]).into(), Deadline::Now, live)
            .unwrap();
        let tail = memory.words.published.tail.load(Relaxed);
        // It dies before it stores the tail, and with another message half written.
        memory.words.published.tail.store(tail - 64, Relaxed);
        memory.words.published.next.store(number.into(), Relaxed);
        let offset = publisher.reserve(view, 100, Deadline::Now, live).unwrap();
        view.area.write_wrapping(offset, (&[1; 100]).into());
        assert_eq!(receive(&mut end, view).unwrap(), [number]);
        let late = Subscriber::join(view, Some(1), false).unwrap();
        assert_eq!((late.pos, late.expected), (tail, u64::from(number) + 1));
        view.leave(1);
    }
    assert_eq!(end.missed(), 0);
}

/// A subscriber that is dead is dropped, and no longer waited for.
#[test]
fn a_dead_subscriber_is_dropped() {
    let memory = Memory::new(640, false);
    let view = memory.view();
    let mut publisher = Publisher::find(view).unwrap();
    let mut dead = Subscriber::join(view, Some(5), false).unwrap();
    let mut publish = |is_gone: &mut dyn FnMut(usize) -> bool| {
        publisher.publish(view, (&[3; 100]).into(), Deadline::Now, is_gone)
    };
    while publish(&mut live).is_ok() {}
    assert_eq!(publish(&mut live), Err(BroadcastError::Slow(5)));
    let mut asked = 0;
    let published = publish(&mut |member| {
        asked += 1;
        view.leave(member);
        true
    });
    assert_eq!((published, asked), (Ok(()), 1));
    for _ in 0..20 {
        publish(&mut |_| panic!("it is not asked for again")).unwrap();
    }
    assert_eq!(receive(&mut dead, view), Err(BroadcastError::Dropped));
}

/// Subscribers that were killed together are dropped together: the publisher, which sleeps until it finds the first one
/// dead, does not sleep for the others.
#[test]
fn one_wait_is_enough_for_all_dead_subscribers() {
    let memory = Memory::new(640, false);
    let view = memory.view();
    let mut publisher = Publisher::find(view).unwrap();
    for member in [3, 4, 9] {
        Subscriber::join(view, Some(member), false).unwrap();
    }
    let mut publish = |deadline, is_gone: &mut dyn FnMut(usize) -> bool| {
        publisher.publish(view, (&[3; 100]).into(), deadline, is_gone)
    };
    while publish(Deadline::Now, &mut live).is_ok() {}
    let mut asked = Vec::new();
    let published = publish(Deadline::Never, &mut |member| {
        asked.push(member);
        view.leave(member);
        true
    });
    assert_eq!((published, asked), (Ok(()), vec![3, 4, 9]));
    // The publisher writes there before it sleeps.
    let waits = memory.members.iter();
    let waits = waits.filter(|line| line.wanted.load(Relaxed) != 0);
    assert_eq!(waits.count(), 1);
}

/// The publisher has moved the floor, and then sees a subscriber that has come in between: it waits for that one,
/// which receives what lies before the floor.
#[test]
fn a_floor_that_was_on_its_way_drops_no_subscriber() {
    let memory = Memory::new(640, false);
    let view = memory.view();
    let mut publisher = Publisher::find(view).unwrap();
    for number in 0..3_u8 {
        publisher
            .publish(view, (&[number]).into(), Deadline::Now, live)
            .unwrap();
    }
    let mut end = Subscriber::join(view, Some(0), true).unwrap();
    memory.words.floor.floor.store(128, Relaxed);
    for number in 0..3 {
        assert_eq!(receive(&mut end, view), Ok(vec![number]));
    }
}

/// A member that is gone is back at once, where it was: a hostile process has written its words again.
#[test]
fn a_member_that_comes_back_keeps_no_publisher_beyond_its_deadline() {
    let memory = Memory::new(640, false);
    let view = memory.view();
    let mut publisher = Publisher::find(view).unwrap();
    Subscriber::join(view, Some(5), false).unwrap();
    let mut publish = |deadline, is_gone: &mut dyn FnMut(usize) -> bool| {
        publisher.publish(view, (&[3; 100]).into(), deadline, is_gone)
    };
    while publish(Deadline::Now, &mut live).is_ok() {}
    for deadline in [
        Deadline::Now,
        Deadline::after(Some(Duration::from_millis(1))),
    ] {
        let mut asked = 0;
        let published = publish(deadline, &mut |member| {
            asked += 1;
            if asked > 100_000 {
                view.leave(member);
            }
            true
        });
        assert_eq!(published, Err(BroadcastError::Slow(5)));
    }
}

#[test]
fn a_floor_that_moves_on_keeps_no_subscriber_beyond_its_deadline() {
    const END: u64 = 100_000 * LINE as u64;
    for writable in [true, false] {
        let memory = Memory::new(640, true);
        let view = View {
            writable,
            ..memory.view()
        };
        let mut end = Subscriber::join(view, None, false).unwrap();
        let floor = &memory.words.floor.floor;
        let moves_on = |_| {
            if floor.load(Relaxed) < END {
                floor.fetch_add(LINE as u64, Relaxed);
            }
            Peer::Expected
        };
        let deadline = Deadline::after(Some(Duration::from_millis(20)));
        let found = end.peek(view, deadline, moves_on).map(drop);
        assert_eq!(found, Err(BroadcastError::TimedOut));
        assert!(floor.load(Relaxed) < END);
    }
}

/// A subscriber asks once, before it would sleep, and then looks once more.
#[test]
fn a_publisher_that_is_known_to_be_gone_is_not_waited_for() {
    for publishes in [false, true] {
        let memory = Memory::new(640, false);
        let view = memory.view();
        let mut end = Subscriber::join(view, Some(0), false).unwrap();
        let gone = |inquiry| {
            assert_eq!(inquiry, Inquiry::Brief, "it has slept");
            if publishes {
                let mut publisher = Publisher::find(view).unwrap();
                let message = (&[7; 8]).into();
                publisher
                    .publish(view, message, Deadline::Now, live)
                    .unwrap();
            }
            Peer::Gone
        };
        let found = end.peek(view, Deadline::Never, gone).map(|found| found.len);
        let expected = if publishes {
            Ok(8)
        } else {
            Err(BroadcastError::Closed)
        };
        assert_eq!(found, expected);
    }
}

/// Subscribers copy what the publisher overwrites: for Miri, which knows whether the language allows that.
#[test]
fn a_message_may_be_copied_while_it_is_overwritten() {
    const ROUNDS: usize = if cfg!(miri) { 60 } else { 100_000 };
    let memory = Memory::new(200, true);
    let len = |round: usize| 1 + round % 150;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let view = memory.view();
                let mut end = Subscriber::join(view, None, true).unwrap();
                let mut last = None;
                while last != Some(ROUNDS - 1) {
                    let Ok(message) = receive(&mut end, view) else {
                        std::thread::yield_now();
                        continue;
                    };
                    let number = (end.expected - 1) as usize;
                    assert_eq!(message, vec![number as u8; len(number)]);
                    assert!(last < Some(number));
                    last = Some(number);
                }
            });
        }
        scope.spawn(|| {
            let mut publisher = Publisher::find(memory.view()).unwrap();
            for round in 0..ROUNDS {
                let message = vec![round as u8; len(round)];
                publisher
                    .publish(memory.view(), (&message).into(), Deadline::Now, live)
                    .unwrap();
            }
        });
    });
}

/// Any words in the segment: errors, and no panic, no endless loop and no access outside.
#[test]
fn hostile_words_do_no_harm() {
    let mut dice = Dice(1);
    for round in 0..if cfg!(miri) { 30 } else { 20_000 } {
        let memory = Memory::new(300, round % 2 == 0);
        let view = memory.view();
        let mut publisher = Publisher::find(view).unwrap();
        let mut end = Subscriber::join(view, Some(0), false).unwrap();
        for _ in 0..20 {
            let words = [
                &memory.words.published.tail,
                &memory.words.published.next,
                &memory.words.floor.floor,
                &memory.words.joined.joined,
                &memory.members[0].pos,
                &memory.members[0].wanted,
                view.area.word(64 * dice.below(10)),
            ];
            let value = [
                0,
                1,
                64,
                128,
                320,
                1 << 20,
                801,
                u64::MAX,
                u64::MAX / 2 + 1,
                u64::MAX - 63,
            ];
            words[dice.below(7)].store(value[dice.below(10)], Relaxed);
            let _ = publisher.publish(view, (&[0; 70]).into(), Deadline::Now, live);
            let _ = receive(&mut end, view);
            let _ = Subscriber::join(view, Some(1), dice.below(2) == 0);
            let _ = (view.used(), view.words.published());
            if let Ok(found) = Publisher::find(view) {
                publisher = found;
            }
        }
    }
}

/// A subscriber that stops after it has made room for one message wakes a publisher that has slept for a slice.
#[test]
fn a_publisher_that_has_slept_wishes_for_what_it_needs() {
    let memory = Memory::new(4096, false);
    let mut subscriber = Subscriber::join(memory.view(), Some(0), false).unwrap();
    let mut publisher = Publisher::find(memory.view()).unwrap();
    let mut publish = |deadline| publisher.publish(memory.view(), (&[1; 8]).into(), deadline, live);
    while publish(Deadline::Now).is_ok() {}
    std::thread::scope(|scope| {
        let publisher =
            scope.spawn(move || publish(Deadline::after(Some(Duration::from_secs(90)))));
        let start = crate::sys::Instant::now();
        // Room for one message more, and the 0 behind it.
        let tail = memory.words.published.tail.load(Relaxed);
        let needed = tail + (size_of_frame(8) + LINE) as u64 - memory.view().room() as u64;
        while memory.members[0].wanted.load(Relaxed) != needed {
            assert!(start.elapsed().as_secs() < 60, "it wishes for more");
            std::thread::yield_now();
        }
        receive(&mut subscriber, memory.view()).unwrap();
        assert_eq!(publisher.join().unwrap(), Ok(()));
    });
}
