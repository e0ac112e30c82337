//! Messages from one process to every subscriber.
//!
//! | file | what |
//! |---|---|
//! | `publisher` | [`BroadcastPublisher`], and a [`BroadcastSlot`] that is written in place |
//! | `subscriber` | [`Subscriber`], and a [`BroadcastMessage`] that is read in place |
//! | `raw` | the broadcast behind these types and the C functions |

mod publisher;
mod raw;
mod subscriber;

pub use publisher::{BroadcastPublisher, BroadcastSlot};
pub(crate) use raw::{Peeked, PublishEnd, RawBroadcast, SubscribeEnd, look};
pub use subscriber::{BroadcastMessage, BroadcastMessages, Subscriber};

use crate::{Error, Place, kind::LOSSY};
#[cfg(doc)]
use crate::{ErrorKind, Ring};
use std::sync::Arc;

/// Messages from one process to up to 64 subscribers, each of which receives all of them in order. A message has any
/// length up to the capacity.
///
/// ```
/// use shmkey::Broadcast;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a broadcast {}", std::process::id());
/// // In any number of processes:
/// let news = Broadcast::open(&name, 64 << 10)?;
/// let mut reader = news.subscribe()?;
/// let mut another = news.subscribe()?;
///
/// // In the process that publishes:
/// let mut publisher = Broadcast::open(&name, 64 << 10)?.publisher()?;
/// publisher.publish(b"rain at noon")?;
/// drop(publisher); // releases the role, so that the loops of the subscribers end
///
/// for message in &mut reader {
///     assert_eq!(message?, b"rain at noon");
/// }
/// assert_eq!(another.iter().count(), 1);
/// # news.remove()
/// # }
/// ```
///
/// *Lossless or lossy*, which is an [option](BroadcastOptions::lossy) of the broadcast:
///
/// - In a lossless broadcast (the default), no subscriber misses a message. When there is no room, the publisher waits
///   for the slowest subscriber; if that has died, the publisher drops it. Without a subscriber, the publisher does not
///   wait, and overwrites the oldest messages. A stopped or slow subscriber delays the publisher, and the error of
///   [`publish_timeout`](BroadcastPublisher::publish_timeout) names its process.
/// - In a lossy broadcast, the publisher never waits: it overwrites the oldest messages. A subscriber that had not
///   received them continues with the oldest message that is left, and [`missed`](Subscriber::missed) counts those that
///   it missed. A subscriber never gets a torn message. Read permission is enough to subscribe.
///
/// *Roles.* There is one [`BroadcastPublisher`] at a time, and up to 64 [`Subscriber`]s; the subscribers of a lossy
/// broadcast that is opened read-only do not count. A subscriber receives what is published after it
/// [subscribed](Broadcast::subscribe), or begins with the [oldest message](Broadcast::subscribe_from_oldest) that is
/// still there.
///
/// *The end.* When the publisher has released its role, each subscriber gets the messages that are left and then
/// [`Closed`](ErrorKind::Closed); if the publisher died instead, [`PeerDied`](ErrorKind::PeerDied). If no process has
/// taken the role yet, the subscribers wait. After that, the broadcast remembers how the role ended, also for later
/// runs of the programs: if a subscriber starts before the next publisher, receiving fails at once. To make it wait
/// for that publisher, call [`set_keep_waiting`](Subscriber::set_keep_waiting), or remove the broadcast at the end of
/// each run. When another process takes the role, the subscribers receive its messages.
///
/// *Deaths.* A process can be killed at any instruction. Subscribers receive every message that was committed, and
/// never see one that was not. A process that waits notices the death of the other side within 10 ms during the first
/// 100 ms of its wait, and after that within 300 ms.
///
/// *Removal* works as for a [`Ring`].
///
/// *Waiting* works as for a [`Ring`]: publishing and receiving make no system call unless a thread sleeps or must
/// sleep. A subscriber of a broadcast that is opened read-only cannot announce that it sleeps, so the publisher does
/// not wake it: it notices a message within 8 ms during the first 100 ms of its wait, and after that within 250 ms.
///
/// *Threads*: several threads may use a `Broadcast`; one thread at a time uses a `BroadcastPublisher` or a
/// `Subscriber`. *Fork*: a child has none of its parent's roles. *Exec*: release a role before it, as for a ring.
/// *Signals*: no method is safe in a signal handler; see
/// [`Subscriber::set_interruptible`](crate::Subscriber::set_interruptible).
///
/// *Memory:* at most 5888 bytes plus 9/8 of the capacity. A message takes its length plus 16 bytes, rounded up to a
/// multiple of 64. After opening, only reserving and peeking allocate memory: for a message that wraps around the end
/// of the broadcast's memory, and for a peeked message of a lossy broadcast.
#[derive(Clone, Debug)]
pub struct Broadcast {
    raw: Arc<RawBroadcast>,
}

/// The options of a [`Broadcast`]: built by [`Broadcast::options`], used by [`open`](BroadcastOptions::open). All
/// processes that open a broadcast must give the same.
///
/// ```
/// use shmkey::Broadcast;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of broadcast options {}", std::process::id());
/// let prices = Broadcast::options().lossy(true).open(&name, 4096)?;
/// let mut slow = prices.subscribe()?;
/// let mut publisher = prices.publisher()?;
/// for price in 0..1000_u32 {
///     publisher.publish(&price.to_ne_bytes())?; // never waits
/// }
/// let mut buffer = [0; 4];
/// slow.recv(&mut buffer)?; // the oldest message that is left
/// assert_eq!(u64::from(u32::from_ne_bytes(buffer)), slow.missed());
/// # prices.remove()
/// # }
/// ```
///
/// What happens if the broadcast is missing, and the permissions of a new one, are options of the [`Place`].
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until `open` is called"]
pub struct BroadcastOptions {
    lossy: bool,
}

impl BroadcastOptions {
    /// Returns the options of a lossless broadcast.
    pub const fn new() -> BroadcastOptions {
        BroadcastOptions { lossy: false }
    }

    /// Sets whether the publisher overwrites the oldest messages when there is no room, instead of waiting.
    pub const fn lossy(mut self, lossy: bool) -> BroadcastOptions {
        self.lossy = lossy;
        self
    }

    /// Opens the broadcast, or creates it. The capacity, from 64 to 2⁴⁴ − 80 bytes, is the length of the longest
    /// message, and the room for all messages together: each takes its length plus 16 bytes, rounded up to a multiple
    /// of 64. A capacity of 0 opens a broadcast that exists, whatever its capacity and options are.
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open); [`WrongLayout`](ErrorKind::WrongLayout) (`EPROTO`) if the
    /// broadcast was created with other options or another capacity; [`InvalidArgument`](ErrorKind::InvalidArgument)
    /// (`EINVAL`) for a capacity out of range; [`ReadOnly`](ErrorKind::ReadOnly) (`EACCES`) if the broadcast is
    /// lossless and this process cannot write it.
    pub fn open(&self, place: impl Into<Place>, capacity: usize) -> Result<Broadcast, Error> {
        let options = if self.lossy { LOSSY } else { 0 };
        let raw = RawBroadcast::open(place.into(), capacity, options)?;
        Ok(Broadcast { raw: Arc::new(raw) })
    }
}

impl Broadcast {
    /// Returns the options with which to open a broadcast.
    pub const fn options() -> BroadcastOptions {
        BroadcastOptions::new()
    }

    /// Opens a lossless broadcast, or creates it. Capacity and errors are those of [`BroadcastOptions::open`].
    pub fn open(place: impl Into<Place>, capacity: usize) -> Result<Broadcast, Error> {
        Broadcast::options().open(place, capacity)
    }

    /// Takes the role of the publisher.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) if a process that is not known to be dead is the publisher, this one
    /// included; [`ReadOnly`](ErrorKind::ReadOnly) (`EACCES`) if this process cannot write;
    /// [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has overwritten the broadcast.
    pub fn publisher(&self) -> Result<BroadcastPublisher, Error> {
        BroadcastPublisher::take(&self.raw)
    }

    /// Subscribes. The subscriber's first message is the next one that is published.
    ///
    /// # Errors
    /// [`LimitReached`](ErrorKind::LimitReached) (`ENOSPC`) if there are 64 subscribers that are not known to be dead;
    /// [`Damaged`](ErrorKind::Damaged) (`EBADMSG`) if another program has overwritten the broadcast;
    /// [`Overtaken`](ErrorKind::Overtaken) (`ESTALE`) if the publisher of a lossy broadcast overwrites messages faster
    /// than this thread finds the subscriber's first one.
    pub fn subscribe(&self) -> Result<Subscriber, Error> {
        Subscriber::join(&self.raw, false)
    }

    /// Subscribes. The subscriber's first message is the oldest one that is not overwritten; if there is none, the next
    /// one that is published.
    ///
    /// # Errors
    /// Those of [`subscribe`](Broadcast::subscribe).
    pub fn subscribe_from_oldest(&self) -> Result<Subscriber, Error> {
        Subscriber::join(&self.raw, true)
    }

    /// Returns the length of the longest message in bytes: the capacity that the broadcast was created with.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.capacity()
    }

    /// Returns whether the broadcast is lossy.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.raw.is_lossy()
    }

    /// Returns the number of bytes that are in use: those of all messages that are not overwritten, with their headers,
    /// even if all subscribers have received them.
    #[must_use]
    pub fn used(&self) -> usize {
        self.raw.view().used()
    }

    /// Returns the number of messages that were published since the broadcast was created.
    #[must_use]
    pub fn published(&self) -> u64 {
        self.raw.view().words.published()
    }

    /// Returns the number of subscribers, at most 64. It includes dead ones until they are dropped, but not those of a
    /// broadcast that is opened read-only.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.raw.subscribers()
    }

    segment_methods!(self, self.raw.object());
}
