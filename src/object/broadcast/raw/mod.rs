//! The broadcast that the Rust types and the C functions share: the object with its words, and its two ends.
//!
//! | file | what |
//! |---|---|
//! | `publish` | the publishing end: publish, reserve, commit |
//! | `subscribe` | the subscribing end: receive, peek, release |

mod publish;
mod subscribe;

pub(crate) use publish::PublishEnd;
pub(crate) use subscribe::{Peeked, SubscribeEnd};

use crate::{
    Error, ErrorKind, Place,
    error::Action,
    holder::{Holder, Life},
    kind::LOSSY,
    object::{Kind, Object, Snapshot, Spec},
    sync::{
        Area, AtomicU32, Claim,
        broadcast::{self, BroadcastWords, MemberWords, SUBSCRIBERS, View},
    },
    sys,
};
use core::{ops::Range, slice};

/// The size of the members' claims, which the payload begins with, in bytes.
const CLAIMS: usize = SUBSCRIBERS * size_of::<Claim>();
/// The size of the claims and the members' words, which are in front of the frames, in bytes.
const FRONT: usize = CLAIMS + SUBSCRIBERS * size_of::<MemberWords>();

/// A broadcast, as both ends use it.
#[derive(Debug)]
pub(crate) struct RawBroadcast {
    object: Object,
    /// The room for the frames in bytes.
    room: usize,
    /// The length of the longest message in bytes.
    capacity: usize,
    options: u32,
}

/// The object's own words.
#[repr(C)]
struct Words {
    publisher: PublisherWords,
    broadcast: BroadcastWords,
}

#[repr(C, align(64))]
struct PublisherWords {
    claim: Claim,
    /// Not 0 once a process has taken the role.
    had: AtomicU32,
}

/// The values of the words of a broadcast.
pub(crate) struct Seen {
    pub used: u64,
    pub published: u64,
    pub publisher: Option<Holder>,
    pub subscribers: Vec<Holder>,
}

/// Reads the words of a broadcast from a copy of its segment.
pub(crate) fn look(snapshot: &Snapshot) -> Seen {
    // SAFETY: the words are atomics, and are valid whatever their bytes are.
    let words: &Words = unsafe { snapshot.words() };
    Seen {
        used: words
            .broadcast
            .used()
            .min(snapshot.size().saturating_sub(FRONT as u64)),
        published: words.broadcast.published(),
        publisher: words.publisher.claim.holder().map(Holder::from_bits),
        subscribers: snapshot
            .payload()
            .take(SUBSCRIBERS)
            .filter(|&bits| bits != 0)
            .map(Holder::from_bits)
            .collect(),
    }
}

/// Returns the size of the payload of a broadcast with this capacity; `None` if no broadcast is as large.
fn payload_for(capacity: usize) -> Option<usize> {
    broadcast::room_for(capacity)?.checked_add(FRONT)
}

impl RawBroadcast {
    /// Opens a broadcast, or creates it. A capacity of 0 opens one that exists, with any capacity and options.
    pub fn open(mut place: Place, capacity: usize, options: u32) -> Result<RawBroadcast, Error> {
        let as_it_is = capacity == 0;
        let (Some(payload), true) = (payload_for(capacity), as_it_is || capacity >= 64) else {
            let error = Error::capacity(Kind::Broadcast, broadcast::CAPACITY_MAX);
            return Err(error.opening(Kind::Broadcast, place.site.name()));
        };
        place.create &= !as_it_is;
        let spec = Spec {
            kind: Kind::Broadcast,
            size: if as_it_is { 0 } else { payload },
            any_size: as_it_is,
            capacity,
            layout: &place.layout,
            options: (!as_it_is).then_some(options),
        };
        // A broadcast of zeroes is an empty one.
        let object = Object::open(&place, &spec, |_| {}).map_err(|error| {
            if as_it_is {
                error.no_broadcast()
            } else {
                error
            }
        })?;
        let found = object.found()?;
        let options = found.options;
        let capacity = usize::try_from(found.capacity).ok();
        let (Some(capacity), Some(room)) = (
            capacity.filter(|&capacity| payload_for(capacity) == Some(found.size)),
            found.size.checked_sub(FRONT),
        ) else {
            return Err(object.error(ErrorKind::Damaged).during(Action::Open));
        };
        if options & LOSSY == 0 {
            object.expect_writable()?;
        }
        sys::barrier::take_part();
        Ok(RawBroadcast {
            object,
            room,
            capacity,
            options,
        })
    }

    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the length of the longest message in bytes.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn is_lossy(&self) -> bool {
        self.options & LOSSY != 0
    }

    fn words(&self) -> &Words {
        // SAFETY: the words are atomics, and are valid whatever their bytes are.
        unsafe { self.object.words() }
    }

    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        let front = self.object.payload();
        let writable = self.object.is_writable();
        View {
            words: &self.words().broadcast,
            // SAFETY: `open` has checked that the payload contains the front. The members' words in it are atomics,
            // valid whatever their bytes are, and 64-byte aligned, as the payload is.
            members: unsafe {
                let members = front.add(CLAIMS).cast::<MemberWords>();
                slice::from_raw_parts(members.as_ptr(), if writable { SUBSCRIBERS } else { 0 })
            },
            // SAFETY: `open` has checked that the payload has `room` bytes behind the front. They are attached as long
            // as the object lives. Only a publisher writes them, and it exists only where the segment is attached for
            // writing.
            area: unsafe { Area::new(front.add(FRONT).as_ptr(), self.room) },
            capacity: self.capacity,
            lossy: self.is_lossy(),
            writable,
        }
    }

    /// Returns the claims of the subscribers.
    fn claims(&self) -> &[Claim] {
        // SAFETY: the payload begins with the claims, 64-byte aligned, which are atomics and valid whatever their bytes
        // are.
        unsafe { slice::from_raw_parts(self.object.payload().as_ptr().cast(), SUBSCRIBERS) }
    }

    /// Returns the number of subscribers, dead or not. Each of them receives what is published from now on.
    pub fn subscribers(&self) -> usize {
        if self.is_lossy() {
            let claims = self.claims().iter();
            claims.filter(|claim| claim.holder().is_some()).count()
        } else {
            // A subscriber that has a claim but has not joined yet does not count.
            self.view().joined_count()
        }
    }

    fn is_dead(&self, holder: u64) -> bool {
        self.object.life(Holder::from_bits(holder)) == Life::Dead
    }

    /// Returns the publisher's holder number for an error; 0 if there is no publisher.
    fn publisher_seen(&self) -> u64 {
        self.words().publisher.claim.holder().unwrap_or(0)
    }

    #[cold]
    fn fail(&self, kind: ErrorKind, action: Action) -> Error {
        self.object.error(kind).during(action)
    }

    /// Returns a range of a message of `size` bytes, if it lies inside the message.
    fn part(
        &self,
        action: Action,
        offset: usize,
        len: usize,
        size: usize,
    ) -> Result<Range<usize>, Error> {
        match offset.checked_add(len) {
            Some(end) if end <= size => Ok(offset..end),
            _ => {
                let error = self.fail(ErrorKind::OutOfRange, action);
                Err(error.outside_message(offset, len, size))
            }
        }
    }
}

/// Extends a buffer to at least `len` bytes.
fn fill(buffer: &mut Vec<u8>, len: usize) -> Result<(), Error> {
    let more = len.saturating_sub(buffer.len());
    buffer.try_reserve(more).map_err(|_| no_memory())?;
    buffer.resize(buffer.len().max(len), 0);
    Ok(())
}

#[cold]
fn no_memory() -> Error {
    Error::new(ErrorKind::OutOfMemory, libc::ENOMEM, "receive")
}
