//! The ring of messages: one end sends, the other receives, without a lock between them.
//!
//! ```text
//!      head      cleared   released              tail              reserved          limit
//!       ▼           ▼        ▼                     ▼                  ▼                ▼
//! ┌─────┬───────────┬────────┬──────┬───────┬──────┬──────────────────┬────────────────┬─┐
//! │free │ cleared   │ not    │frame │ frame │frame │ being written    │ free           │ │
//! │     │           │ cleared│      │       │      │                  │                │ │
//! └─────┴───────────┴────────┴──────┴───────┴──────┴──────────────────┴────────────────┴─┘
//! ```
//!
//! The sender writes a message, and then the first word of its frame, which commits it (see `frame`). The
//! receiver polls the word where the next frame will begin. Neither end polls a word that the other writes for
//! each message: a cache line that both use is what costs time.
//!
//! # The invariant
//!
//! *The line at `tail` begins with 0, and so does each line from `uncleared` up to the limit, one ring behind `head`.*
//! So before the sender commits a frame, it has to store a 0 behind it only while `tail` is in front of `uncleared`. It
//! avoids that store otherwise, because the store takes the line away from a receiver that polls it. Both ends maintain
//! the invariant:
//!
//! - The receiver stores `released` when it releases a message. Some lines later, or while it waits for the next
//!   message, it clears the first word of each released line. From time to time, it frees the cleared lines by moving
//!   `head`. The receiver that follows a killed one continues at `released`, and clears the lines between `head` and
//!   `released` again.
//! - The receiver does not clear the lines of a large frame (`LARGE`) that it has not copied, because they may not be
//!   in its cache. (It clears lines that it has copied: the sender then fetches them sooner.) Before the sender commits
//!   a large frame, it moves `uncleared` behind the frame's place in the next round: beside so many bytes, the store of
//!   0 costs little.
//! - Before the sender writes into a line other than the first of the next frame, it stores in `reserved` how far it
//!   will write. The sender that follows a killed one moves `uncleared` up to there; so does a sender that aborts what
//!   it has reserved.
//!
//! A sender with much time between its messages also stores 0 into free lines behind `tail`, so that they are in its
//! cache when it sends the next one.
//!
//! In a ring that drops the oldest message, the sender releases messages, too, and no line is cleared: `uncleared` is
//! infinite. `head` is then the only position of the receiver, and both ends move it.
//!
//! # Room
//!
//! The receiver holds lines back: those that are released but not cleared, and those that are cleared but not freed.
//! When a call of the receiving end returns, they are at most `lag`, and the ring is larger than the longest message by
//! that much. So an empty ring takes a message of its whole capacity, whatever was received before.
//!
//! A slot that would wrap at the end of the ring begins at the beginning, behind a *gap*, if the gap is at most an
//! eighth of the capacity, and the only one that is not released. The ring is larger by that much, and a gap does not
//! count as used, so gaps do not reduce the documented room. Other slots wrap, and the handle copies their bytes.
//!
//! Positions count bytes ever written, and never overflow. The offset of a position is the position modulo the room.
//! The bytes of a message may wrap at the end of the ring: they are then copied in two parts. Nothing that is read from
//! the segment is trusted: every offset is reduced to one inside the area, and a word that no sender writes is an
//! error.

mod consumer;
mod frame;
mod producer;

use super::{
    area::Area,
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed},
    },
    sleepers::Sleepers,
};

pub use consumer::{Consumer, Found, Span};
pub use frame::{Damaged, LEN_MAX};
pub use producer::Producer;

use frame::{Frame, FrameKind, LINE};

/// The words beside the frames. Those of each writer have cache lines of their own.
#[cfg_attr(not(loom), repr(C, align(64)))]
#[derive(Default)]
pub struct RingWords {
    sender: SenderWords,
    receiver: ReceiverWords,
    asleep: AsleepWords,
}

#[cfg_attr(not(loom), repr(C, align(64)))]
#[derive(Default)]
struct SenderWords {
    /// Where the next frame goes; after the death of a sender, perhaps an earlier position.
    tail: AtomicU64,
    /// The position up to which the sender may have written behind `tail`.
    reserved: AtomicU64,
    /// Not 0 while the sender may have written bytes behind `tail` that it may never commit.
    dirty: AtomicU64,
    /// The position up to which lines behind `tail` may begin with something other than 0.
    uncleared: AtomicU64,
    /// How many messages were dropped to make room.
    dropped: AtomicU64,
    /// The size of the last gap in front of a slot, and the position behind it. Meaningless behind `tail`.
    gap: AtomicU64,
    gap_end: AtomicU64,
}

impl SenderWords {
    /// Returns the size of the last gap, if it lies in front of `end` and is not released; otherwise 0. `first` is the
    /// first position that is not released.
    fn gap_between(&self, first: u64, end: u64) -> u64 {
        // Relaxed, both: a sender reads what it has written itself, or an earlier one that had the senders' lock or is
        // dead. For the others, it is information.
        let gap_end = self.gap_end.load(Relaxed);
        if first < gap_end && gap_end <= end {
            self.gap.load(Relaxed)
        } else {
            0
        }
    }
}

#[cfg_attr(not(loom), repr(C, align(64)))]
#[derive(Default)]
struct ReceiverWords {
    /// The position up to which lines are freed.
    head: AtomicU64,
    /// The position up to which messages are released.
    released: AtomicU64,
    /// The processor that the receiver runs on, plus 1.
    cpu: AtomicU32,
}

/// Written by threads that are about to wait.
#[cfg_attr(not(loom), repr(C, align(64)))]
#[derive(Default)]
struct AsleepWords {
    /// The position up to which the sender that slept last wanted lines to be freed. Only a sender writes it.
    wanted: AtomicU64,
    /// Receivers, which wait for a change of the word at `tail`.
    receivers: Sleepers,
}

impl RingWords {
    /// Returns the number of bytes in use, if the words are intact. `drops`: as in [`View`].
    pub fn used(&self, drops: bool) -> u64 {
        let first = if drops {
            &self.receiver.head
        } else {
            &self.receiver.released
        };
        // Acquire, all: the caller may look at a message that is counted.
        let first = first.load(Acquire).max(self.receiver.head.load(Acquire));
        let tail = self.sender.tail.load(Acquire);
        let gap = self.sender.gap_between(first, tail);
        tail.saturating_sub(first).saturating_sub(gap)
    }

    /// Sets the words to what a killed sender leaves: it has stored a frame's word, and not yet `tail`.
    #[cfg(loom)]
    pub fn forget_last_tail(&self) {
        self.sender.tail.store(0, Relaxed);
    }

    /// Sets the words to what a killed receiver leaves: it has stored `released`, and freed nothing.
    #[cfg(loom)]
    pub fn forget_head(&self) {
        self.receiver.head.store(0, Relaxed);
    }

    /// Returns how many messages were dropped to make room.
    pub fn dropped(&self) -> u64 {
        self.sender.dropped.load(Acquire)
    }
}

/// A longer message is sent in pieces of this size, so that the receiver copies one piece while the sender writes the
/// next. In bytes.
#[cfg(not(loom))]
const PIECE: usize = 16 << 10;
#[cfg(loom)]
const PIECE: usize = 24;

/// The size in bytes of the smallest frame whose lines the receiver need not clear.
#[cfg(not(loom))]
const LARGE: usize = 4 << 10;
#[cfg(loom)]
const LARGE: usize = 3 * LINE;

/// A ring as this process sees it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub words: &'a RingWords,
    pub area: Area<'a>,
    /// The longest message, in bytes.
    pub capacity: usize,
    /// A sender without room drops the oldest message.
    pub drops: bool,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    TimedOut,
    /// The other side has released its role, and there is nothing left to receive.
    Closed,
    /// The other side died.
    PeerDied,
    /// The message, of this length in bytes, is longer than the capacity or the buffer.
    TooLong(usize),
    Damaged,
}

/// What is known of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// A process has the role, or none has taken it yet.
    Expected,
    /// All have released their roles.
    Gone,
    /// All are gone, and at least one of them died.
    Died,
}

impl From<Damaged> for RingError {
    fn from(_: Damaged) -> RingError {
        RingError::Damaged
    }
}

impl Peers {
    fn check(self) -> Result<(), RingError> {
        match self {
            Peers::Expected => Ok(()),
            Peers::Gone => Err(RingError::Closed),
            Peers::Died => Err(RingError::PeerDied),
        }
    }
}

/// Returns the number of bytes that a ring of this capacity needs: the frame of the longest message, the lines that the
/// receiver may hold back, a gap, and one line that is always 0. `None` if no ring is as large.
pub fn room_for(capacity: usize) -> Option<usize> {
    let longest = Frame::new(FrameKind::Begun, capacity).size;
    (capacity <= LEN_MAX).then(|| longest + lag(capacity) + largest_gap(capacity) + LINE)
}

/// Returns the largest number of bytes that the receiver holds back.
fn lag(capacity: usize) -> usize {
    if cfg!(loom) {
        return 2 * LINE;
    }
    (capacity / 8).next_multiple_of(LINE).max(4 * LINE)
}

/// Returns the size of the largest gap in front of a slot.
fn largest_gap(capacity: usize) -> usize {
    if cfg!(loom) {
        return 2 * LINE;
    }
    (capacity / 8) & !(LINE - 1)
}

impl View<'_> {
    #[inline(always)]
    fn room(&self) -> usize {
        self.area.len()
    }

    /// Returns the offset of a position.
    fn offset(&self, pos: u64) -> usize {
        (pos % self.room() as u64) as usize & !(LINE - 1)
    }

    /// Returns the limit of the frames with this `head`: one line less than the room, so that the line behind the last
    /// frame begins with 0 and the receiver finds an end.
    #[inline(always)]
    fn limit(&self, head: u64) -> u64 {
        head.saturating_add((self.room() - LINE) as u64)
    }

    /// Returns the size of the frame of the longest message.
    #[inline]
    fn longest(&self) -> u64 {
        Frame::new(FrameKind::Begun, self.capacity).size as u64
    }

    /// Returns the position up to which a sender may write frames, with this `head`: the unreleased frames together,
    /// except for a gap in front of `end`, are at most as large as that of the longest message. Lines that are released
    /// and not freed do not count, unless they are more than `lag`, which they are only until the receiver frees them.
    fn room_end(&self, head: u64, end: u64) -> u64 {
        let first = self.first_unreleased(head);
        first
            .saturating_add(self.most(first, end))
            .min(self.limit(head))
    }

    /// Returns the largest size of the unreleased frames together, if the first of them is at `first`; with the gap, if
    /// it is between that and `end`.
    fn most(&self, first: u64, end: u64) -> u64 {
        let gap = self.words.sender.gap_between(first, end);
        self.longest().saturating_add(gap)
    }

    /// Returns the position up to which messages must be released so that there is room up to `end`.
    fn released_for(&self, end: u64) -> u64 {
        let without_gap = end.saturating_sub(self.longest());
        // Minus 1: room that is needed up to just behind the gap is there before the gap is released.
        end.saturating_sub(self.most(without_gap.saturating_sub(1), end))
    }

    /// Returns the position of the first message that is not released, with this `head`.
    fn first_unreleased(&self, head: u64) -> u64 {
        if self.drops {
            head
        } else {
            // Relaxed: the load of `head` has made sure that the lines up to the limit are clear and no longer read.
            // This one only tells how many of them the sender may use.
            self.words.receiver.released.load(Relaxed).max(head)
        }
    }

    /// Returns the number of bytes in use: those of the frames, which are more than those of the messages.
    pub fn used(&self) -> usize {
        self.words.used(self.drops).min(self.room() as u64) as usize
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{Deadline, Inquiry};
    use core::time::Duration;

    /// A receiver copies bytes that its sender overwrites at the same time: Miri checks that the language allows it.
    #[test]
    fn a_dropped_message_may_be_copied_while_it_is_overwritten() {
        const ROUNDS: usize = if cfg!(miri) { 60 } else { 100_000 };
        #[repr(align(64))]
        struct Memory([AtomicU64; 32]);
        let memory = Memory([const { AtomicU64::new(0) }; 32]);
        let words = RingWords::default();
        let view = || View {
            words: &words,
            // SAFETY: the memory lives as long as the area, has this length, and is aligned.
            area: unsafe { Area::new(memory.0.as_ptr().cast_mut().cast(), 256) },
            capacity: 48,
            drops: true,
        };
        let len = |round: usize| 1 + round % 29;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut tail = Producer::find(view()).unwrap();
                for round in 0..ROUNDS {
                    let message = vec![round as u8; len(round)];
                    tail.send(view(), (&message).into(), Deadline::Now, |_| {
                        Peers::Expected
                    })
                    .unwrap();
                }
            });
            let mut head = Consumer::find(view());
            let mut last = 0;
            while last as usize != (ROUNDS - 1) % 256 {
                let mut buffer = [0; 32];
                let received = head.receive(view(), (&mut buffer).into(), Deadline::Now, |_| {
                    Peers::Expected
                });
                let Ok(received) = received else {
                    std::thread::yield_now();
                    continue;
                };
                last = buffer[0];
                assert!(buffer[..received].iter().all(|&byte| byte == last));
            }
        });
    }

    /// A hostile process moves `tail` back to an earlier round, where a short message would end at the end of the ring.
    #[test]
    fn no_gap_of_no_bytes_is_made_at_the_end_of_the_ring() {
        const CAPACITY: usize = 512;
        #[repr(align(64))]
        struct Memory([AtomicU64; 128]);
        let memory = Memory([const { AtomicU64::new(0) }; 128]);
        let words = RingWords::default();
        let room = room_for(CAPACITY).unwrap();
        let view = View {
            words: &words,
            // SAFETY: the memory lives as long as the area, has at least this length, and is aligned.
            area: unsafe { Area::new(memory.0.as_ptr().cast_mut().cast(), room) },
            capacity: CAPACITY,
            drops: false,
        };
        let second = room as u64;
        words.receiver.head.store(second, Relaxed);
        words.receiver.released.store(second, Relaxed);
        words.sender.tail.store(second, Relaxed);
        let (mut tail, peers) = (Producer::default(), |_| Peers::Expected);
        tail.catch_up(view);
        tail.send(view, (&[1; 8]).into(), Deadline::Now, peers)
            .unwrap();
        assert!(tail.send_short(view, (&[2; 8]).into()));
        words.sender.tail.store(second - LINE as u64, Relaxed);
        tail.catch_up(view);
        assert!(!tail.send_short(view, (&[3; 8]).into()));
        tail.send(view, (&[3; 8]).into(), Deadline::Now, peers)
            .unwrap();
        tail.reserve_slot(view, 8, Deadline::Now, peers).unwrap();
        assert_eq!(words.sender.gap_end.load(Relaxed), 0);
    }

    /// The sender asks once, before it would sleep, and then looks once more.
    #[test]
    fn a_receiver_that_is_known_to_be_gone_is_not_waited_for() {
        #[repr(align(64))]
        struct Memory([AtomicU64; 128]);
        for receives in [false, true] {
            let memory = Memory([const { AtomicU64::new(0) }; 128]);
            let words = RingWords::default();
            let view = View {
                words: &words,
                // SAFETY: the memory lives as long as the area, has at least this length, and is aligned.
                area: unsafe {
                    Area::new(memory.0.as_ptr().cast_mut().cast(), room_for(512).unwrap())
                },
                capacity: 512,
                drops: false,
            };
            let expected = |_| Peers::Expected;
            let mut tail = Producer::find(view).unwrap();
            tail.send(view, (&[1; 512]).into(), Deadline::Now, expected)
                .unwrap();
            let sent = tail.send(view, (&[2; 8]).into(), Deadline::Never, |inquiry| {
                assert_eq!(inquiry, Inquiry::Brief, "it has slept");
                if receives {
                    let (mut head, buffer) = (Consumer::find(view), &mut [0; 512]);
                    let received = head.receive(view, buffer.into(), Deadline::Now, expected);
                    assert_eq!(received, Ok(512));
                }
                Peers::Gone
            });
            assert_eq!(sent.is_ok(), receives);
        }
    }

    /// A receiver that stops after it has made room for one message wakes a sender that has slept for a slice.
    #[test]
    fn a_sender_that_has_slept_wishes_for_what_it_needs() {
        const CAPACITY: usize = 4096;
        #[repr(align(64))]
        struct Memory([AtomicU64; 1024]);
        let memory = Memory([const { AtomicU64::new(0) }; 1024]);
        let words = RingWords::default();
        let view = || View {
            words: &words,
            // SAFETY: the memory lives as long as the area, has this length, and is aligned.
            area: unsafe {
                let room = room_for(CAPACITY).unwrap();
                Area::new(memory.0.as_ptr().cast_mut().cast(), room)
            },
            capacity: CAPACITY,
            drops: false,
        };
        let mut tail = Producer::find(view()).unwrap();
        let mut send =
            |deadline| tail.send(view(), (&[1; 8]).into(), deadline, |_| Peers::Expected);
        while send(Deadline::Now).is_ok() {}
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || send(Deadline::after(Some(Duration::from_secs(90)))));
            let start = crate::sys::Instant::now();
            // Room for one message more.
            let needed = words.sender.tail.load(Relaxed) + LINE as u64 - view().longest();
            while words.asleep.wanted.load(Relaxed) != needed {
                assert!(start.elapsed().as_secs() < 60, "it wishes for more");
                std::thread::yield_now();
            }
            let mut head = Consumer::find(view());
            head.receive(view(), (&mut [0; 8]).into(), Deadline::Now, |_| {
                Peers::Expected
            })
            .unwrap();
            assert_eq!(sender.join().unwrap(), Ok(()));
        });
    }
}
