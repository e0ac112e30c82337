//! Ways to carry messages, one file each, all behind the same traits.

#[cfg(feature = "aeron")]
pub mod aeron;
pub mod bare;
#[cfg(feature = "boost")]
pub mod boost;
pub mod bus;
pub mod eventfd;
#[cfg(feature = "iceoryx2")]
pub mod iceoryx;
#[cfg(feature = "iceoryx2")]
pub mod iceoryx_event;
pub mod pipe;
pub mod posix;
pub mod rtrb;
pub mod seqlock;
#[cfg(feature = "shmem-ipc")]
pub mod shmem_ipc;

use crate::processes::Failure;

/// A way from a sender to a receiver. It is made before the processes are forked, and each takes its end.
pub trait Channel: Sync + Sized {
    type Sender<'a>: Sender
    where
        Self: 'a;
    type Receiver<'a>: Receiver
    where
        Self: 'a;

    /// Whether its ends must be threads of one process.
    const THREADS: bool = false;

    /// Makes a channel for messages of this size, with room for this many bytes.
    fn new(size: usize, capacity: usize) -> Result<Self, Failure>;
    fn sender(&self) -> Self::Sender<'_>;
    fn receiver(&self) -> Self::Receiver<'_>;
}

pub trait Sender {
    /// Copies the message in.
    fn send(&mut self, message: &[u8]);

    /// Copies the same message in this many times. Channels that can send several at once override this.
    #[inline]
    fn send_many(&mut self, message: &[u8], count: u64) {
        for _ in 0..count {
            self.send(message);
        }
    }
}

pub trait Receiver {
    /// Copies a message of this size out.
    fn recv(&mut self, message: &mut [u8]);

    /// Copies this many messages out, one over the other. Channels that can receive several at once override this.
    #[inline]
    fn recv_many(&mut self, message: &mut [u8], count: u64) {
        for _ in 0..count {
            self.recv(message);
        }
    }
}

/// Calls `step` with up to `most` messages at a time, until it has done this many; it returns with how many it has.
#[inline]
pub fn in_batches(count: u64, most: usize, mut step: impl FnMut(usize) -> usize) {
    let mut left = count as usize;
    while left > 0 {
        left -= step(left.min(most));
    }
}

/// A way there and a way back. Side 0 sends first.
pub trait Duplex: Sync + Sized {
    type End<'a>: Sender + Receiver
    where
        Self: 'a;

    const THREADS: bool = false;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure>;
    fn end(&self, side: usize) -> Self::End<'_>;
}

/// Two channels, one in each direction.
pub struct Two<C> {
    there: C,
    back: C,
}

pub struct TwoEnds<S, R>(S, R);

impl<C: Channel> Duplex for Two<C> {
    type End<'a>
        = TwoEnds<C::Sender<'a>, C::Receiver<'a>>
    where
        C: 'a;

    const THREADS: bool = C::THREADS;

    fn new(size: usize, capacity: usize) -> Result<Self, Failure> {
        Ok(Two {
            there: C::new(size, capacity)?,
            back: C::new(size, capacity)?,
        })
    }

    fn end(&self, side: usize) -> Self::End<'_> {
        if side == 0 {
            TwoEnds(self.there.sender(), self.back.receiver())
        } else {
            TwoEnds(self.back.sender(), self.there.receiver())
        }
    }
}

impl<S: Sender, R> Sender for TwoEnds<S, R> {
    #[inline]
    fn send(&mut self, message: &[u8]) {
        self.0.send(message);
    }
}

impl<S, R: Receiver> Receiver for TwoEnds<S, R> {
    #[inline]
    fn recv(&mut self, message: &mut [u8]) {
        self.1.recv(message);
    }
}
