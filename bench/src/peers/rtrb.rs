//! The crate rtrb: a ring between two threads.

use super::{Channel, Receiver, Sender};
use crate::processes::Failure;
use rtrb::{Consumer, Producer, RingBuffer};
use std::{hint, sync::Mutex};

/// A ring of bytes, because messages may have any size.
pub struct Rtrb {
    producer: Mutex<Option<Producer<u8>>>,
    consumer: Mutex<Option<Consumer<u8>>>,
}

impl Channel for Rtrb {
    type Sender<'a> = Producer<u8>;
    type Receiver<'a> = Consumer<u8>;

    const THREADS: bool = true;

    fn new(_: usize, capacity: usize) -> Result<Rtrb, Failure> {
        let (producer, consumer) = RingBuffer::new(capacity);
        Ok(Rtrb {
            producer: Mutex::new(Some(producer)),
            consumer: Mutex::new(Some(consumer)),
        })
    }
    fn sender(&self) -> Producer<u8> {
        let mut end = self.producer.lock().expect("no thread panics");
        end.take().expect("there is one sender")
    }
    fn receiver(&self) -> Consumer<u8> {
        let mut end = self.consumer.lock().expect("no thread panics");
        end.take().expect("there is one receiver")
    }
}

impl Sender for Producer<u8> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        while self.push_entire_slice(message).is_err() {
            hint::spin_loop();
        }
    }
}

impl Receiver for Consumer<u8> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        while self.pop_entire_slice(message).is_err() {
            hint::spin_loop();
        }
    }
}
