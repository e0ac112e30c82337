//! The crate bus: from one thread to several, each of which receives everything.

use super::{Channel, Receiver, Sender};
use crate::processes::Failure;
use bus::BusReader;
use std::sync::{Arc, Mutex, PoisonError};

/// A message is shared by its readers, who copy it out.
type Message = Arc<[u8]>;

/// A bus with this many readers.
pub struct Bus<const READERS: usize> {
    sender: Mutex<Option<bus::Bus<Message>>>,
    readers: Mutex<Vec<BusReader<Message>>>,
}

impl<const READERS: usize> Channel for Bus<READERS> {
    type Sender<'a> = bus::Bus<Message>;
    type Receiver<'a> = BusReader<Message>;

    const THREADS: bool = true;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        let mut bus = bus::Bus::new(capacity / size.max(64));
        let readers = (0..READERS).map(|_| bus.add_rx()).collect();
        Ok(Bus {
            sender: Mutex::new(Some(bus)),
            readers: Mutex::new(readers),
        })
    }
    fn sender(&self) -> bus::Bus<Message> {
        let mut bus = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        bus.take().expect("there is one sender")
    }
    fn receiver(&self) -> BusReader<Message> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.pop().expect("there is one for each reader")
    }
}

impl Sender for bus::Bus<Message> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        self.broadcast(message.into());
    }
}

impl Receiver for BusReader<Message> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        message.copy_from_slice(&self.recv().expect("the sender lives"));
    }
}
