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
//! A frame begins a cache line with two words: its length and kind (see `frame`), and the message's number. Its bytes
//! may wrap at the end of the area; its words never do. The invariant: *the word behind the committed frames is 0*. The
//! publisher writes a frame's bytes and number, a 0 where the next frame will begin, and then the first word, which
//! commits the message. So it may be killed at any instruction: before that last store the message does not exist, and
//! no subscriber looks at what lies behind the 0.
//!
//! Before the publisher overwrites a frame, it moves `floor` beyond it, to the beginning of another frame. A subscriber
//! checks `floor` after it has copied bytes: if `floor` is beyond the frame, the copy is arbitrary, and is discarded.
//!
//! - *Lossy*: the publisher moves `floor` whenever it needs room. A subscriber that was overtaken continues at `floor`;
//!   the numbers tell how many messages it missed. It writes nothing in the segment, so it needs no permission to
//!   write.
//! - *Lossless*: each subscriber is a member: it has a number, a line for its position, and a bit in `joined`. The
//!   publisher moves `floor` up to the slowest member, and waits for it, or drops it if it is dead. A member checks its
//!   own line instead of `floor`: as long as its position stands there, the publisher waits for it.
//!
//! A new member and the publisher must not miss each other: the publisher moves `floor` and then loads `joined`, the
//! member sets its bit and then loads `floor`. Each does a store, a full barrier and a load, so at least one sees the
//! other's store: the publisher waits, or the member moves its position up to `floor`.
//!
//! Positions count bytes ever written, and never overflow. Nothing that is read from the segment is trusted: every
//! offset is reduced to one inside the area, each walk over frames has an end, and a word that no publisher writes is
//! an error.

mod frame;
mod publisher;
mod subscriber;

use super::{
    area::Area,
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
pub const CAPACITY_MAX: usize = LEN_MAX + 1 - LINE - HEADER;

/// The largest number of members at a time: one bit each in a word.
pub const SUBSCRIBERS: usize = 64;

/// The words beside the frames and the members' lines, grouped into cache lines by who writes them and how often.
#[cfg_attr(not(loom), repr(C, align(64)))]
pub struct BroadcastWords {
    published: PublishedWords,
    floor: FloorWords,
    /// Subscribers that sleep until there is a message, on the word at `tail`.
    asleep: SleepersWords,
    joined: JoinedWords,
}

/// Written for each message.
#[cfg_attr(not(loom), repr(C, align(64)))]
struct PublishedWords {
    /// The position of the next frame; after the death of a publisher, perhaps an earlier one.
    tail: AtomicU64,
    /// The number of that frame's message.
    next: AtomicU64,
}

/// Written seldom, because subscribers load it for each message.
#[cfg_attr(not(loom), repr(C, align(64)))]
struct FloorWords {
    /// The position of the first frame that is not overwritten.
    floor: AtomicU64,
}

#[cfg_attr(not(loom), repr(C, align(64)))]
struct SleepersWords {
    sleepers: Sleepers,
}

#[cfg_attr(not(loom), repr(C, align(64)))]
struct JoinedWords {
    /// A bit for each member.
    joined: AtomicU64,
}

/// A member: a subscriber that the publisher waits for. It writes its line, except for one word.
#[cfg_attr(not(loom), repr(C, align(64)), derive(Default))]
pub struct MemberWords {
    /// The position up to which it has released messages; `LEFT` once it has left.
    pos: AtomicU64,
    /// The position up to which the publisher that slept last wanted messages to be released. The publisher writes it.
    wanted: AtomicU64,
    /// The processor that it runs on, plus 1.
    cpu: AtomicU32,
}

/// The position of a member that has left.
const LEFT: u64 = u64::MAX;

impl BroadcastWords {
    /// Returns the number of bytes in use, if the words are intact.
    pub fn used(&self) -> u64 {
        let floor = self.floor.floor.load(Acquire);
        let tail = self.published.tail.load(Acquire);
        tail.saturating_sub(floor)
    }

    /// Returns the number of published messages.
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
            joined: JoinedWords {
                joined: AtomicU64::new(0),
            },
        }
    }
}

#[cfg(loom)]
impl MemberWords {
    pub fn new() -> MemberWords {
        MemberWords {
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
    pub members: &'a [MemberWords],
    /// Of [`room_for`] bytes.
    pub area: Area<'a>,
    /// The longest message, in bytes.
    pub capacity: usize,
    /// Whether the publisher overwrites messages and does not wait.
    pub lossy: bool,
    /// Whether this process may write.
    pub writable: bool,
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroadcastError {
    TimedOut,
    /// There is no room, and this member is the slowest.
    Slow(usize),
    /// The publisher has released its role, and there is nothing left to receive.
    Closed,
    /// The publisher died.
    PeerDied,
    /// The message, of this length in bytes, is longer than the capacity or the buffer.
    TooLong(usize),
    /// The publisher no longer waits for this member, and may have overwritten messages that it had not received.
    Dropped,
    Damaged,
}

/// What is known of the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process has the role, or none has taken it yet.
    Expected,
    /// It has released the role.
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

/// Returns the number of bytes that a broadcast of this capacity needs: the lines of its frames, an eighth more so that
/// `floor` can move in steps, and a line for the 0 behind them. `None` if no broadcast is as large.
pub fn room_for(capacity: usize) -> Option<usize> {
    let lines = capacity.checked_add(HEADER)?.div_ceil(LINE);
    (capacity <= CAPACITY_MAX).then(|| (lines + lines.div_ceil(8) + 1) * LINE)
}

impl View<'_> {
    #[inline(always)]
    fn room(&self) -> usize {
        self.area.len()
    }

    /// Returns the offset of a position: the beginning of a line.
    fn offset(&self, pos: u64) -> usize {
        (pos % self.room() as u64) as usize & !(LINE - 1)
    }

    /// Returns the offset behind a frame.
    #[inline(always)]
    fn behind(&self, offset: usize, size: usize) -> usize {
        // The sum is less than twice the room.
        let next = offset + size;
        if next >= self.room() {
            next - self.room()
        } else {
            next
        }
    }

    /// Returns the number of bytes in use: those of the frames, which are more than those of the messages.
    pub fn used(&self) -> usize {
        self.words.used().min(self.room() as u64) as usize
    }

    /// Returns the members that have joined: their numbers and positions.
    fn joined(&self) -> impl Iterator<Item = (usize, u64)> {
        // Acquire: makes the position visible that was stored before the bit.
        let mut bits = self.words.joined.joined.load(Acquire);
        let members = self.members;
        core::iter::from_fn(move || {
            let member = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            // Acquire: orders the publisher's writes behind the member's reads of what it has released.
            let pos = members.get(member)?.pos.load(Acquire);
            Some((member, pos))
        })
    }

    /// Returns the number of members that have joined.
    pub fn joined_count(&self) -> usize {
        // Acquire: as in `joined`.
        self.words.joined.joined.load(Acquire).count_ones() as usize
    }

    /// Removes a member: the publisher no longer waits for it. Only for a process that has the member's claim.
    pub fn leave(&self, member: usize) {
        let Some(line) = self.members.get(member) else {
            return;
        };
        // Release: orders the member's reads before the publisher's writes.
        line.pos.store(LEFT, Release);
        // Release: a live member that is taken for dead, reads a byte that is written after this fence, and then passes
        // its acquire fence, sees `LEFT`.
        fence(Release);
        self.words.joined.joined.fetch_and(!(1 << member), Release);
        // The publisher may sleep on this position.
        atomic::wake(&line.pos);
    }

    /// Wakes the subscribers for something other than a message: the publisher has released its role.
    pub fn wake_subscribers(&self) {
        let offset = self.offset(self.words.published.tail.load(Acquire));
        self.words.asleep.sleepers.wake_all(self.area.word(offset));
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
