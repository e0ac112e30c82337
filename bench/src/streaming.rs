//! The time of a message in a stream without pauses.

use crate::{
    peers::{Channel, Receiver, Sender},
    processes::{self, Cpus, Failure, Home},
    stopwatch::{Amount, time},
};

#[derive(Clone, Copy, Debug)]
pub struct Streaming {
    /// The size of a message in bytes.
    pub size: usize,
    /// The number of senders, all on the first CPU.
    pub senders: usize,
    /// Each of them gets all messages. All on the second CPU.
    pub receivers: usize,
    /// Whether each process is bound to its CPU.
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

    /// Returns the room that all peers get: as much as stays in the caches, and at least 16 messages.
    fn capacity(self) -> usize {
        (16 * self.size).max(256 << 10)
    }

    /// Streams, and returns the nanoseconds between two messages at the receiver.
    pub fn measure<C: Channel>(self, cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
        let channel = C::new(self.size, self.capacity())?;
        let home = |cpu| self.pinned.then_some(cpu);
        let mut homes: Vec<Home> = vec![home(cpus.0); self.senders];
        homes.extend(vec![home(cpus.1); self.receivers]);
        let senders = self.senders as u64;
        let warm_up = amount.batch.max((2 * self.capacity() / self.size) as u64);
        let each = (warm_up + amount.total()).div_ceil(senders);
        let part = |worker: &processes::Worker| {
            let mut message = vec![worker.rank as u8; self.size];
            if worker.rank < self.senders {
                let mut sender = channel.sender();
                worker.meet();
                sender.send_many(&message, each);
                worker.meet();
            } else {
                let mut receiver = channel.receiver();
                worker.meet();
                receiver.recv_many(&mut message, warm_up);
                let result = time(amount, |count| receiver.recv_many(&mut message, count));
                let rest = each * senders - warm_up - amount.total();
                receiver.recv_many(&mut message, rest);
                worker.meet();
                worker.report(result);
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
