//! The kinds of objects, for the objects and for errors about them.

/// What an object is, as a number in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Mutex = 1,
    Semaphore = 2,
    Latest = 3,
    Ring = 4,
    Broadcast = 5,
    RwLock = 6,
    Condvar = 7,
}

impl Kind {
    pub const ALL: [Kind; 7] = [
        Kind::Mutex,
        Kind::Semaphore,
        Kind::Latest,
        Kind::Ring,
        Kind::Broadcast,
        Kind::RwLock,
        Kind::Condvar,
    ];

    /// Returns whether a process that may only read it can use it: a broadcast only if it is lossy, which its own
    /// `open` checks.
    pub fn can_be_read_only(self) -> bool {
        matches!(self, Kind::Latest | Kind::Broadcast)
    }

    /// Returns its name for error messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mutex => "mutex",
            Kind::Semaphore => "semaphore",
            Kind::Latest => "latest value",
            Kind::Ring => "ring",
            Kind::Broadcast => "broadcast",
            Kind::RwLock => "reader-writer lock",
            Kind::Condvar => "condition variable",
        }
    }
}

/// An option of a ring, as a bit in its header: up to 64 processes send at a time.
pub(crate) const MANY_SENDERS: u32 = 1;
/// An option of a ring, as a bit in its header: a sender without room drops the oldest messages.
pub(crate) const DROP_OLDEST: u32 = 2;
/// An option of a broadcast, as a bit in its header: the publisher never waits.
pub(crate) const LOSSY: u32 = 1;
