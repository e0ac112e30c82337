//! Messages from one process to another, in order and none lost.
//!
//! | file | what |
//! |---|---|
//! | `sender`, `slot` | [`Sender`], and a [`Slot`] that is written in place |
//! | `receiver`, `message` | [`Receiver`], and a [`Message`] that is read in place |
//! | `typed` | [`TypedRing`] and its two ends |
//! | `raw` | what is behind them, and behind the C functions |

mod message;
mod raw;
mod receiver;
mod sender;
mod slot;
mod typed;

pub use message::{Message, MessageReader};
pub(crate) use raw::{RawRing, ReceiveEnd, SendEnd, capacity_of, look};
pub use receiver::{Messages, Receiver};
pub use sender::Sender;
pub use slot::{Slot, SlotWriter};
pub use typed::{TypedReceiver, TypedRing, TypedSender, Values};

use crate::{
    Error, ErrorKind, Place,
    error::Action,
    kind::{DROP_OLDEST, MANY_SENDERS},
    object::Object,
};
use std::sync::Arc;

/// Messages from one process to another: of any length up to the ring's capacity, in order, and
/// none lost.
///
/// ```
/// use shmkey::Ring;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a ring {}", std::process::id());
/// // In one process:
/// let mut sender = Ring::open(&name, 64 << 10)?.sender()?;
/// sender.send(b"hello")?;
/// drop(sender); // releases the role: the receiver's loop ends
///
/// // In another:
/// let ring = Ring::open(&name, 64 << 10)?;
/// for message in &mut ring.receiver()? {
///     assert_eq!(message?, b"hello");
/// }
/// # ring.remove()
/// # }
/// ```
///
/// *Roles.* One process at a time is the [`Receiver`], and one is the [`Sender`]; a ring for
/// [many senders](RingOptions::many_senders) has up to 64. Dropping either releases the role, and the death
/// of its process frees it; then another process can take it. What was sent stays in the ring, also while no
/// process has a role.
///
/// *The end.* When all senders have released their role, the receiver gets the messages that are left and
/// then [`Closed`](ErrorKind::Closed); if one of them died instead, [`PeerDied`](ErrorKind::PeerDied). A
/// sender that waits for room gets the same errors about the receiver. A role that no process has taken yet
/// is no error: the other side waits. When another process takes the role, the ring goes on.
///
/// *Deaths.* A process can be killed at any instruction. A message that was committed is received; one
/// that was not is never seen. A message that the receiver had not released when it died is received by
/// the next receiver, so a message that was in work at that time can be received twice. A process that waits
/// notices the death of the other side within 10 ms during the first 100 ms of its wait, and within 300 ms
/// later.
///
/// *Removal.* [`remove`](Ring::remove), or `shmkey remove`, frees the name at once. The processes that
/// have the ring open keep it and go on; a process that opens the name afterwards gets a new ring, and
/// what it sends is not received from the old one. [`is_removed`](Ring::is_removed) returns whether that
/// has happened: a receiver that has waited for a long time calls it, and if so drops the ring and
/// opens it anew. What is still in the old ring is received there and nowhere else.
///
/// *Waiting* spins for about 30 µs if the other side runs on another processor, lets it run if it was last
/// seen on the same one, and then sleeps. Sending and receiving make no system call unless a thread sleeps
/// or has to. Every call that can wait has three forms: `recv` waits without limit, `try_recv` does not wait
/// and returns [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`), and `recv_timeout` waits for a time on the
/// monotonic clock and returns [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`); a time of zero is `try_recv`.
///
/// *Long messages.* One of more than 16 KiB is published in pieces: the receiver copies the first
/// while the sender still writes the last. One of more than half the capacity may have to wait until
/// the receiver makes a call, also when the ring is empty.
///
/// *Threads*: several threads may use a `Ring`; one thread at a time uses a `Sender` or a `Receiver`. *Fork*: a
/// child has none of its parent's roles. *Exec*: release a role before it; the new program cannot use the
/// role, and keeps it from others unless the process had a token of life, which ends with `exec` (see
/// *Namespaces* of [`Mutex`](crate::Mutex)). *Signals*: no method is safe in a signal handler.
///
/// *Memory:* 1568 bytes and the capacity, of which a message takes 8 bytes and its length rounded up
/// to a multiple of 8 (16 bytes and that, above 16 KiB). Nothing is allocated after opening.
#[derive(Clone, Debug)]
pub struct Ring {
    raw: Arc<RawRing>,
}

/// The options of a [`Ring`]: built by [`Ring::options`], used by [`open`](RingOptions::open). All processes
/// that open a ring must give the same.
///
/// ```
/// use shmkey::Ring;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of ring options {}", std::process::id());
/// let ring = Ring::options().many_senders(true).open(&name, 4096)?;
/// let (mut one, mut other) = (ring.sender()?, ring.sender()?);
/// one.send(b"from one")?;
/// other.send(b"from another")?;
/// # ring.remove()
/// # }
/// ```
///
/// What happens if the ring is missing, and the permissions of a new one, are options of the [`Place`].
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until `open` is called"]
pub struct RingOptions {
    many_senders: bool,
    drop_oldest: bool,
}

impl RingOptions {
    /// Returns the options of a ring for one sender, which waits when there is no room.
    pub const fn new() -> RingOptions {
        RingOptions {
            many_senders: false,
            drop_oldest: false,
        }
    }

    /// Sets whether up to 64 processes can send at a time. They take turns by a lock, so sending takes a
    /// little longer; the lock of a sender that dies is recovered.
    pub const fn many_senders(mut self, many: bool) -> RingOptions {
        self.many_senders = many;
        self
    }

    /// Sets whether a sender that finds no room drops the oldest messages and does not wait.
    /// [`Ring::dropped`] counts them.
    pub const fn drop_oldest(mut self, drop: bool) -> RingOptions {
        self.drop_oldest = drop;
        self
    }

    /// Opens the ring, or makes it. The capacity is the number of bytes of all messages together, and so of
    /// the longest: 64 to 2⁴⁴ − 1. With 0, opens a ring that exists, whatever its capacity and options are.
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open); [`WrongLayout`](ErrorKind::WrongLayout) (`EPROTO`) if
    /// the ring was made with other options or another capacity;
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) (`EINVAL`) for a capacity out of range.
    pub fn open(&self, place: impl Into<Place>, capacity: usize) -> Result<Ring, Error> {
        let options = if self.many_senders { MANY_SENDERS } else { 0 }
            | if self.drop_oldest { DROP_OLDEST } else { 0 };
        let raw = RawRing::open(place.into(), capacity, options)?;
        Ok(Ring { raw: Arc::new(raw) })
    }
}

impl Ring {
    /// Returns the options with which to open a ring.
    pub const fn options() -> RingOptions {
        RingOptions::new()
    }

    /// Opens the ring, or makes it: for one sender, which waits when there is no room. Capacity and errors
    /// are those of [`RingOptions::open`].
    pub fn open(place: impl Into<Place>, capacity: usize) -> Result<Ring, Error> {
        Ring::options().open(place, capacity)
    }

    /// Takes the role of the sender, or of one of the senders.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) if a process that is not dead is the sender, this one included;
    /// [`LimitReached`](ErrorKind::LimitReached) (`ENOSPC`) if a ring for many has 64 senders;
    /// [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has overwritten the ring.
    pub fn sender(&self) -> Result<Sender, Error> {
        Sender::take(&self.raw)
    }

    /// Takes the role of the receiver.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) if a process that is not dead is the receiver, this one included.
    pub fn receiver(&self) -> Result<Receiver, Error> {
        Receiver::take(&self.raw)
    }

    /// Returns the length of the longest message in bytes: the capacity that the ring was made with, rounded
    /// up to a multiple of 8.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.view().capacity
    }

    /// Returns the number of bytes in use now: those of the messages and of the words in front of them.
    #[must_use]
    pub fn used(&self) -> usize {
        self.raw.view().used()
    }

    /// Returns the number of messages that were dropped to make room, since the ring was made.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.raw.view().words.dropped()
    }

    segment_methods!(self, self.raw.object());
}

fn expect_inside(
    object: &Object,
    action: Action,
    offset: usize,
    len: usize,
    size: usize,
) -> Result<(), Error> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => {
            let error = object.error(ErrorKind::OutOfRange).during(action);
            Err(error.outside_message(offset, len, size))
        }
    }
}
