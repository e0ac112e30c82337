//! The ring of messages: one end sends, the other receives, without a lock between them.
//!
//! ```text
//!            head                         tail
//!             ▼                            ▼
//! ┌──────────┬──────┬─────────┬────┬──────┬─┬───────────────┐
//! │  free    │frame │  frame  │fr. │frame │0│     free      │
//! └──────────┴──────┴─────────┴────┴──────┴─┴───────────────┘
//!             receiver ────▶       sender ────▶
//! ```
//!
//! The sender writes a frame's bytes, a 0 behind them, and then the frame's first word, which
//! commits it (see `frame`). The receiver looks at the word where the next frame will be, and moves
//! `head` on when it has released one. The sender looks at `head` only when it has run out of room
//! that it knows of; the receiver never looks at `tail`, which is there for the next sender, should
//! this one die.
//!
//! Positions count bytes ever written, and never wrap; a position's offset is what is left of it
//! modulo the room. Nothing that is read from the segment is trusted: an offset stays inside the
//! area whatever it was made from, and a word that no sender writes is an error.

mod consumer;
mod frame;
mod producer;

use super::{
    area::Area,
    atomic::{AtomicU32, AtomicU64, Ordering::Acquire},
    sleepers::Sleepers,
};

pub use consumer::{Consumer, Span};
pub use frame::{Damaged, LEN_MAX};
pub use producer::Producer;

use frame::WORD;

/// What lies beside the frames. Each part has lines of its own, by who writes it.
#[cfg_attr(not(loom), repr(C, align(64)))]
pub struct RingWords {
    sender: SenderWords,
    receiver: ReceiverWords,
    asleep: AsleepWords,
}

#[cfg_attr(not(loom), repr(C, align(64)))]
struct SenderWords {
    /// Where the next frame goes, or a little before that if the sender died.
    tail: AtomicU64,
    /// How many messages were dropped to make room.
    dropped: AtomicU64,
}

#[cfg_attr(not(loom), repr(C, align(64)))]
struct ReceiverWords {
    /// Where the first message begins that was not released.
    head: AtomicU64,
    /// The processor that the receiver runs on, plus 1.
    cpu: AtomicU32,
}

/// Written by those who go to sleep.
#[cfg_attr(not(loom), repr(C, align(64)))]
struct AsleepWords {
    /// Receivers, on the word at the tail.
    receivers: Sleepers,
    /// The `head` that a sender sleeps for; 0 if none does.
    wanted: AtomicU64,
}

impl RingWords {
    /// How many bytes are in use, if the words are right.
    pub fn used(&self) -> u64 {
        let head = self.receiver.head.load(Acquire);
        let tail = self.sender.tail.load(Acquire);
        tail.saturating_sub(head)
    }

    /// How many messages were dropped to make room.
    pub fn dropped(&self) -> u64 {
        self.sender.dropped.load(Acquire)
    }
}

#[cfg(loom)]
impl RingWords {
    pub fn new() -> RingWords {
        RingWords {
            sender: SenderWords {
                tail: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            },
            receiver: ReceiverWords {
                head: AtomicU64::new(0),
                cpu: AtomicU32::new(0),
            },
            asleep: AsleepWords {
                receivers: Sleepers::new(),
                wanted: AtomicU64::new(0),
            },
        }
    }
}

/// A message above this is published in pieces of this size, so that the receiver copies the
/// first while the sender still writes the next. In bytes.
#[cfg(not(loom))]
const PIECE: usize = 16 << 10;
#[cfg(loom)]
const PIECE: usize = 8;

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

/// The bytes that a ring needs for messages of so many bytes together: the longest one with its
/// words, and the word behind it. `None` if no ring is as large.
pub fn room_for(capacity: usize) -> Option<usize> {
    let whole = capacity.checked_next_multiple_of(WORD)?;
    (capacity <= LEN_MAX).then(|| whole + 4 * WORD)
}

impl View<'_> {
    #[inline(always)]
    fn room(&self) -> usize {
        self.area.len()
    }

    /// The offset of a position.
    fn offset(&self, pos: u64) -> usize {
        (pos % self.room() as u64) as usize & !(WORD - 1)
    }

    /// How many bytes are in use, messages and what they need beside.
    pub fn used(&self) -> usize {
        self.words.used().min(self.room() as u64) as usize
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
        let memory: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
        // SAFETY: words are atomics, of which all zeroes are valid.
        let words = unsafe { core::mem::zeroed::<RingWords>() };
        let view = || View {
            words: &words,
            // SAFETY: the memory lives as long as the area, has this length, and is aligned.
            area: unsafe { Area::new(memory.as_ptr().cast_mut().cast(), 128) },
            capacity: 96,
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
