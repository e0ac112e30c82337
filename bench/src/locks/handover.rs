//! How long a lock takes from one thread to the next.
//!
//! Each of several threads locks, holds for a while, unlocks, and begins anew at once. The hand-over
//! is the time from just before one unlocks until just after another has locked; a thread that gets
//! its own lock back hands nothing over. The locks that are compared take turns in short rounds, as
//! the scheduler places the same threads differently from round to round: on one CPU, where the
//! woken thread displaces the one that unlocked, or on two, where it comes out of a sleeping CPU.

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
/// How long one round lasts where the turns of each thread count.
const FAIR: Duration = Duration::from_secs(5);
/// More hand-overs than this in a round are not recorded.
const MOST: usize = 1 << 15;
/// In nanoseconds: what counts as a stall.
const LONG: u32 = 1_000_000;

const OURS: &str = "shmkey::Mutex";
const PTHREAD: &str = "robust pthread mutex";

/// Who locks, and for how long.
#[derive(Clone, Copy)]
struct Scene {
    players: usize,
    /// Whether they are processes instead of threads of one.
    processes: bool,
    hold: Duration,
    /// Whether the holder computes, instead of sleeping.
    busy: bool,
}

/// What the rounds of one lock gave.
#[derive(Default)]
struct Tally {
    /// Each hand-over, in nanoseconds.
    handovers: Vec<u32>,
    /// The turns of each thread, in each round.
    turns: Vec<Vec<u64>>,
    measured: Duration,
    cpu: Duration,
}

type Play = fn(&Scene, Duration) -> Result<Tally, Failure>;

/// One of those that are compared.
type Peer = (&'static str, Play);

const MUTEXES: [Peer; 2] = [
    (OURS, play::<shmkey::Mutex<u64>>),
    (PTHREAD, play::<posix::RobustMutex>),
];
const SEMAPHORES: [Peer; 2] = [
    ("shmkey::Semaphore", play::<shmkey::Semaphore>),
    ("sem_t", play::<posix::Semaphore>),
];

/// A table for each scene, and one for fairness.
pub fn sections(rounds: usize) -> Vec<Section> {
    let scene = |players, hold, busy| Scene {
        players,
        processes: false,
        hold: Duration::from_micros(hold),
        busy,
    };
    let mut scenes = Vec::new();
    for busy in [true, false] {
        for (players, hold) in [(4, 300), (8, 500), (8, 1000)] {
            scenes.push(scene(players, hold, busy));
        }
    }
    scenes.push(Scene {
        processes: true,
        ..scene(4, 300, true)
    });
    let handovers = scenes.into_iter().map(|scene| Section {
        title: format!("Hand-over: {scene}"),
        print: Box::new(move |progress| compare(scene, rounds, progress)),
    });
    let fair = Section {
        title: "Fairness: turns in 5 s, all in one round".into(),
        print: Box::new(move |progress| {
            fairness(&[scene(8, 500, true), scene(8, 500, false)], progress)
        }),
    };
    handovers.chain([fair]).collect()
}

impl std::fmt::Display for Scene {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {}, each holds it for {} µs, {}",
            self.players,
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

/// All locks in turn, in random order, as often as there are rounds.
fn compare(scene: Scene, rounds: usize, progress: &Progress) -> Result<(), Failure> {
    let peers = MUTEXES.into_iter().chain(SEMAPHORES);
    let mut tallies: Vec<(Peer, Tally)> = peers.map(|peer| (peer, Tally::default())).collect();
    for round in 1..=rounds {
        let mut order: Vec<usize> = (0..tallies.len()).collect();
        fastrand::shuffle(&mut order);
        for place in order {
            let ((name, play), tally) = &mut tallies[place];
            progress.show(&format!("{scene}: round {round} of {rounds}, {name}"));
            tally.add(play(&scene, ROUND)?);
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

/// Ours against theirs, with what ours should reach.
fn ratios(ours: &Tally, theirs: &Tally) -> String {
    let mut parts = Vec::new();
    for (what, share) in [("median", 0.5), ("99 %", 0.99)] {
        let ratio = match (ours.at(share), theirs.at(share)) {
            (Some(ours), Some(theirs)) => f64::from(ours) / f64::from(theirs),
            _ => {
                parts.push(format!("{what} not measured"));
                continue;
            }
        };
        parts.push(format!(
            "{what} × {} (≤ 1.5: {})",
            significant(ratio),
            yes(ratio <= 1.5)
        ));
    }
    let ratio = ours.turns_a_second() / theirs.turns_a_second();
    // Two equal locks differ by up to a hundredth from run to run.
    parts.push(format!("turns × {ratio:.3} (≥ 1: {})", yes(ratio >= 0.99)));
    parts.join(", ")
}

fn fairness(scenes: &[Scene], progress: &Progress) -> Result<(), Failure> {
    let mut table = Table::new(["", "slowest", "fastest", "ratio", "at least 1/3"]);
    for scene in scenes {
        for (name, play) in MUTEXES {
            progress.show(&format!("turns of each: {scene}, {name}"));
            let tally = play(scene, FAIR)?;
            let turns = &tally.turns[0];
            let ratio = tally.fairness()[0];
            table.row([
                format!("{scene}: {name}"),
                turns.iter().min().expect("all play").to_string(),
                turns.iter().max().expect("all play").to_string(),
                format!("{ratio:.2}"),
                yes(ratio >= 1.0 / 3.0).into(),
            ]);
        }
    }
    progress.clear();
    print!("{table}");
    Ok(())
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

    /// What this share of the hand-overs, which are sorted, does not exceed.
    fn at(&self, share: f64) -> Option<u32> {
        let place = self.handovers.len() as f64 * share;
        self.handovers.get(place as usize).copied()
    }

    /// The share of hand-overs that took long.
    fn stalls(&self) -> f64 {
        let long = self.handovers.iter().filter(|&&ns| ns > LONG);
        long.count() as f64 / self.handovers.len().max(1) as f64
    }

    fn turns_a_second(&self) -> f64 {
        let turns: u64 = self.turns.iter().flatten().sum();
        turns as f64 / self.measured.as_secs_f64()
    }

    /// The turns of the slowest by those of the fastest, of each round, sorted.
    fn fairness(&self) -> Vec<f64> {
        let ratio = |turns: &Vec<u64>| {
            let slowest = turns.iter().min().expect("all play");
            let fastest = turns.iter().max().expect("all play");
            *slowest as f64 / (*fastest).max(1) as f64
        };
        let mut ratios: Vec<f64> = self.turns.iter().map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }
}

/// What the players write down, each while it has the lock.
struct Notes {
    /// When the lock was last about to be released, on the common clock.
    given: AtomicU64,
    /// By whom: its rank, and one more. 0 at first.
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

// Relaxed, all of it: the lock orders it.
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

/// One round.
fn play<L: Lock>(scene: &Scene, length: Duration) -> Result<Tally, Failure> {
    let lock = L::new()?;
    let notes: Shared<Notes> = Shared::new()?;
    let before = Usage::of_children().cpu;
    let part = |player: &processes::Player| {
        player.meet();
        let end = common_time() + length;
        let mut turns = 0;
        while common_time() < end {
            lock.locked(|| {
                notes.taken(player.rank);
                if scene.busy {
                    think(scene.hold);
                } else {
                    thread::sleep(scene.hold);
                }
                notes.giving(player.rank);
            });
            if common_time() <= end {
                turns += 1;
            }
        }
        player.report(f64::from(turns));
    };
    let homes: Vec<Home> = vec![None; scene.players];
    let turns = if scene.processes {
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
