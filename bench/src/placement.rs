//! The place of the two CPUs relative to each other.
//!
//! A host moves the CPUs of a virtual machine: to cores that share a cache, to the two halves of one core, or far apart,
//! where the same program is five times slower. So a probe runs before and after each run, and the run counts only
//! if both probes find the CPUs *near*.

use crate::{
    peers::{Duplex, Receiver, Sender, Two, bare::Flag},
    processes::{self, Cpus, Failure, Worker},
    stopwatch::{Amount, time},
};
use std::{
    fmt,
    hint::black_box,
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

/// The bare round trips that count as near by default, in nanoseconds: those between two cores that share a cache.
/// Two halves of one core are faster, and round trips through memory are slower.
pub const NEAR: RangeInclusive<f64> = 75.0..=190.0;

/// A CPU that is half a core becomes slower at least by this factor when the other CPU computes, too; one that is a
/// whole core does not.
const SHARED_FROM: f64 = 1.25;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placement {
    Near,
    /// Both are halves of one core.
    Siblings,
    Far,
    /// The two probes around a run differ.
    Moved,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Placement::Near => "near",
            Placement::Siblings => "siblings",
            Placement::Far => "far",
            Placement::Moved => "moved",
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// The round trip of two flags, one cache line for each direction, in nanoseconds.
    pub bare: f64,
    /// The factor by which one CPU becomes slower when the other computes, too.
    pub slowdown: f64,
}

impl Probe {
    /// Takes a probe, in about three milliseconds.
    pub fn take(cpus: Cpus) -> Result<Probe, Failure> {
        let flags = Two::<Flag>::new(0, 0)?;
        let results = processes::processes(&[Some(cpus.0), Some(cpus.1)], |worker| {
            let bare = ping_pong(worker, &flags);
            worker.report(if worker.rank == 0 {
                bare
            } else {
                slowdown(worker)
            });
            if worker.rank == 0 {
                slowdown(worker);
            }
        })?;
        Ok(Probe {
            bare: results[0],
            slowdown: results[1],
        })
    }

    pub fn placement(&self, near: &RangeInclusive<f64>) -> Placement {
        if self.slowdown > SHARED_FROM || self.bare < *near.start() {
            Placement::Siblings
        } else if self.bare > *near.end() {
            Placement::Far
        } else {
            Placement::Near
        }
    }
}

fn ping_pong(worker: &Worker, flags: &Two<Flag>) -> f64 {
    const AMOUNT: Amount = Amount {
        batch: 1000,
        batches: 7,
    };
    let mut end = flags.end(worker.rank);
    worker.meet();
    let mut round = |count| {
        for _ in 0..count {
            if worker.rank == 0 {
                end.send(&[]);
                end.recv(&mut []);
            } else {
                end.recv(&mut []);
                end.send(&[]);
            }
        }
    };
    round(AMOUNT.batch);
    time(AMOUNT, round)
}

/// Returns the factor by which the worker of rank 1 becomes slower when the other computes, too.
fn slowdown(worker: &Worker) -> f64 {
    worker.meet();
    let alone = if worker.rank == 1 {
        computing()
    } else {
        thread::sleep(Duration::from_micros(400)); // longer than `computing` takes
        0.0
    };
    worker.meet();
    computing() / alone
}

/// Times a computation that uses all units of a core, so that its two halves slow each other down.
fn computing() -> f64 {
    let piece = || {
        let start = Instant::now();
        let mut sums = [1u64, 2, 3, 4, 5, 6];
        for step in 0..4000 {
            for sum in &mut sums {
                *sum = black_box((*sum ^ step).wrapping_add(7));
            }
        }
        black_box(sums);
        start.elapsed().as_nanos() as f64
    };
    // The shortest time: something else has disturbed the longer ones.
    (0..16).map(|_| piece()).fold(f64::INFINITY, f64::min)
}

/// Prints a probe each second, without end.
pub fn watch(cpus: Cpus) -> Result<(), Failure> {
    loop {
        let probe = Probe::take(cpus)?;
        println!(
            "{}: bare round trip {:.0} ns, computing at once costs × {:.2}",
            probe.placement(&NEAR),
            probe.bare,
            probe.slowdown
        );
        thread::sleep(Duration::from_secs(1));
    }
}
