//! An object from which messages are taken.

use super::buffer::Buffer;
use crate::{
    Failure, TICK,
    description::{Description, Kind},
    is_only_late,
    latest::Latest,
    wire::{MOST, ROOM},
};
use shmkey::{Broadcast, Error, ErrorKind, Place, Receiver, Ring, Segment, Semaphore, Subscriber};
use std::{mem, time::Duration};

/// The result of taking messages from an object.
pub enum Taken {
    /// There was no message within the timeout.
    Nothing,
    /// This many messages. Their lengths are in [`Source::lengths`], and their bytes are in the buffer.
    Messages(usize),
    /// One message that is longer than a packet is in [`Source::long`].
    Long,
}

/// An object from which messages are taken.
pub struct Source {
    object: Object,
    /// The segment that it lies in.
    pub segment: Segment,
    /// The lengths of the messages that were taken last.
    pub lengths: Box<[usize; MOST]>,
    /// The long message that was taken last.
    pub long: Vec<u8>,
    opened: u64,
    /// How many messages were missed by subscribers that this bridge has dropped since.
    missed: u64,
    /// How many lost messages `take_lost` has returned.
    counted: u64,
}

enum Object {
    Ring(Ring, Receiver),
    /// Has no subscriber while no bridge wants the messages, so that the publisher does not wait for one.
    Broadcast(Broadcast, Option<Subscriber>),
    /// The version that was read last, and a message: a version and a value.
    Latest(Latest, i64, Vec<u8>),
    Semaphore(Semaphore),
}

impl Source {
    /// Opens the object, and takes the receiver's role of a ring. `opened` counts the objects that this bridge has
    /// opened under the name before: the versions of a latest value begin with 1 in each of them, and those of a
    /// later object are newer.
    ///
    /// # Errors
    /// If the object cannot be opened, or another process has the role.
    pub fn open(name: &str, what: &Description, opened: u64) -> Result<Source, Failure> {
        let place = Place::named(name).create(false).layout(&what.layout);
        let (object, segment) = match what.kind {
            Kind::Ring => {
                let ring = Ring::open(place, 0)?;
                let mut receiver = ring.receiver()?;
                receiver.set_keep_waiting(true);
                let segment = ring.segment();
                (Object::Ring(ring, receiver), segment)
            }
            Kind::Broadcast => {
                let broadcast = Broadcast::open(place, 0)?;
                let segment = broadcast.segment();
                (Object::Broadcast(broadcast, None), segment)
            }
            Kind::Latest => {
                let size = what.options as usize;
                let latest = Latest::open(name, size, &what.layout, None)?;
                let segment = latest.segment();
                (Object::Latest(latest, 0, vec![0; 8 + size]), segment)
            }
            Kind::Semaphore => {
                let semaphore = Semaphore::open(place, 0)?;
                let segment = semaphore.segment();
                (Object::Semaphore(semaphore), segment)
            }
        };
        Ok(Source {
            object,
            segment,
            lengths: Box::new([0; MOST]),
            long: Vec::new(),
            opened,
            missed: 0,
            counted: 0,
        })
    }

    /// Subscribes to a broadcast if other bridges want its messages, and unsubscribes if none does.
    ///
    /// # Errors
    /// Those of [`Broadcast::subscribe`].
    pub fn set_wanted(&mut self, wanted: bool) -> Result<(), Failure> {
        if let Object::Broadcast(broadcast, subscriber) = &mut self.object {
            if !wanted {
                self.missed += subscriber.take().map_or(0, |left| left.missed());
            } else if subscriber.is_none() {
                let joined = subscriber.insert(broadcast.subscribe()?);
                joined.set_keep_waiting(true);
            }
        }
        Ok(())
    }

    /// Makes `take` return the newest value of a latest value once more, for a bridge that has joined.
    pub fn repeat_newest(&mut self) {
        if let Object::Latest(_, seen, _) = &mut self.object {
            *seen = 0;
        }
    }

    /// Waits for messages, and takes all that are ready and fit into the buffer.
    ///
    /// # Errors
    /// If the object is damaged, or another process has taken over its role.
    pub fn take(&mut self, buffer: &mut Buffer, timeout: Duration) -> Result<Taken, Failure> {
        let (lengths, long) = (&mut self.lengths[..], &mut self.long);
        let taken = match &mut self.object {
            Object::Ring(_, receiver) => {
                let taken = receiver.recv_batch_timeout(buffer.room(), lengths, timeout);
                or_long(taken, || receiver.recv_vec_timeout(long, TICK))?
            }
            Object::Broadcast(_, Some(subscriber)) => {
                let taken = subscriber.recv_batch_timeout(buffer.room(), lengths, timeout);
                or_long(taken, || subscriber.recv_vec_timeout(long, TICK))?
            }
            Object::Broadcast(_, None) => Taken::Nothing,
            Object::Latest(latest, seen, message) => {
                let Some(version) = latest.read_newer(*seen, &mut message[8..], timeout)? else {
                    return Ok(Taken::Nothing);
                };
                *seen = version;
                let version = self.opened << 48 | version as u64;
                message[..8].copy_from_slice(&version.to_le_bytes());
                if message.len() > ROOM {
                    long.clone_from(message);
                    return Ok(Taken::Long);
                }
                buffer.room()[..message.len()].copy_from_slice(message);
                lengths[0] = message.len();
                Taken::Messages(1)
            }
            Object::Semaphore(semaphore) => take_posts(semaphore, lengths, timeout)?,
        };
        Ok(taken)
    }

    /// Returns whether a sender of the object may soon have to wait.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        match &self.object {
            Object::Ring(ring, _) => ring.used() > ring.capacity() / 2,
            Object::Broadcast(_, subscriber) => subscriber.is_some(),
            Object::Latest(..) | Object::Semaphore(_) => false,
        }
    }

    /// Returns the number of messages that the object itself has lost since the last call, because it is lossy.
    pub fn take_lost(&mut self) -> u64 {
        let lost = match &self.object {
            Object::Ring(ring, _) => ring.dropped(),
            Object::Broadcast(_, Some(subscriber)) => self.missed + subscriber.missed(),
            _ => self.missed,
        };
        lost.saturating_sub(mem::replace(&mut self.counted, lost))
    }

    /// Returns the number of bytes that wait in a ring; 0 for another object.
    #[must_use]
    pub fn used(&self) -> usize {
        match &self.object {
            Object::Ring(ring, _) => ring.used(),
            _ => 0,
        }
    }
}

/// Returns the messages of a batch, or takes the next message alone if it is longer than the buffer. Its sender may
/// still be writing it.
fn or_long(
    taken: Result<usize, Error>,
    take: impl FnOnce() -> Result<usize, Error>,
) -> Result<Taken, Failure> {
    match taken {
        Ok(count) => return Ok(Taken::Messages(count)),
        Err(error) if error.kind() == ErrorKind::TooLong => match take() {
            Ok(_) => return Ok(Taken::Long),
            Err(error) if is_only_late(error.kind()) => {}
            Err(error) => return Err(error.into()),
        },
        Err(error) if is_only_late(error.kind()) || error.kind() == ErrorKind::Overtaken => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Taken::Nothing)
}

/// Takes posts. Each post is a message without bytes.
fn take_posts(
    semaphore: &Semaphore,
    lengths: &mut [usize],
    timeout: Duration,
) -> Result<Taken, Failure> {
    match semaphore.wait_timeout(timeout) {
        Ok(()) => {}
        Err(error) if is_only_late(error.kind()) => return Ok(Taken::Nothing),
        Err(error) => return Err(error.into()),
    }
    let mut count = 1;
    while count < lengths.len() && semaphore.try_wait().is_ok() {
        count += 1;
    }
    lengths[..count].fill(0);
    Ok(Taken::Messages(count))
}
