//! An object into which messages are delivered.

use crate::{
    Failure,
    description::{Description, Kind},
    is_only_late,
    latest::Latest,
};
use shmkey::{
    Broadcast, BroadcastPublisher, Error, ErrorKind, Place, Ring, Segment, Semaphore, Sender,
};
use std::time::Duration;

/// An object into which messages are delivered.
pub struct Sink {
    object: Object,
    /// The segment that it lies in.
    pub segment: Segment,
}

enum Object {
    Ring(Sender),
    Broadcast(BroadcastPublisher),
    /// The publisher's role is taken with the first value.
    Latest(Latest),
    /// A semaphore, which has no roles.
    Semaphore(Semaphore),
}

impl Sink {
    /// Opens the object, or creates it with this mode, and takes its role.
    ///
    /// # Errors
    /// If the object cannot be opened or created, or another process has the role.
    pub fn open(name: &str, what: &Description, mode: u32) -> Result<Sink, Failure> {
        let place = Place::named(name).mode(mode).layout(&what.layout);
        let capacity = what.capacity as usize;
        let (object, segment) = match what.kind {
            Kind::Ring => {
                let options = Ring::options();
                let options = options
                    .many_senders(what.options & 1 != 0)
                    .drop_oldest(what.options & 2 != 0);
                let ring = options.open(place, capacity)?;
                (Object::Ring(ring.sender()?), ring.segment())
            }
            Kind::Broadcast => {
                let options = Broadcast::options().lossy(what.options & 1 != 0);
                let broadcast = options.open(place, capacity)?;
                let publisher = broadcast.publisher()?;
                (Object::Broadcast(publisher), broadcast.segment())
            }
            Kind::Latest => {
                let size = what.options as usize;
                let latest = Latest::open(name, size, &what.layout, Some(mode))?;
                let segment = latest.segment();
                (Object::Latest(latest), segment)
            }
            Kind::Semaphore => {
                let semaphore = Semaphore::open(place, 0)?;
                let segment = semaphore.segment();
                (Object::Semaphore(semaphore), segment)
            }
        };
        Ok(Sink { object, segment })
    }

    /// Delivers as many messages as there is room for within the timeout; does not wait if that is zero. Returns
    /// their number.
    ///
    /// # Errors
    /// If the object is damaged, or another process has taken over its role.
    pub fn deliver(&mut self, messages: &[&[u8]], timeout: Duration) -> Result<usize, Failure> {
        match &mut self.object {
            Object::Ring(sender) => or_none(sender.send_batch_timeout(messages, timeout)),
            Object::Broadcast(publisher) => {
                or_none(publisher.publish_batch_timeout(messages, timeout))
            }
            Object::Latest(latest) => {
                // The other values are older. Each message begins with its version.
                if let Some(newest) = messages.last() {
                    latest.publish(newest.get(8..).unwrap_or_default())?;
                }
                Ok(messages.len())
            }
            Object::Semaphore(semaphore) => {
                for posted in 0..messages.len() {
                    if semaphore.post().is_err() {
                        return Ok(posted); // the count has its largest value
                    }
                }
                Ok(messages.len())
            }
        }
    }
}

fn or_none(sent: Result<usize, Error>) -> Result<usize, Failure> {
    match sent {
        Ok(sent) => Ok(sent),
        Err(error) if is_only_late(error.kind()) => Ok(0),
        // Only a hostile publisher sends a message that is longer than the capacity allows. It counts as delivered.
        Err(error) if error.kind() == ErrorKind::TooLong => Ok(1),
        Err(error) => Err(error.into()),
    }
}
