//! Messages from one process to another, in order and without loss.
//!
//! | file | what |
//! |---|---|
//! | `sender`, `slot` | [`Sender`], and a [`Slot`] that is written in place |
//! | `receiver`, `message` | [`Receiver`], and a [`Message`] that is read in place |
//! | `typed` | [`TypedRing`] and its two ends |
//! | `raw` | the ring behind these types and the C functions |

mod message;
mod raw;
mod receiver;
mod sender;
mod slot;
mod typed;

pub use message::{Message, MessageReader};
pub(crate) use raw::{Piece, RawRing, ReceiveEnd, SendEnd, look};
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

/// Messages from one process to another: of any length up to the ring's capacity, in order and without loss.
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
/// of its process frees it; then another process can take it. What was sent stays in the ring, even while no
/// process has a role.
///
/// *The end.* When all senders have released their roles, the receiver gets the messages that are left and then
/// [`Closed`](ErrorKind::Closed); or [`PeerDied`](ErrorKind::PeerDied), if one of them died instead. A sender that
/// waits for room gets the same errors if the receiver has released its role or died. As long as no process has taken a
/// role yet, the other side waits. After that, the ring remembers how the role ended, also for later runs of the
/// programs: if a receiver starts before the next sender, receiving from an empty ring fails at once. To make it
/// wait for that sender, call [`set_keep_waiting`](Receiver::set_keep_waiting), or remove the ring at the end of each
/// run. When another process takes the role, it continues where the last one ended.
///
/// *Deaths.* A process can be killed at any instruction. A message that was committed is received; one that was not
/// committed is never received. The next receiver gets the messages that a dead one had not released, so a message that
/// was being processed at that time can be received twice. A process that waits notices the death of the other side
/// within 10 ms during the first 100 ms of its wait, and after that within 300 ms.
///
/// *Removal.* [`remove`](Ring::remove), or `shmkey remove`, frees the name at once. The processes that have the ring
/// open continue to use it; a process that opens the name afterwards gets a new ring, and no message passes from one
/// ring to the other. A receiver that runs for a long time should call [`is_removed`](Ring::is_removed) after each
/// timeout; if that returns true, it drops the ring and opens it again. Messages that are still in the old ring can be
/// received only from the old ring.
///
/// *Waiting* spins for about 30 µs, or yields if the other side last ran on the same processor, and then sleeps.
/// Sending and receiving make no system call unless a thread sleeps or must sleep. Every call that can wait has three
/// forms: `recv` waits without limit, `try_recv` does not wait and returns [`WouldBlock`](ErrorKind::WouldBlock)
/// (`EAGAIN`), and `recv_timeout` waits at most for a time on the monotonic clock, and then returns
/// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`). With a time of zero, it does the same as `try_recv`.
///
/// *Long messages.* A message of more than 16 KiB is sent in pieces: the receiver copies the first pieces while
/// the sender still writes the last.
///
/// *Threads*: several threads may use a `Ring`; one thread at a time uses a `Sender` or a `Receiver`. *Fork*: a
/// child has none of its parent's roles. *Exec*: release a role before it. The new program cannot use the role,
/// but keeps other processes from taking it, unless the process had a token of life, which ends with `exec`
/// (see *Namespaces* of [`Mutex`](crate::Mutex)). *Signals*: no method is safe in a signal
/// handler; see [`Receiver::set_interruptible`].
///
/// *Room.* A message takes its length plus a header of 8 bytes (64 bytes if it is longer than 16 KiB), rounded up to a
/// multiple of 64. There is room for a message if this message and those that are not released take together at most
/// the capacity plus 64 bytes, rounded up to a multiple of 64. So an empty ring has room for a message of the whole
/// capacity.
///
/// *Memory:* at most 2560 bytes plus 5/4 of the capacity. After opening, a sender or receiver allocates memory at most
/// once: a buffer of the ring's size, when it first reserves or peeks at a message that wraps around the end of the
/// ring. A slot of at most an eighth of the capacity, less 8 bytes, never wraps.
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
    /// Returns the options of a ring for one sender, which waits if there is no room.
    pub const fn new() -> RingOptions {
        RingOptions {
            many_senders: false,
            drop_oldest: false,
        }
    }

    /// Sets whether the ring can have up to 64 senders at a time. A lock lets one of them send at a time, so sending
    /// takes longer. The lock is recovered from a sender that dies.
    pub const fn many_senders(mut self, many: bool) -> RingOptions {
        self.many_senders = many;
        self
    }

    /// Sets whether a sender that finds no room drops the oldest messages, instead of waiting. [`Ring::dropped`] counts
    /// them.
    pub const fn drop_oldest(mut self, drop: bool) -> RingOptions {
        self.drop_oldest = drop;
        self
    }

    /// Opens the ring, or creates it. The capacity is the length of the longest message in bytes, and the room for
    /// all messages (see *Room* of [`Ring`]): 64 to 2⁴⁴ − 1. With 0, opens a ring that exists, whatever its capacity
    /// and options are.
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open); [`WrongLayout`](ErrorKind::WrongLayout) (`EPROTO`) if the
    /// ring was created with other options or another capacity; [`InvalidArgument`](ErrorKind::InvalidArgument)
    /// (`EINVAL`) for a capacity out of range.
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

    /// Opens the ring, or creates it, for one sender, which waits if there is no room. The capacity and the errors are
    /// those of [`RingOptions::open`].
    pub fn open(place: impl Into<Place>, capacity: usize) -> Result<Ring, Error> {
        Ring::options().open(place, capacity)
    }

    /// Takes the role of the sender, or of one of the senders. Waits up to 30 µs for a sender that is sending, if the
    /// ring is for many senders, and processes of several PID namespaces have used it.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) if a process that is not known to be dead is the sender, this one included;
    /// [`LimitReached`](ErrorKind::LimitReached) (`ENOSPC`) if a ring for many senders has 64 already;
    /// [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has overwritten the ring.
    pub fn sender(&self) -> Result<Sender, Error> {
        Sender::take(&self.raw)
    }

    /// Takes the role of the receiver.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) if a process that is not known to be dead is the receiver, this one
    /// included.
    pub fn receiver(&self) -> Result<Receiver, Error> {
        Receiver::take(&self.raw)
    }

    /// Returns the length of the longest message in bytes: the capacity that the ring was created with.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.view().capacity
    }

    /// Returns the number of bytes in use now: those of all messages that are not released, with their headers.
    #[must_use]
    pub fn used(&self) -> usize {
        self.raw.view().used()
    }

    /// Returns the number of messages that senders have dropped to make room, since the ring was created.
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
