//! What a segment holds, for those who only look.

use crate::{
    Error, Segment,
    object::holder::{self, Holder},
    object::latest,
    object::ring,
    object::{Kind, SNAPSHOT, Snapshot},
    sync::{self, Condition},
};
use std::time::{Duration, SystemTime};

/// What a managed segment holds, as it was when somebody looked. Looking changes nothing.
///
/// ```
/// use shmkey::{Contents, Holding, Semaphore};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of contents {}", std::process::id());
/// let slots = Semaphore::open(name.as_str(), 4)?;
/// let contents = slots.segment().contents()?.expect("it was made by this library");
/// assert!(matches!(contents.holding, Holding::Semaphore { value: 4 }));
/// assert_eq!(contents.name, name.as_bytes());
/// # slots.remove()
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// The name that it was opened by; empty if it was opened by a path or a key. Any bytes, at most
    /// 256.
    pub name: Vec<u8>,
    /// A hash of the file and project id that it was opened by ([`Place::path`](crate::Place::path)),
    /// which differs from those of other files with the same key: of the device, the inode number and
    /// the project id. 0 if it was opened by a name or a key.
    pub file: u64,
    /// The name of its layout; mostly empty. Any bytes, at most 128.
    pub layout: Vec<u8>,
    /// Its maker has got done.
    pub ready: bool,
    /// Who made it.
    pub maker: Party,
    /// When it was made, to the second.
    pub made_at: Option<SystemTime>,
    /// The size of its payload in bytes.
    pub size: u64,
    /// What it is.
    pub holding: Holding,
}

/// What an object is, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holding {
    /// A [`Mutex`](crate::Mutex).
    Mutex {
        /// The thread that has it locked.
        owner: Option<Party>,
        /// An owner has died, and nobody has repaired the value since.
        suspect: bool,
        /// The value was given up: it was unlocked unrepaired.
        lost: bool,
    },
    /// A [`Semaphore`](crate::Semaphore).
    Semaphore {
        /// Its count.
        value: u32,
    },
    /// A [`Latest`](crate::Latest).
    Latest {
        /// The version of the newest value: how many were published.
        version: u64,
        /// The size of a value in bytes.
        value_size: u32,
        /// The process that publishes.
        publisher: Option<Party>,
    },
    /// A [`Ring`](crate::Ring).
    Ring {
        /// The length of the longest message in bytes.
        capacity: u64,
        /// How many bytes are in use, by messages and what they need beside.
        used: u64,
        /// How many messages were dropped to make room.
        dropped: u64,
        /// It is for many senders.
        many_senders: bool,
        /// Its senders drop the oldest message when there is no room.
        drops_oldest: bool,
        /// The processes that send.
        senders: Vec<Party>,
        /// The process that receives.
        receiver: Option<Party>,
        /// The thread that holds the lock of many senders: it sends, or has a slot reserved.
        sending: Option<Party>,
    },
}

/// A process or a thread that has something to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Party {
    /// Its id, in its own PID namespace.
    pub id: u32,
    /// It has not ended, and its id is not known to be one of this process' PID namespace.
    pub elsewhere: bool,
    /// Whether it lives.
    pub life: Life,
}

/// Whether a process or a thread lives, as far as this process can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It lives.
    Alive,
    /// It has ended; its id may be another one's now.
    Dead,
    /// It cannot be told, as across PID namespaces.
    Unknown,
}

impl From<holder::Life> for Life {
    fn from(life: holder::Life) -> Life {
        match life {
            holder::Life::Alive => Life::Alive,
            holder::Life::Dead => Life::Dead,
            holder::Life::Unknown => Life::Unknown,
        }
    }
}

impl Contents {
    /// How many bytes at the beginning of an object there are to look at.
    pub const LEN: usize = SNAPSHOT;

    /// What the first bytes of a segment say: [`LEN`](Contents::LEN) of them, or all that there are,
    /// in a copy. `None` if this is nothing that this version of this library has made on a
    /// machine like this one.
    pub fn of(bytes: &[u8]) -> Option<Contents> {
        let snapshot = Snapshot::new(bytes);
        let holding = holding(&snapshot, snapshot.kind()?);
        let made = Duration::from_secs(snapshot.made());
        Some(Contents {
            name: snapshot.name(),
            file: snapshot.file(),
            layout: snapshot.layout(),
            ready: snapshot.is_ready(),
            maker: party(&snapshot, snapshot.maker()),
            made_at: SystemTime::UNIX_EPOCH.checked_add(made),
            size: snapshot.size(),
            holding,
        })
    }

    /// Whether a segment of this size may have been made for an object, which is worth a look. Such
    /// sizes are 1 more than a multiple of 64, which others seldom are.
    pub fn may_be_in(size: usize) -> bool {
        size > 1024 && size % 64 == 1
    }
}

impl Segment {
    /// What this segment holds, if it was made by this library; `None` if not. The segment is
    /// attached and detached again, which shows in its status as any use of it does.
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
            // SAFETY: a lock is made of atomics, and copes with any bytes.
            let lock: &sync::Mutex = unsafe { snapshot.words() };
            let (owner, condition) = lock.look();
            Holding::Mutex {
                owner: owner.map(|owner| party(snapshot, Holder::from_bits(owner))),
                suspect: condition == Condition::Suspect,
                lost: condition == Condition::Lost,
            }
        }
        Kind::Semaphore => {
            // SAFETY: a counter is made of atomics, and copes with any bytes.
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
            let seen = ring::look(snapshot);
            let options = snapshot.options();
            Holding::Ring {
                capacity: ring::capacity_of(snapshot.size()),
                used: seen.used,
                dropped: seen.dropped,
                many_senders: options & ring::MANY_SENDERS != 0,
                drops_oldest: options & ring::DROP_OLDEST != 0,
                senders: seen
                    .senders
                    .into_iter()
                    .map(|holder| party(snapshot, holder))
                    .collect(),
                receiver: seen.receiver.map(|holder| party(snapshot, holder)),
                sending: seen.sending.map(|holder| party(snapshot, holder)),
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
