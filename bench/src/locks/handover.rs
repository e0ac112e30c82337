//! The time from one holder of a lock to the next.
//!
//! Each of several threads locks, holds the lock for a while, unlocks, and starts again at once. A hand-over is the
//! time from just before one thread unlocks until just after another thread has locked; it does not count if the
//! same thread locks again. The locks take turns in short rounds, because the scheduler places threads differently from
//! round to round: on one CPU, where the woken thread displaces the one that unlocked, or on two, where the second CPU
//! must wake up first.

use super::{Lock, Section};
use crate::{
    peers::posix,
    processes::{self, Failure, Home, Shared},
    progress::Progress,
    report::{Nanoseconds, Table, significant},
    stopwatch::{Usage, common_time, think},
};
use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

const ROUND: Duration = Duration::from_millis(500);
/// The length of the one round that counts the turns of each thread.
const FAIR: Duration = Duration::from_secs(5);
/// The number of hand-overs of a round that are recorded.
const MOST: usize = 1 << 15;
/// Longer hand-overs count as stalls, in nanoseconds.
const STALL: u32 = 1_000_000;

const OURS: &str = "shmkey::Mutex";
const PTHREAD: &str = "robust pthread mutex";

/// The threads that lock, and for how long.
#[derive(Clone, Copy)]
struct Load {
    workers: usize,
    /// Whether each is a process of its own.
    processes: bool,
    hold: Duration,
    /// Whether the holder computes, instead of sleeping.
    busy: bool,
}

/// The results of one lock's rounds.
#[derive(Default)]
struct Tally {
    /// Each hand-over, in nanoseconds.
    handovers: Vec<u32>,
    /// The turns of each thread, in each round.
    turns: Vec<Vec<u64>>,
    measured: Duration,
    cpu: Duration,
}

/// A kind of lock: its name, and the function that runs a round.
type Peer = (&'static str, fn(&Load, Duration) -> Result<Tally, Failure>);

const MUTEXES: [Peer; 2] = [
    (OURS, run::<shmkey::Mutex<u64>>),
    (PTHREAD, run::<posix::RobustMutex>),
];
const SEMAPHORES: [Peer; 2] = [
    ("shmkey::Semaphore", run::<shmkey::Semaphore>),
    ("sem_t", run::<posix::Semaphore>),
];

/// Returns a table for each load, and one for fairness.
pub fn sections(rounds: usize) -> Vec<Section> {
    let load = |workers, hold, busy| Load {
        workers,
        processes: false,
        hold: Duration::from_micros(hold),
        busy,
    };
    let mut loads = Vec::new();
    for busy in [true, false] {
        for (workers, hold) in [(4, 300), (8, 500), (8, 1000)] {
            loads.push(load(workers, hold, busy));
        }
    }
    loads.push(Load {
        processes: true,
        ..load(4, 300, true)
    });
    let handovers = loads.into_iter().map(|load| Section {
        title: format!("Hand-over: {load}"),
        print: Box::new(move |progress| compare(load, rounds, progress)),
    });
    let fair = Section {
        title: "Fairness: turns in 5 s, all in one round".into(),
        print: Box::new(move |progress| {
            fairness(&[load(8, 500, true), load(8, 500, false)], progress)
        }),
    };
    handovers.chain([fair]).collect()
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {}, each holds it for {} µs, {}",
            self.workers,
            if self.processes {
                "processes"
            } else {
                "threads"
            },
            self.hold.as_micros(),
            if self.busy { "busy" } else { "asleep" },
        )
    }
}

/// Measures all locks in each round, in random order.
fn compare(load: Load, rounds: usize, progress: &Progress) -> Result<(), Failure> {
    let peers = MUTEXES.into_iter().chain(SEMAPHORES);
    let mut tallies: Vec<(Peer, Tally)> = peers.map(|peer| (peer, Tally::default())).collect();
    for round in 1..=rounds {
        let mut order: Vec<usize> = (0..tallies.len()).collect();
        fastrand::shuffle(&mut order);
        for place in order {
            let ((name, run), tally) = &mut tallies[place];
            progress.show(&format!("{load}: round {round} of {rounds}, {name}"));
            tally.add(run(&load, ROUND)?);
        }
    }
    progress.clear();
    for (_, tally) in &mut tallies {
        tally.handovers.sort_unstable();
    }
    print!("{}", table(&tallies));
    let tally_of = |name| tallies.iter().find(|((n, _), _)| *n == name);
    if let (Some((_, ours)), Some((_, theirs))) = (tally_of(OURS), tally_of(PTHREAD)) {
        println!("\n{OURS} / {PTHREAD}: {}.", ratios(ours, theirs));
    }
    Ok(())
}

fn table(tallies: &[(Peer, Tally)]) -> Table {
    let mut table = Table::new([
        "",
        "median",
        "99 %",
        "above 1 ms",
        "hand-overs/s",
        "turns/s",
        "slowest / fastest, median (worst) round",
        "CPU",
    ]);
    for ((name, _), tally) in tallies {
        let seconds = tally.measured.as_secs_f64();
        let fairness = tally.fairness();
        table.row([
            (*name).into(),
            time(tally.at(0.5)),
            time(tally.at(0.99)),
            format!("{:.2} %", 100.0 * tally.stalls()),
            format!("{:.0}", tally.handovers.len() as f64 / seconds),
            format!("{:.0}", tally.turns_a_second()),
            format!("{:.2} ({:.2})", fairness[fairness.len() / 2], fairness[0]),
            format!("{:.2}", tally.cpu.as_secs_f64() / seconds),
        ]);
    }
    table
}

/// Returns the ratios of ours to theirs, and whether they reach their goals.
fn ratios(ours: &Tally, theirs: &Tally) -> String {
    let mut parts = Vec::new();
    for (what, share) in [("median", 0.5), ("99 %", 0.99)] {
        let (Some(ours), Some(theirs)) = (ours.at(share), theirs.at(share)) else {
            parts.push(format!("{what} not measured"));
            continue;
        };
        let ratio = f64::from(ours) / f64::from(theirs);
        let (times, reached) = (significant(ratio), yes(ratio <= 1.5));
        parts.push(format!("{what} × {times} (≤ 1.5: {reached})"));
    }
    let ratio = ours.turns_a_second() / theirs.turns_a_second();
    // The same lock differs by up to a hundredth from run to run.
    parts.push(format!("turns × {ratio:.3} (≥ 1: {})", yes(ratio >= 0.99)));
    parts.join(", ")
}

fn fairness(loads: &[Load], progress: &Progress) -> Result<(), Failure> {
    let mut table = Table::new(["", "slowest", "fastest", "ratio", "at least 1/3"]);
    for load in loads {
        for (name, run) in MUTEXES {
            progress.show(&format!("turns of each: {load}, {name}"));
            let tally = run(load, FAIR)?;
            let (slowest, fastest) = extremes(&tally.turns[0]);
            let ratio = tally.fairness()[0];
            table.row([
                format!("{load}: {name}"),
                slowest.to_string(),
                fastest.to_string(),
                format!("{ratio:.2}"),
                yes(ratio >= 1.0 / 3.0).into(),
            ]);
        }
    }
    progress.clear();
    print!("{table}");
    Ok(())
}

/// Returns the turns of the slowest thread and of the fastest.
fn extremes(turns: &[u64]) -> (u64, u64) {
    let slowest = turns.iter().min().expect("there are threads");
    let fastest = turns.iter().max().expect("there are threads");
    (*slowest, *fastest)
}

fn yes(reached: bool) -> &'static str {
    if reached { "yes" } else { "no" }
}

fn time(nanoseconds: Option<u32>) -> String {
    nanoseconds.map_or("none".into(), |ns| Nanoseconds(ns.into()).to_string())
}

impl Tally {
    fn add(&mut self, round: Tally) {
        self.handovers.extend(round.handovers);
        self.turns.extend(round.turns);
        self.measured += round.measured;
        self.cpu += round.cpu;
    }

    /// Returns the time that this share of the hand-overs does not exceed. They must be sorted.
    fn at(&self, share: f64) -> Option<u32> {
        let place = self.handovers.len() as f64 * share;
        self.handovers.get(place as usize).copied()
    }

    /// Returns the share of hand-overs that are stalls.
    fn stalls(&self) -> f64 {
        let stalls = self.handovers.iter().filter(|&&ns| ns > STALL);
        stalls.count() as f64 / self.handovers.len().max(1) as f64
    }

    fn turns_a_second(&self) -> f64 {
        let turns: u64 = self.turns.iter().flatten().sum();
        turns as f64 / self.measured.as_secs_f64()
    }

    /// Returns, for each round, the turns of the slowest thread divided by those of the fastest. Sorts the ratios.
    fn fairness(&self) -> Vec<f64> {
        let ratio = |turns: &Vec<u64>| {
            let (slowest, fastest) = extremes(turns);
            slowest as f64 / fastest.max(1) as f64
        };
        let mut ratios: Vec<f64> = self.turns.iter().map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }
}

/// What the threads record, each while it holds the lock.
struct Notes {
    /// The time just before the last unlock, on the common clock.
    given: AtomicU64,
    /// The rank of the thread that unlocked, plus 1; 0 at first.
    giver: AtomicU32,
    count: AtomicU32,
    handovers: [AtomicU32; MOST],
}

impl Default for Notes {
    fn default() -> Notes {
        Notes {
            given: AtomicU64::new(0),
            giver: AtomicU32::new(0),
            count: AtomicU32::new(0),
            handovers: [const { AtomicU32::new(0) }; MOST],
        }
    }
}

// Relaxed, everywhere: the lock orders the accesses.
impl Notes {
    fn taken(&self, rank: usize) {
        let now = now();
        let giver = self.giver.load(Relaxed);
        if giver == 0 || giver == rank as u32 + 1 {
            return;
        }
        let count = self.count.load(Relaxed);
        if let Some(place) = self.handovers.get(count as usize) {
            let took = now - self.given.load(Relaxed);
            place.store(took.try_into().unwrap_or(u32::MAX), Relaxed);
            self.count.store(count + 1, Relaxed);
        }
    }

    fn giving(&self, rank: usize) {
        self.giver.store(rank as u32 + 1, Relaxed);
        self.given.store(now(), Relaxed);
    }

    fn read(&self) -> Vec<u32> {
        let count = self.count.load(Relaxed) as usize;
        let times = self.handovers[..count].iter();
        times.map(|time| time.load(Relaxed)).collect()
    }
}

fn now() -> u64 {
    common_time().as_nanos() as u64
}

/// Runs one round.
fn run<L: Lock>(load: &Load, length: Duration) -> Result<Tally, Failure> {
    let lock = L::new()?;
    let notes: Shared<Notes> = Shared::new()?;
    let before = Usage::of_children().cpu;
    let part = |worker: &processes::Worker| {
        worker.meet();
        let end = common_time() + length;
        let mut turns = 0;
        while common_time() < end {
            lock.locked(|| {
                notes.taken(worker.rank);
                if load.busy {
                    think(load.hold);
                } else {
                    thread::sleep(load.hold);
                }
                notes.giving(worker.rank);
            });
            if common_time() <= end {
                turns += 1;
            }
        }
        worker.report(f64::from(turns));
    };
    let homes: Vec<Home> = vec![None; load.workers];
    let turns = if load.processes {
        processes::processes(&homes, part)?
    } else {
        processes::threads(&homes, part)?
    };
    Ok(Tally {
        handovers: notes.read(),
        turns: vec![turns.into_iter().map(|turns| turns as u64).collect()],
        measured: length,
        cpu: Usage::of_children().cpu - before,
    })
}
