//! How long a message takes when they follow each other without a pause.

use crate::{
    peers::{Channel, Receiver, Sender},
    processes::{self, Cpus, Failure, Home},
    stopwatch::{Amount, time},
};

#[derive(Clone, Copy, Debug)]
pub struct Streaming {
    /// Bytes of a message.
    pub size: usize,
    /// All on the first CPU.
    pub senders: usize,
    /// Each of them gets all messages. All on the second CPU.
    pub receivers: usize,
    /// Whether each is bound to its CPU.
    pub pinned: bool,
}

impl Streaming {
    pub const fn of(size: usize) -> Streaming {
        Streaming {
            size,
            senders: 1,
            receivers: 1,
            pinned: true,
        }
    }

    /// From one to several, on whichever CPU they like.
    pub const fn to(receivers: usize, size: usize) -> Streaming {
        Streaming {
            size,
            senders: 1,
            receivers,
            pinned: receivers == 1,
        }
    }

    pub const fn from(senders: usize, pinned: bool) -> Streaming {
        Streaming {
            size: 64,
            senders,
            receivers: 1,
            pinned,
        }
    }

    /// All peers get the same room: what stays in the caches, and 16 messages at least.
    fn capacity(self) -> usize {
        (16 * self.size).max(256 << 10)
    }

    /// Streams, and gives the nanoseconds between two messages at the slowest receiver.
    pub fn measure<C: Channel>(self, cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
        let channel = C::new(self.size, self.capacity())?;
        let home = |cpu| self.pinned.then_some(cpu);
        let mut homes: Vec<Home> = vec![home(cpus.0); self.senders];
        homes.extend(vec![home(cpus.1); self.receivers]);
        let senders = self.senders as u64;
        let warm_up = amount.batch.max((2 * self.capacity() / self.size) as u64);
        let each = (warm_up + amount.total()).div_ceil(senders);
        let part = |player: &processes::Player| {
            let mut message = vec![player.rank as u8; self.size];
            if player.rank < self.senders {
                let mut sender = channel.sender();
                player.meet();
                for _ in 0..each {
                    sender.send(&message);
                }
                player.meet();
            } else {
                let mut receiver = channel.receiver();
                player.meet();
                receiver.recv_many(&mut message, warm_up);
                let result = time(amount, |count| receiver.recv_many(&mut message, count));
                let rest = each * senders - warm_up - amount.total();
                receiver.recv_many(&mut message, rest);
                player.meet();
                player.report(result);
            }
        };
        let results = if C::THREADS {
            processes::threads(&homes, part)
        } else {
            processes::processes(&homes, part)
        };
        Ok(results?.into_iter().skip(self.senders).fold(0.0, f64::max))
    }
}
