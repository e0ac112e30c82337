//! The time of a message and its answer.

use crate::{
    peers::{Duplex, Receiver, Sender},
    processes::{self, Cpus, Failure},
    stopwatch::{Amount, think, time},
};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    /// Bytes of the message, and of its answer.
    pub size: usize,
    pub same_core: bool,
    /// How long the other side computes before it answers. This time does not count.
    pub thinking: Duration,
}

impl RoundTrip {
    pub const fn of(size: usize) -> RoundTrip {
        RoundTrip {
            size,
            same_core: false,
            thinking: Duration::ZERO,
        }
    }

    /// Returns room for 16 messages, which suffices, and which the warm-up uses from end to end.
    fn capacity(self) -> usize {
        (16 * self.size).max(16 << 10)
    }

    /// Measures round trips. Returns the nanoseconds of one.
    pub fn measure<D: Duplex>(self, cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
        let duplex = D::new(self.size, self.capacity())?;
        let there = Some(cpus.0);
        let homes = [there, if self.same_core { there } else { Some(cpus.1) }];
        let warm_up = amount
            .batch
            .max((2 * self.capacity() / self.size.max(1)) as u64);
        let part = |worker: &processes::Worker| {
            let mut end = duplex.end(worker.rank);
            let mut message = vec![worker.rank as u8; self.size];
            worker.meet();
            if worker.rank == 0 {
                let mut rounds = |count| {
                    for _ in 0..count {
                        end.send(&message);
                        end.recv(&mut message);
                    }
                };
                rounds(warm_up);
                worker.report(time(amount, rounds) - self.thinking.as_nanos() as f64);
            } else {
                for round in 0..warm_up + amount.total() {
                    end.recv(&mut message);
                    if round >= warm_up && !self.thinking.is_zero() {
                        think(self.thinking);
                    }
                    end.send(&message);
                }
            }
            worker.meet(); // neither ends while the other still uses the channel
        };
        let results = if D::THREADS {
            processes::threads(&homes, part)
        } else {
            processes::processes(&homes, part)
        };
        Ok(results?[0])
    }
}
