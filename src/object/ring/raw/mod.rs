//! The ring that the Rust types and the C functions share: the object with its words, and its two ends.
//!
//! | file | what |
//! |---|---|
//! | `send` | the sending end: send, reserve, commit |
//! | `receive` | the receiving end: receive, peek, release |
//! | `piece` | a slot or a message in one piece |
//! | `peers` | what each end knows of the other side: which processes have a role, and which of them live |

mod peers;
mod piece;
mod receive;
mod send;

pub(crate) use {piece::Piece, receive::ReceiveEnd, send::SendEnd};

use crate::{
    Error, ErrorKind, Place,
    error::{Action, What},
    holder::Holder,
    kind::{DROP_OLDEST, MANY_SENDERS},
    object::role::Role,
    object::trust::{Trust, Trusted},
    object::{Kind, Object, Snapshot, Spec},
    sync::{
        Area, AtomicU32, AtomicU64, Claim, Deadline, Mutex,
        keep::{self, Seat, Seats},
        ring::{self, RingError, View},
    },
    sys,
};
use core::slice;
use peers::Watch;
use piece::PieceBuffer;

/// The largest number of senders that a ring for many can have at a time.
const SENDERS: usize = 64;
/// The size of the senders' claims and of their seats, in front of the frames, in bytes.
const CLAIMS: usize = SENDERS * size_of::<Claim>();
const FRONT: usize = CLAIMS + SENDERS * size_of::<Seat>();

/// A ring, as both ends use it.
#[derive(Debug)]
pub(crate) struct RawRing {
    object: Object,
    /// The room for the frames in bytes.
    room: usize,
    /// The length of the longest message in bytes.
    capacity: usize,
    /// What its options say.
    many_senders: bool,
    drops_oldest: bool,
    trust: Trust,
}

/// The object's own words.
#[repr(C)]
struct Words {
    parties: Parties,
    ring: ring::RingWords,
}

#[repr(C, align(64))]
struct Parties {
    /// Taken in turn by the senders of a ring that has many.
    lock: Mutex,
    receiver: Claim,
    /// Not 0 once a process has taken the role.
    had_receiver: AtomicU32,
    had_sender: AtomicU32,
    /// How many times a sender has begun to keep the lock.
    kept: AtomicU64,
}

/// The values of the words of a ring.
pub(crate) struct Seen {
    pub used: u64,
    pub dropped: u64,
    /// The processes that have the role of a sender.
    pub senders: Vec<Holder>,
    pub receiver: Option<Holder>,
    /// The thread that holds the lock of many senders.
    pub sending: Option<Holder>,
}

/// Reads the words of a ring from a copy of its segment.
pub(crate) fn look(snapshot: &Snapshot) -> Seen {
    // SAFETY: the words are atomics, and are valid whatever their bytes are.
    let words: &Words = unsafe { snapshot.words() };
    let owner = words.parties.lock.look().0;
    let sending = owner.map(|owner| match keep::place(owner) {
        Some(place) => snapshot.payload().nth(SENDERS + place).unwrap_or(0),
        None => owner,
    });
    let used = words.ring.used(snapshot.options() & DROP_OLDEST != 0);
    Seen {
        used: used.min(snapshot.size().saturating_sub(FRONT as u64)),
        dropped: words.ring.dropped(),
        senders: snapshot
            .payload()
            .take(SENDERS)
            .filter(|&bits| bits != 0)
            .map(Holder::from_bits)
            .collect(),
        receiver: words.parties.receiver.holder().map(Holder::from_bits),
        sending: sending.filter(|&user| user != 0).map(Holder::from_bits),
    }
}

/// Returns the size of the payload of a ring with this capacity; `None` if no ring is as large.
fn payload_for(capacity: usize) -> Option<usize> {
    ring::room_for(capacity)?.checked_add(FRONT)
}

impl RawRing {
    /// Opens a ring, or creates it. A capacity of 0 opens one that exists, with any capacity and options.
    pub fn open(mut place: Place, capacity: usize, options: u32) -> Result<RawRing, Error> {
        let as_it_is = capacity == 0;
        let (Some(payload), true) = (payload_for(capacity), as_it_is || capacity >= 64) else {
            let error = Error::capacity(Kind::Ring, ring::LEN_MAX);
            return Err(error.opening(Kind::Ring, place.site.name()));
        };
        place.create &= !as_it_is;
        let spec = Spec {
            kind: Kind::Ring,
            size: if as_it_is { 0 } else { payload },
            any_size: as_it_is,
            capacity,
            layout: &place.layout,
            options: (!as_it_is).then_some(options),
        };
        // A ring of zeroes is an empty one.
        let object = Object::open(&place, &spec, |_| {})
            .map_err(|error| if as_it_is { error.no_ring() } else { error })?;
        let found = object.found()?;
        let capacity = usize::try_from(found.capacity).ok();
        let (Some(capacity), Some(room)) = (
            capacity.filter(|&capacity| payload_for(capacity) == Some(found.size)),
            found.size.checked_sub(FRONT),
        ) else {
            return Err(object.error(ErrorKind::Damaged).during(Action::Open));
        };
        sys::barrier::take_part();
        Ok(RawRing {
            object,
            room,
            capacity,
            many_senders: found.options & MANY_SENDERS != 0,
            drops_oldest: found.options & DROP_OLDEST != 0,
            trust: Trust::default(),
        })
    }

    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the room for the frames in bytes: more than the longest message.
    pub fn room(&self) -> usize {
        self.room
    }

    fn words(&self) -> &Words {
        // SAFETY: the words are atomics, and are valid whatever their bytes are.
        unsafe { self.object.words() }
    }

    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        View {
            words: &self.words().ring,
            // SAFETY: `open` has checked that the payload has `room` bytes behind the front; it is attached for writing
            // as long as the object lives.
            area: unsafe { Area::new(self.object.payload().as_ptr().add(FRONT), self.room) },
            capacity: self.capacity,
            drops: self.drops_oldest,
        }
    }

    fn has_many_senders(&self) -> bool {
        self.many_senders
    }

    /// Returns the claims of the senders: one, or all of them.
    fn senders(&self) -> &[Claim] {
        let len = if self.has_many_senders() { SENDERS } else { 1 };
        // SAFETY: the payload begins with the claims, 64-byte aligned, which are atomics and valid whatever their bytes
        // are.
        unsafe { slice::from_raw_parts(self.object.payload().as_ptr().cast(), len) }
    }

    /// Returns the senders' seats, for the lock that one of them may keep.
    fn seats(&self) -> &[Seat] {
        // SAFETY: as in `senders`; `open` has checked that the payload contains the seats behind the claims.
        unsafe {
            let seats = self.object.payload().as_ptr().add(CLAIMS);
            slice::from_raw_parts(seats.cast(), SENDERS)
        }
    }

    /// Returns the threads that use the senders' lock.
    fn sending_threads(&self) -> Seats<'_, Trusted<'_>> {
        Seats {
            threads: self.trust.of(&self.object),
            seats: self.seats(),
        }
    }

    /// Fails in a child of the process that has the role.
    #[inline(always)]
    fn expect_ours(&self, role: &Role, action: Action) -> Result<(), Error> {
        if role.is_ours() {
            Ok(())
        } else {
            Err(self.inherited(action))
        }
    }

    #[cold]
    fn inherited(&self, action: Action) -> Error {
        let error = self.object.error(ErrorKind::Busy).during(action);
        error.with(What::Inherited, 0, self.word_of(action))
    }

    /// Returns the error for a refused operation. `len`: the length of the message to be sent, or of the buffer.
    #[cold]
    fn explain(
        &self,
        refused: RingError,
        deadline: Deadline,
        action: Action,
        len: usize,
        watch: &Watch,
    ) -> Error {
        let sends = matches!(action, Action::Send | Action::Reserve);
        let peer = || {
            if sends {
                self.word_of(Action::Receive)
            } else {
                self.sender_seen(watch)
            }
        };
        let error = match refused {
            RingError::TimedOut => {
                let what = if sends { What::NoRoom } else { What::NoMessage };
                self.object.late(deadline).with(what, len as u64, peer())
            }
            RingError::Closed => {
                let error = self.object.gone(ErrorKind::Closed, deadline);
                error.with(What::Peer, 0, 0)
            }
            RingError::PeerDied => {
                let error = self.object.gone(ErrorKind::PeerDied, deadline);
                error.with(What::Peer, 0, peer())
            }
            RingError::TooLong(message) => {
                let (what, most) = if sends {
                    (What::TooLong, self.view().capacity)
                } else {
                    (What::ShortBuffer, len)
                };
                let error = self.object.error(ErrorKind::TooLong);
                error.with(what, message as u64, most as u64)
            }
            RingError::Damaged => self.object.error(ErrorKind::Damaged),
        };
        error.during(action)
    }
}
