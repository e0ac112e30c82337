//! The ring of messages: one end sends, the other receives, without a lock between them.
//!
//! ```text
//!      head      cleared   taken                 tail              reserved          limit
//!       ▼           ▼        ▼                     ▼                  ▼                ▼
//! ┌─────┬───────────┬────────┬──────┬───────┬──────┬──────────────────┬────────────────┬─┐
//! │free │ cleared   │ to be  │frame │ frame │frame │ being written    │ free           │ │
//! │     │           │ cleared│      │       │      │                  │                │ │
//! └─────┴───────────┴────────┴──────┴───────┴──────┴──────────────────┴────────────────┴─┘
//! ```
//!
//! The sender writes a message, and then the first word of its frame, which commits it (see `frame`). The
//! receiver looks at the word where the next frame will be. Neither looks at a word that the other writes for
//! each message: a line that is read by both is what costs time.
//!
//! # The invariant
//!
//! *Each line from `tail` up to the limit, one ring behind `head`, begins with 0*: so the sender need not write
//! a 0 behind a frame before it commits it. Who sees to that:
//!
//! - The receiver clears the first word of each line that it has taken, some lines behind, and then gives the
//!   lines back by moving `head`. It has said before that it has taken them, in `taken`. The receiver that
//!   follows one that was killed goes on at `taken`, and clears what lies between `head` and there once more.
//! - The sender says in `reserved` how far it writes before it writes into a line other than that of the next
//!   frame's first word. The sender that follows one that was killed clears up to there; and so does one that
//!   gives up what it has reserved.
//!
//! A ring that drops the oldest message has another invariant, as there the sender takes messages, too: *the
//! line at `tail` begins with 0*. Its sender writes the 0 behind a frame before it commits that. There `head` is
//! the only position of the receiver, and both ends move it.
//!
//! # Room
//!
//! The receiver keeps lines back, those that it has not cleared and those that it has not told of. They are never
//! more than [`lag`]; by so much is the ring larger than the longest message. So an empty ring takes a message of
//! its whole capacity, whatever was received before.
//!
//! Positions count bytes ever written, and never wrap; a position's offset is what is left of it modulo the room.
//! A message goes round the end of the ring: it is copied in two parts. Nothing that is read from the segment is
//! trusted: an offset stays inside the area whatever it was made from, and a word that no sender writes is an error.

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

pub use consumer::{Consumer, Span};
pub use frame::{Damaged, LEN_MAX};
pub use producer::Producer;

use frame::{Frame, FrameKind, LINE};

/// What lies beside the frames. Each part has lines of its own, by who writes it.
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
    /// Where the next frame goes, or a little before that if the sender died.
    tail: AtomicU64,
    /// How far the sender may have written behind the tail.
    reserved: AtomicU64,
    /// Not 0 while it may have written there, without being about to commit it.
    unclear: AtomicU64,
    /// How many messages were dropped to make room.
    dropped: AtomicU64,
}

#[cfg_attr(not(loom), repr(C, align(64)))]
#[derive(Default)]
struct ReceiverWords {
    /// Up to where lines were freed.
    head: AtomicU64,
    /// Where the first message begins that was not released.
    taken: AtomicU64,
    /// The processor that the receiver runs on, plus 1.
    cpu: AtomicU32,
}

/// Written by threads that are about to wait.
#[cfg_attr(not(loom), repr(C, align(64)))]
#[derive(Default)]
struct AsleepWords {
    /// The position up to which the sender that slept last wanted lines to be free. Only a sender writes it.
    wanted: AtomicU64,
    /// Receivers, on the word at the tail.
    receivers: Sleepers,
}

impl RingWords {
    /// Returns how many bytes are in use, if the words are right. `drops`: as in [`View`].
    pub fn used(&self, drops: bool) -> u64 {
        let first = if drops {
            &self.receiver.head
        } else {
            &self.receiver.taken
        };
        // Acquire, all: a message that is counted may be looked at.
        let first = first.load(Acquire).max(self.receiver.head.load(Acquire));
        let tail = self.sender.tail.load(Acquire);
        tail.saturating_sub(first)
    }

    /// Makes the words what a sender leaves that is killed after it has stored a frame's word and before it has stored
    /// `tail`.
    #[cfg(loom)]
    pub fn forget_last_tail(&self) {
        self.sender.tail.store(0, Relaxed);
    }

    /// Makes the words what a receiver leaves that is killed after it has stored `taken`, which was before, and before
    /// it gives anything back.
    #[cfg(loom)]
    pub fn forget_head(&self) {
        self.receiver.head.store(0, Relaxed);
    }

    /// Returns how many messages were dropped to make room.
    pub fn dropped(&self) -> u64 {
        self.sender.dropped.load(Acquire)
    }
}

/// A message above this is published in pieces of this size, so that the receiver copies the
/// first while the sender still writes the next. In bytes.
#[cfg(not(loom))]
const PIECE: usize = 16 << 10;
#[cfg(loom)]
const PIECE: usize = 24;

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

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    TimedOut,
    /// The other side has ended properly, and there is nothing left to receive.
    Closed,
    /// The other side died.
    PeerDied,
    /// The message has so many bytes: more than the ring, or the buffer, can take.
    TooLong(usize),
    Damaged,
}

/// What is known of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// A process is there, or none has come yet.
    Expected,
    /// All have ended properly.
    Gone,
    /// All are gone, and one of them died.
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

/// Returns the bytes that a ring needs for messages of at most so many bytes: the longest one, the lines that the
/// receiver may keep back, and the line behind them. `None` if no ring is as large.
pub fn room_for(capacity: usize) -> Option<usize> {
    let longest = Frame::new(FrameKind::Begun, capacity).size;
    (capacity <= LEN_MAX).then(|| longest + lag(capacity) + LINE)
}

/// Returns how many bytes the receiver may keep back at most.
fn lag(capacity: usize) -> usize {
    if cfg!(loom) {
        return 2 * LINE;
    }
    (capacity / 8).next_multiple_of(LINE).max(4 * LINE)
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

    /// Returns whether so many bytes at an offset go round the end of the ring.
    pub fn goes_round(&self, offset: usize, len: usize) -> bool {
        len > self.room().saturating_sub(offset)
    }

    /// Returns how far frames may go that begin at `head` or later: the line behind them begins with 0, so that the
    /// receiver finds an end.
    #[inline(always)]
    fn limit(&self, head: u64) -> u64 {
        head.saturating_add((self.room() - LINE) as u64)
    }

    /// Returns the size of the frame of the longest message.
    #[inline]
    fn longest(&self) -> u64 {
        Frame::new(FrameKind::Begun, self.capacity).size as u64
    }

    /// Returns how far a sender may write frames, with this `head`: so far that those that are not released have at
    /// most the size of that of the longest message. What the receiver has released and not freed does not
    /// count, except while it is about to free more than [`lag`].
    fn room_end(&self, head: u64) -> u64 {
        let first = if self.drops {
            head
        } else {
            // Relaxed: the lines up to the limit are clear, and are no longer read, by the load of `head`. This only
            // says how many of them the sender may use.
            self.words.receiver.taken.load(Relaxed).max(head)
        };
        first.saturating_add(self.longest()).min(self.limit(head))
    }

    /// Returns how many bytes are in use, messages and what they need beside.
    pub fn used(&self) -> usize {
        self.words.used(self.drops).min(self.room() as u64) as usize
    }

    /// Clears the first word of each line from one position up to another; of one ring at most, whatever the positions
    /// are.
    #[inline(always)]
    fn clear(&self, from: u64, to: u64) {
        let mut pos = from.max(to.saturating_sub(self.room() as u64));
        let mut offset = self.offset(pos);
        while pos < to {
            // Relaxed: what orders it follows, see the callers.
            self.area.word(offset).store(0, Relaxed);
            offset += LINE;
            if offset >= self.room() {
                offset = 0;
            }
            pos += LINE as u64;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Deadline;

    /// A receiver copies what its sender overwrites, and whose words it overwrites: for Miri, which
    /// knows whether the language allows that.
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
                    tail.send(view(), (&message).into(), Deadline::Now, || Peers::Expected)
                        .unwrap();
                }
            });
            let mut head = Consumer::find(view());
            let mut last = 0;
            while last as usize != (ROUNDS - 1) % 256 {
                let mut buffer = [0; 32];
                let received = head.receive(view(), (&mut buffer).into(), Deadline::Now, || {
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
}
