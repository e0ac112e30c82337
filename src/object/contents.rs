//! What a segment holds, read without using the object.

use crate::{
    Error, Segment,
    holder::{self, Holder},
    kind::{DROP_OLDEST, LOSSY, MANY_SENDERS},
    object::broadcast,
    object::latest,
    object::ring,
    object::{Kind, SNAPSHOT, Snapshot},
    sync::{self, Condition},
};
use std::time::{Duration, SystemTime};

/// What a segment with an object holds at one time, as `shmkey list` shows it. Reading it does not change the
/// object.
///
/// ```
/// use shmkey::{Contents, Holding, Semaphore};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of contents {}", std::process::id());
/// let slots = Semaphore::open(&name, 4)?;
/// let contents = slots.segment().contents()?.expect("it holds an object");
/// assert!(matches!(contents.holding, Holding::Semaphore { value: 4 }));
/// assert_eq!(contents.name, name.as_bytes());
/// # slots.remove()
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Contents {
    /// The name that it was created by; empty if it was created by a path or a key. Any bytes, at most 256.
    pub name: Vec<u8>,
    /// A hash of the file and the project id that it was created by ([`Place::path`](crate::Place::path)), made from
    /// the device, the inode number and the project id. Two files with the same key have different hashes. 0 if it was
    /// created by a name or a key.
    pub file: u64,
    /// The name of its layout; empty if none was given. Any bytes, at most 128.
    pub layout: Vec<u8>,
    /// Whether it is ready for use: the thread that creates it has finished.
    pub ready: bool,
    /// The thread that created it.
    pub creator: Party,
    /// When it was created, to the second.
    pub created_at: Option<SystemTime>,
    /// The size of its payload in bytes.
    pub size: u64,
    /// What it is.
    pub holding: Holding,
}

/// The kind of an object, and its state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Holding {
    /// A [`Mutex`](crate::Mutex).
    Mutex {
        /// The thread that has it locked.
        owner: Option<Party>,
        /// Whether a holder has died, and the value was not marked as consistent since then.
        suspect: bool,
        /// Whether the value is lost: the mutex was unlocked before the value was marked as consistent.
        lost: bool,
    },
    /// A [`Semaphore`](crate::Semaphore).
    Semaphore {
        /// Its count.
        value: u32,
    },
    /// A [`Latest`](crate::Latest).
    Latest {
        /// The version of the newest value: 1 for the first one; 0 if there is none.
        version: u64,
        /// The size of a value in bytes.
        value_size: u32,
        /// The process that has the role of the publisher.
        publisher: Option<Party>,
    },
    /// A [`Ring`](crate::Ring).
    Ring {
        /// The length of the longest message in bytes.
        capacity: u64,
        /// The number of bytes that the messages take that are not released, with their headers.
        used: u64,
        /// The number of messages that were dropped to make room.
        dropped: u64,
        /// Whether it was created for many senders.
        many_senders: bool,
        /// Whether its senders drop the oldest message when there is no room.
        drops_oldest: bool,
        /// The processes that have the role of a sender.
        senders: Vec<Party>,
        /// The process that has the role of the receiver.
        receiver: Option<Party>,
        /// The thread that holds the lock of many senders: it sends, or has a slot reserved.
        sending: Option<Party>,
    },
    /// A [`Broadcast`](crate::Broadcast).
    Broadcast {
        /// The length of the longest message in bytes.
        capacity: u64,
        /// The number of bytes in use: those of the messages that are not overwritten.
        used: u64,
        /// The number of messages that were published.
        published: u64,
        /// Whether its publisher overwrites the oldest messages and does not wait.
        lossy: bool,
        /// The process that has the role of the publisher.
        publisher: Option<Party>,
        /// The processes that subscribe, once for each of their subscribers; without those that may only read.
        subscribers: Vec<Party>,
    },
    /// An [`RwLock`](crate::RwLock).
    RwLock {
        /// The thread that has it locked for writing.
        writer: Option<Party>,
        /// The thread that is next, and waits for the readers to unlock it.
        next: Option<Party>,
        /// The threads that have it locked for reading.
        readers: Vec<Party>,
        /// Whether a writer has died, and the value was not marked as consistent since.
        suspect: bool,
        /// Whether the value is lost: a writer unlocked it without that.
        lost: bool,
    },
    /// A [`Condvar`](crate::Condvar).
    Condvar {
        /// The number of notifications, modulo 2³¹.
        notifications: u32,
        /// Whether a thread waits. May stay true after the last wait, until the next notification.
        waited_for: bool,
    },
}

/// A process or a thread that has created an object, or that holds a lock or a role of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Party {
    /// Its id, in its own PID namespace.
    pub id: u32,
    /// Whether its id may belong to another PID namespace than that of this process: true if it is not dead, and
    /// its id is not known to belong to this namespace.
    pub elsewhere: bool,
    /// The result of its liveness check.
    pub life: Life,
}

/// The result of a liveness check of a process or a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It is live.
    Live,
    /// It has ended; the kernel may have given its id to another process or thread.
    Dead,
    /// The kernel does not say: for example, it belongs to another PID namespace.
    Unknown,
}

impl From<holder::Life> for Life {
    fn from(life: holder::Life) -> Life {
        match life {
            holder::Life::Live => Life::Live,
            holder::Life::Dead => Life::Dead,
            holder::Life::Unknown => Life::Unknown,
        }
    }
}

impl Contents {
    /// The number of bytes at the beginning of a segment that [`of`](Contents::of) reads.
    pub const LEN: usize = SNAPSHOT;

    /// Returns what the first bytes of a segment hold: a copy of [`LEN`](Contents::LEN) of them, or of all if
    /// there are fewer. `None` if they are not an object of this version of the library, created on a machine
    /// with this byte order and pointer width.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Contents> {
        let snapshot = Snapshot::new(bytes);
        let holding = holding(&snapshot, snapshot.kind()?);
        let created = Duration::from_secs(snapshot.created());
        Some(Contents {
            name: snapshot.name(),
            file: snapshot.file(),
            layout: snapshot.layout(),
            ready: snapshot.is_ready(),
            creator: party(&snapshot, snapshot.creator()),
            created_at: SystemTime::UNIX_EPOCH.checked_add(created),
            size: snapshot.size(),
            holding,
        })
    }

    /// Returns whether a segment of this size, in bytes, may have been created for an object. Such a size is 1
    /// more than a multiple of 64, which few other sizes are, so a tool that lists all segments attaches only
    /// these.
    #[must_use]
    pub fn may_be_in(size: usize) -> bool {
        size > 1024 && size % 64 == 1
    }
}

impl Segment {
    /// Returns what the segment holds; `None` if it does not begin with an object of this library. Attaches the
    /// segment and detaches it again, which changes the times and the last process in its status.
    ///
    /// # Errors
    /// Those of [`attach_read_only`](Segment::attach_read_only).
    pub fn contents(&self) -> Result<Option<Contents>, Error> {
        let memory = self.attach_read_only()?;
        let mut bytes = vec![0; memory.size()?.min(Contents::LEN)];
        memory.read_at(0, &mut bytes)?;
        Ok(Contents::of(&bytes))
    }
}

fn holding(snapshot: &Snapshot, kind: Kind) -> Holding {
    match kind {
        Kind::Mutex => {
            // SAFETY: a mutex is made of atomics, and every pattern of bytes is valid.
            let lock: &sync::Mutex = unsafe { snapshot.words() };
            let (owner, condition) = lock.look();
            Holding::Mutex {
                owner: owner.map(|owner| party(snapshot, Holder::from_bits(owner))),
                suspect: condition == Condition::Suspect,
                lost: condition == Condition::Lost,
            }
        }
        Kind::Semaphore => {
            // SAFETY: a semaphore is made of atomics, and every pattern of bytes is valid.
            let counter: &sync::Semaphore = unsafe { snapshot.words() };
            Holding::Semaphore {
                value: counter.value(),
            }
        }
        Kind::Latest => {
            let (version, publisher) = latest::look(snapshot);
            Holding::Latest {
                version,
                value_size: snapshot.options(),
                publisher: publisher.map(|holder| party(snapshot, holder)),
            }
        }
        Kind::Ring => {
            let options = snapshot.options();
            let seen = ring::look(snapshot);
            Holding::Ring {
                capacity: snapshot.capacity(),
                used: seen.used,
                dropped: seen.dropped,
                many_senders: options & MANY_SENDERS != 0,
                drops_oldest: options & DROP_OLDEST != 0,
                senders: seen
                    .senders
                    .into_iter()
                    .map(|holder| party(snapshot, holder))
                    .collect(),
                receiver: seen.receiver.map(|holder| party(snapshot, holder)),
                sending: seen.sending.map(|holder| party(snapshot, holder)),
            }
        }
        Kind::Broadcast => {
            let seen = broadcast::look(snapshot);
            Holding::Broadcast {
                capacity: snapshot.capacity(),
                used: seen.used,
                published: seen.published,
                lossy: snapshot.options() & LOSSY != 0,
                publisher: seen.publisher.map(|holder| party(snapshot, holder)),
                subscribers: seen
                    .subscribers
                    .into_iter()
                    .map(|holder| party(snapshot, holder))
                    .collect(),
            }
        }
        Kind::RwLock => {
            // SAFETY: a lock is made of atomics, and valid whatever its bytes are.
            let lock: &sync::RwLock = unsafe { snapshot.payload_words() };
            let seen = lock.look();
            let thread = |number| party(snapshot, Holder::from_bits(number));
            Holding::RwLock {
                writer: seen.writer.map(thread),
                next: seen.next.map(thread),
                readers: lock.readers().map(thread).collect(),
                suspect: seen.condition == Condition::Suspect,
                lost: seen.condition == Condition::Lost,
            }
        }
        Kind::Condvar => {
            // SAFETY: it is made of atomics, and valid whatever its bytes are.
            let condvar: &sync::Condvar = unsafe { snapshot.words() };
            let (notifications, waited_for) = condvar.look();
            Holding::Condvar {
                notifications,
                waited_for,
            }
        }
    }
}

fn party(snapshot: &Snapshot, holder: Holder) -> Party {
    let life = snapshot.life(holder).into();
    Party {
        id: holder.id(),
        elsewhere: life != Life::Dead && !snapshot.has_id_here(holder),
        life,
    }
}
