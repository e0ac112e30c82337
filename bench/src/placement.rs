//! Where the host has placed our two CPUs now.
//!
//! A virtual machine's CPUs are moved: to cores that share a cache, to the two halves of one core,
//! to far ends of the machine. The same program is five times slower there. So each run is
//! bracketed by two probes, and counts only if both say *near*.

use crate::{
    peers::{Duplex, Receiver, Sender, Two, bare::Flag},
    processes::{self, Cpus, Failure, Player},
    stopwatch::{Amount, time},
};
use std::{
    fmt,
    hint::black_box,
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

/// What is taken for near unless told otherwise: nanoseconds of a bare round trip between two
/// cores with one cache. Two halves of one core are faster, what goes through memory is slower.
pub const NEAR: RangeInclusive<f64> = 75.0..=190.0;

/// A core of its own runs at most this much slower when the other runs, too; half a core at least.
const SHARED_FROM: f64 = 1.25;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placement {
    Near,
    /// Both are halves of one core.
    Siblings,
    Far,
    /// It changed between two looks.
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
    /// How much slower one CPU computes when the other does, too.
    pub slowdown: f64,
}

impl Probe {
    /// Looks; that takes three milliseconds.
    pub fn take(cpus: Cpus) -> Result<Probe, Failure> {
        let flags = Two::<Flag>::new(0, 0)?;
        let results = processes::processes(&[Some(cpus.0), Some(cpus.1)], |player| {
            let bare = ping_pong(player, &flags);
            player.report(if player.rank == 0 {
                bare
            } else {
                slowdown(player)
            });
            if player.rank == 0 {
                slowdown(player);
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

fn ping_pong(player: &Player, flags: &Two<Flag>) -> f64 {
    const AMOUNT: Amount = Amount {
        batch: 1000,
        batches: 7,
    };
    let mut end = flags.end(player.rank);
    player.meet();
    let mut round = |count| {
        for _ in 0..count {
            if player.rank == 0 {
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

/// How much slower the one of rank 1 computes when the other does, too.
fn slowdown(player: &Player) -> f64 {
    player.meet();
    let alone = if player.rank == 1 {
        computing()
    } else {
        thread::sleep(Duration::from_micros(400)); // longer than `computing` takes
        0.0
    };
    player.meet();
    computing() / alone
}

/// The time of a computation that fills a core's units, so that its halves feel each other.
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
    // The shortest: what is longer was disturbed by something else.
    (0..16).map(|_| piece()).fold(f64::INFINITY, f64::min)
}

/// Prints what it sees, a line for each second.
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
