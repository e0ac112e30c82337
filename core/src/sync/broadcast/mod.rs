//! The broadcast: one end publishes, and every subscriber receives each message.
//!
//! ```text
//!         floor               subscribers            tail
//!           ▼                  ▼       ▼              ▼
//! ┌────────┬────────┬────────┬───────┬──────┬────────┬─┬──────────┐
//! │  free  │ frame  │ frame  │ frame │frame │ frame  │0│   free   │
//! └────────┴────────┴────────┴───────┴──────┴────────┴─┴──────────┘
//!                                            publisher ────▶
//! ```
//!
//! A frame begins on a line of the cache, with two words: what it is (see `frame`) and the message's number.
//! Its bytes may go round the end of the area; its words never do. The invariant: *the word at the end of the
//! committed frames is 0*. The publisher writes a frame's bytes and number, a 0 where the next frame will begin, and then
//! the first word, which commits the message. So it may be killed anywhere: before the last store the message does not
//! exist, and what lies behind the 0 is never looked at.
//!
//! Before the publisher overwrites a frame, it moves `floor` beyond it, to the beginning of another one. A subscriber
//! that has copied bytes looks at `floor` afterwards: if that is beyond the frame, the copy may be anything, and is given up.
//!
//! - *Lossy*: the publisher moves `floor` as it likes. A subscriber that was overtaken goes on at `floor`; the numbers
//!   say how many messages it missed. It writes nothing in the segment, so it needs no permission to write.
//! - *Lossless*: each subscriber has a slot with its position, and a bit in `members`. The publisher moves `floor` up to
//!   the slowest of them, and waits for that one, or drops it if it is dead. A subscriber looks at its own slot instead of
//!   the floor: as long as its position is there, the publisher waits for it.
//!
//! A new subscriber and the publisher can miss each other: the publisher moves `floor` and then looks at `members`, the
//! subscriber sets its bit and then looks at `floor`. Each does a store, a full barrier and a load, so one of
//! them sees the other: the publisher waits, or the subscriber moves its position up to `floor`.
//!
//! Positions count bytes ever written, and never wrap. Nothing that is read from the segment is trusted: an
//! offset stays inside the area whatever it was made from, each walk over frames has an end, and a word that no publisher
//! writes is an error.

mod frame;
mod publisher;
mod subscriber;

use super::{
    area::{Area, Buffer, Source},
    atomic::{
        self, AtomicU32, AtomicU64,
        Ordering::{Acquire, Release},
        fence,
    },
    sleepers::Sleepers,
};

pub use publisher::Publisher;
pub use subscriber::{Span, Subscriber};

use frame::{HEADER, LEN_MAX, LINE};

/// The largest capacity in bytes: with its header, whole lines.
const CAPACITY_MAX: usize = LEN_MAX + 1 - LINE - HEADER;

/// The largest number of subscribers that have a slot at a time: one bit each in a word.
pub const SUBSCRIBERS: usize = 64;

/// What lies beside the frames and the slots. Each part has lines of its own, by who writes it and how often.
#[cfg_attr(not(loom), repr(C, align(64)))]
pub struct BroadcastWords {
    published: PublishedWords,
    floor: FloorWords,
    /// Who sleeps until there is a message, on the word at the tail.
    asleep: SleepersWords,
    members: MembersWords,
}

/// Written for each message.
#[cfg_attr(not(loom), repr(C, align(64)))]
struct PublishedWords {
    /// Where the next frame goes, or a little before that if the publisher died.
    tail: AtomicU64,
    /// The number of the message in it.
    next: AtomicU64,
}

/// Written once in a while: subscribers look at it for each message.
#[cfg_attr(not(loom), repr(C, align(64)))]
struct FloorWords {
    /// The first frame that is not overwritten.
    floor: AtomicU64,
}

#[cfg_attr(not(loom), repr(C, align(64)))]
struct SleepersWords {
    sleepers: Sleepers,
}

#[cfg_attr(not(loom), repr(C, align(64)))]
struct MembersWords {
    /// A bit for each slot that the publisher waits for.
    members: AtomicU64,
}

/// A subscriber for which the publisher waits. The subscriber writes its line, but for one word.
#[cfg_attr(not(loom), repr(C, align(64)), derive(Default))]
pub struct Slot {
    /// Where the first message begins that it has not released; `LEFT` after the last one.
    pos: AtomicU64,
    /// The position up to which the publisher that slept last wanted messages to be released. Only a publisher writes it.
    wanted: AtomicU64,
    /// The processor that it runs on, plus 1.
    cpu: AtomicU32,
}

/// The position in a slot that no subscriber has.
const LEFT: u64 = u64::MAX;

impl BroadcastWords {
    /// Returns how many bytes are in use, if the words are right.
    pub fn used(&self) -> u64 {
        let floor = self.floor.floor.load(Acquire);
        let tail = self.published.tail.load(Acquire);
        tail.saturating_sub(floor)
    }

    /// Returns how many messages were published.
    pub fn published(&self) -> u64 {
        self.published.next.load(Acquire)
    }
}

#[cfg(loom)]
impl BroadcastWords {
    pub fn new() -> BroadcastWords {
        BroadcastWords {
            published: PublishedWords {
                tail: AtomicU64::new(0),
                next: AtomicU64::new(0),
            },
            floor: FloorWords {
                floor: AtomicU64::new(0),
            },
            asleep: SleepersWords {
                sleepers: Sleepers::new(),
            },
            members: MembersWords {
                members: AtomicU64::new(0),
            },
        }
    }
}

#[cfg(loom)]
impl Slot {
    pub fn new() -> Slot {
        Slot {
            pos: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
            cpu: AtomicU32::new(0),
        }
    }
}

/// A broadcast as this process sees it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub words: &'a BroadcastWords,
    /// At most [`SUBSCRIBERS`]; none where this process may not write.
    pub slots: &'a [Slot],
    /// As many bytes as [`room_for`] says.
    pub area: Area<'a>,
    /// The longest message, in bytes.
    pub capacity: usize,
    /// The publisher does not wait for subscribers.
    pub lossy: bool,
    /// This process may write.
    pub writable: bool,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroadcastError {
    TimedOut,
    /// There is no room, and the subscriber with this slot is the slowest.
    Slow(usize),
    /// The publisher has ended properly, and there is nothing left to receive.
    Closed,
    /// The publisher died.
    PeerDied,
    /// The message has so many bytes: more than the broadcast, or the buffer, can take.
    TooLong(usize),
    /// The publisher does not wait for this subscriber any more, and has overwritten what it had not received.
    Dropped,
    Damaged,
}

/// What is known of the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process has the role, or none has taken it yet.
    Expected,
    /// It has ended properly.
    Gone,
    /// It died.
    Died,
}

impl Peer {
    fn check(self) -> Result<(), BroadcastError> {
        match self {
            Peer::Expected => Ok(()),
            Peer::Gone => Err(BroadcastError::Closed),
            Peer::Died => Err(BroadcastError::PeerDied),
        }
    }
}

/// Returns the bytes that a broadcast needs for messages that take so many bytes together: their lines, an eighth
/// more so that `floor` moves in steps, and a line for the 0 behind them. `None` if none is as large.
pub fn room_for(capacity: usize) -> Option<usize> {
    let lines = capacity.checked_add(HEADER)?.div_ceil(LINE);
    (capacity <= CAPACITY_MAX).then(|| (lines + lines.div_ceil(8) + 1) * LINE)
}

impl View<'_> {
    #[inline(always)]
    fn room(&self) -> usize {
        self.area.len()
    }

    /// The offset of a position: the beginning of a line.
    fn offset(&self, pos: u64) -> usize {
        (pos % self.room() as u64) as usize & !(LINE - 1)
    }

    /// The offset behind a frame.
    #[inline(always)]
    fn behind(&self, offset: usize, size: usize) -> usize {
        // The two are below twice the room.
        let next = offset + size;
        if next >= self.room() {
            next - self.room()
        } else {
            next
        }
    }

    /// Returns how many bytes are in use, messages and what they need beside.
    pub fn used(&self) -> usize {
        self.words.used().min(self.room() as u64) as usize
    }

    /// Returns whether bytes at an offset go round the end of the area.
    #[inline(always)]
    pub fn wraps(&self, offset: usize, len: usize) -> bool {
        len > self.room().saturating_sub(offset)
    }

    /// Copies bytes in, also round the end.
    #[inline(always)]
    pub fn write(&self, offset: usize, bytes: Source) {
        if self.wraps(offset, bytes.len()) {
            let (first, rest) = bytes.split_at(self.room().saturating_sub(offset));
            self.area.write(offset, first);
            self.area.write(0, rest);
        } else {
            self.area.write(offset, bytes);
        }
    }

    /// Copies bytes out, also round the end.
    #[inline(always)]
    pub fn read(&self, offset: usize, buffer: Buffer) {
        if self.wraps(offset, buffer.len()) {
            let to_end = self.room().saturating_sub(offset);
            if let Some(first) = buffer.part(0, to_end) {
                self.area.read(offset, first);
            }
            self.area.read(0, buffer.behind(to_end));
        } else {
            self.area.read(offset, buffer);
        }
    }

    /// The slots that the publisher waits for: their places and positions.
    fn members(&self) -> impl Iterator<Item = (usize, u64)> {
        // Acquire: with the bit comes the position that was stored before it.
        let mut bits = self.words.members.members.load(Acquire);
        let slots = self.slots;
        core::iter::from_fn(move || {
            let slot = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            // Acquire: what the subscriber has released it no longer reads.
            let pos = slots.get(slot)?.pos.load(Acquire);
            Some((slot, pos))
        })
    }

    /// Ends the membership of a slot: the publisher no longer waits for it. Only for a process that has its claim.
    pub fn leave(&self, slot: usize) {
        let Some(line) = self.slots.get(slot) else {
            return;
        };
        // Release: what the subscriber has read, it has read before.
        line.pos.store(LEFT, Release);
        // Release: one that is taken for dead and reads what is written from here on, and then does its acquire fence,
        // sees that.
        fence(Release);
        self.words.members.members.fetch_and(!(1 << slot), Release);
        // The publisher may sleep on it.
        atomic::wake(&line.pos);
    }

    /// Wakes the subscribers, because something other than a message has come.
    pub fn wake_subscribers(&self) {
        let offset = self.offset(self.words.published.tail.load(Acquire));
        self.words.asleep.sleepers.wake_all(self.area.word(offset));
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
