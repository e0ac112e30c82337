//! The crate shmem-ipc: a ring of bytes in a memory file, and an eventfd on which each end sleeps.

use super::{Channel, Receiver, Sender};
use crate::processes::Failure;
use shmem_ipc::sharedring;
use std::{fs::File, hint, sync::Mutex};

/// A ring. Its ends spin, or sleep when they have to wait.
pub struct ShmemIpc<const SLEEPS: bool> {
    sender: Mutex<Option<sharedring::Sender<u8>>>,
    capacity: usize,
    memory: File,
    empty: File,
    full: File,
}

pub struct SenderEnd<const SLEEPS: bool>(sharedring::Sender<u8>);
pub struct ReceiverEnd<const SLEEPS: bool>(sharedring::Receiver<u8>);

impl<const SLEEPS: bool> Channel for ShmemIpc<SLEEPS> {
    type Sender<'a> = SenderEnd<SLEEPS>;
    type Receiver<'a> = ReceiverEnd<SLEEPS>;

    fn new(_: usize, capacity: usize) -> Result<Self, Failure> {
        let sender = sharedring::Sender::new(capacity)?;
        Ok(ShmemIpc {
            capacity,
            memory: sender.memfd().as_file().try_clone()?,
            empty: sender.empty_signal().try_clone()?,
            full: sender.full_signal().try_clone()?,
            sender: Mutex::new(Some(sender)),
        })
    }
    fn sender(&self) -> SenderEnd<SLEEPS> {
        let mut sender = self.sender.lock().expect("no thread panics");
        SenderEnd(sender.take().expect("there is one sender"))
    }
    fn receiver(&self) -> ReceiverEnd<SLEEPS> {
        let clone = |file: &File| file.try_clone().expect("a descriptor is free");
        let (memory, empty, full) = (clone(&self.memory), clone(&self.empty), clone(&self.full));
        let receiver = sharedring::Receiver::open(self.capacity, memory, empty, full);
        ReceiverEnd(receiver.expect("the ring was made above"))
    }
}

impl<const SLEEPS: bool> Sender for SenderEnd<SLEEPS> {
    #[inline]
    fn send(&mut self, mut message: &[u8]) {
        while !message.is_empty() {
            if SLEEPS {
                self.0.block_until_writable().expect("the ring is whole");
            }
            let mut copied = 0;
            let copy = |room: *mut u8, size: usize| {
                copied = size.min(message.len());
                // SAFETY: the ring has room for `size` bytes there, which the receiver does not access.
                unsafe { room.copy_from_nonoverlapping(message.as_ptr(), copied) };
                copied
            };
            if SLEEPS {
                self.0.send_raw(copy).expect("the ring is whole");
            } else {
                self.0.sender_mut().send(copy).expect("the ring is whole");
            }
            message = &message[copied..];
            if copied == 0 {
                hint::spin_loop();
            }
        }
    }
}

impl<const SLEEPS: bool> Receiver for ReceiverEnd<SLEEPS> {
    #[inline]
    fn recv(&mut self, mut message: &mut [u8]) {
        while !message.is_empty() {
            if SLEEPS {
                self.0.block_until_readable().expect("the ring is whole");
            }
            let mut copied = 0;
            let copy = |text: *const u8, size: usize| {
                copied = size.min(message.len());
                // SAFETY: the ring has `size` bytes there, which the sender does not access.
                unsafe { text.copy_to_nonoverlapping(message.as_mut_ptr(), copied) };
                copied
            };
            if SLEEPS {
                self.0.receive_raw(copy).expect("the ring is whole");
            } else {
                self.0.receiver_mut().recv(copy).expect("the ring is whole");
            }
            message = &mut message[copied..];
            if copied == 0 {
                hint::spin_loop();
            }
        }
    }
}
