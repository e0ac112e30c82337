//! An object into which messages are delivered.

use crate::{
    Failure,
    description::{Description, Kind},
    latest::{Latest, is_only_late},
};
use shmkey::{Broadcast, BroadcastPublisher, Error, ErrorKind, Place, Ring, Semaphore, Sender};
use std::time::Duration;

/// An object into which messages are delivered.
pub enum Sink {
    /// A ring, and its sender's role.
    Ring(Ring, Sender),
    /// A broadcast, and its publisher's role.
    Broadcast(Broadcast, BroadcastPublisher),
    /// A latest value. Its publisher's role is taken with the first value.
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
        Ok(match what.kind {
            Kind::Ring => {
                let options = Ring::options();
                let options = options
                    .many_senders(what.options & 1 != 0)
                    .drop_oldest(what.options & 2 != 0);
                let ring = options.open(place, capacity)?;
                let sender = ring.sender()?;
                Sink::Ring(ring, sender)
            }
            Kind::Broadcast => {
                let broadcast = Broadcast::options()
                    .lossy(what.options & 1 != 0)
                    .open(place, capacity)?;
                let publisher = broadcast.publisher()?;
                Sink::Broadcast(broadcast, publisher)
            }
            Kind::Latest => Sink::Latest(Latest::open(
                name,
                what.options as usize,
                &what.layout,
                Some(mode),
            )?),
            Kind::Semaphore => Sink::Semaphore(Semaphore::open(place, 0)?),
        })
    }

    /// Delivers as many messages as there is room for within the timeout; does not wait if that is zero. Returns
    /// their number.
    ///
    /// # Errors
    /// If the object is damaged, or another process has taken over its role.
    pub fn deliver(&mut self, messages: &[&[u8]], timeout: Duration) -> Result<usize, Failure> {
        match self {
            Sink::Ring(_, sender) => or_none(sender.send_batch_timeout(messages, timeout)),
            Sink::Broadcast(_, publisher) => {
                or_none(publisher.publish_batch_timeout(messages, timeout))
            }
            Sink::Latest(latest) => {
                // The other values are older. Each message begins with its version.
                if let Some(newest) = messages.last() {
                    latest.publish(newest.get(8..).unwrap_or_default())?;
                }
                Ok(messages.len())
            }
            Sink::Semaphore(semaphore) => {
                for posted in 0..messages.len() {
                    if semaphore.post().is_err() {
                        return Ok(posted); // the count has its largest value
                    }
                }
                Ok(messages.len())
            }
        }
    }

    /// Removes the object's segment.
    pub fn remove(&self) {
        // An error is ignored: the object was created just now, and does no harm if it stays.
        let _ = match self {
            Sink::Ring(ring, _) => ring.remove(),
            Sink::Broadcast(broadcast, _) => broadcast.remove(),
            Sink::Latest(latest) => latest.remove(),
            Sink::Semaphore(semaphore) => semaphore.remove(),
        };
    }

    /// Returns whether the object's segment was removed.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        match self {
            Sink::Ring(ring, _) => ring.is_removed().unwrap_or(true),
            Sink::Broadcast(broadcast, _) => broadcast.is_removed().unwrap_or(true),
            Sink::Latest(latest) => latest.is_removed(),
            Sink::Semaphore(semaphore) => semaphore.is_removed().unwrap_or(true),
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
