//! The crate rtrb: a ring between two threads.

use super::{Channel, Receiver, Sender, in_batches};
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

/// The same ring, written and read in chunks of this many messages.
pub struct RtrbChunks<const MESSAGES: usize>(Rtrb);

pub struct ChunkProducer<const MESSAGES: usize>(Producer<u8>);
pub struct ChunkConsumer<const MESSAGES: usize>(Consumer<u8>);

impl<const MESSAGES: usize> Channel for RtrbChunks<MESSAGES> {
    type Sender<'a> = ChunkProducer<MESSAGES>;
    type Receiver<'a> = ChunkConsumer<MESSAGES>;

    const THREADS: bool = true;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        Ok(RtrbChunks(Rtrb::new(size, capacity)?))
    }
    fn sender(&self) -> ChunkProducer<MESSAGES> {
        ChunkProducer(self.0.sender())
    }
    fn receiver(&self) -> ChunkConsumer<MESSAGES> {
        ChunkConsumer(self.0.receiver())
    }
}

impl<const MESSAGES: usize> Sender for ChunkProducer<MESSAGES> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        self.0.send(message);
    }

    #[inline]
    fn send_many(&mut self, message: &[u8], count: u64) {
        let batch = message.repeat(MESSAGES);
        in_batches(count, MESSAGES, |now| {
            self.0.send(&batch[..now * message.len()]);
            now
        });
    }
}

impl<const MESSAGES: usize> Receiver for ChunkConsumer<MESSAGES> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        self.0.recv(message);
    }

    #[inline]
    fn recv_many(&mut self, message: &mut [u8], count: u64) {
        let mut batch = message.repeat(MESSAGES);
        in_batches(count, MESSAGES, |now| {
            self.0.recv(&mut batch[..now * message.len()]);
            now
        });
    }
}
