//! Readers of a reader-writer lock on two processors, and two threads that notify each other in turn.

use super::{Lock, Section, alone, contended};
use crate::{
    nameless::nameless,
    pairs,
    peers::posix,
    processes::{self, Cpus, Failure},
    report::Nanoseconds,
    stopwatch::{Amount, time},
};

const ROUNDS: usize = 31;
const LOCKS: Amount = Amount {
    batch: 5_000,
    batches: 21,
};
const TURNS: Amount = Amount {
    batch: 200,
    batches: 21,
};

type Measure = fn(Cpus, Amount) -> Result<f64, Failure>;

/// A measure of ours, one to compare it with, and the goal for the ratio.
struct Row(&'static str, Measure, Measure, f64);

pub fn sections() -> Vec<Section> {
    let readers = || {
        vec![
            Row(
                "one reader / Mutex",
                alone::<Idle>,
                alone::<shmkey::RwLock<u64>>,
                1.2,
            ),
            Row(
                "one reader / pthread_rwlock",
                alone::<posix::RwLock>,
                alone::<shmkey::RwLock<u64>>,
                1.2,
            ),
            Row(
                "two readers, two CPUs / pthread_rwlock",
                contended::<posix::RwLock>,
                contended::<shmkey::RwLock<u64>>,
                1.0,
            ),
        ]
    };
    let turns = || {
        vec![
            Row(
                "ping-pong, two CPUs / pthread_cond",
                ping_pong::<posix::Turn>,
                ping_pong::<Turn>,
                1.1,
            ),
            Row(
                "ping-pong, one CPU / pthread_cond",
                |cpus, amount| ping_pong::<posix::Turn>(Cpus(cpus.0, cpus.0), amount),
                |cpus, amount| ping_pong::<Turn>(Cpus(cpus.0, cpus.0), amount),
                1.1,
            ),
        ]
    };
    vec![
        section("Reader-writer lock: read and unlock", LOCKS, readers),
        section("Condition variable: one turn", TURNS, turns),
    ]
}

fn section(title: &str, amount: Amount, rows: fn() -> Vec<Row>) -> Section {
    Section {
        title: title.into(),
        print: Box::new(move |progress| {
            println!("| | theirs | ours | ratio (quartiles) | goal |\n|---|--:|--:|--:|--:|");
            let cpus = Cpus::first_two()?;
            for Row(name, theirs, ours, goal) in rows() {
                progress.show(&format!("measuring {name}"));
                let [[_, theirs, _], [_, ours, _], [lower, median, upper]] =
                    pairs::alternate(ROUNDS, || theirs(cpus, amount), || ours(cpus, amount))?;
                progress.clear();
                println!(
                    "| {name} | {} | {} | **{median:.3}** ({lower:.3} to {upper:.3}) | {goal} |",
                    Nanoseconds(theirs),
                    Nanoseconds(ours)
                );
            }
            Ok(())
        }),
    }
}

/// A mutex whose holder does nothing, as the readers here.
struct Idle(shmkey::Mutex<u64>);

impl Lock for Idle {
    fn new() -> Result<Self, Failure> {
        Lock::new().map(Idle)
    }
    #[inline]
    fn locked(&self, work: impl FnOnce()) {
        self.0.locked(work);
    }
}

impl Lock for shmkey::RwLock<u64> {
    fn new() -> Result<Self, Failure> {
        nameless(|name| shmkey::RwLock::open(name, 0), shmkey::RwLock::remove)
    }
    #[inline]
    fn locked(&self, work: impl FnOnce()) {
        let _guard = self.read().expect("no writer dies");
        work();
    }
}

impl Lock for posix::RwLock {
    fn new() -> Result<Self, Failure> {
        posix::RwLock::new()
    }
    #[inline]
    fn locked(&self, work: impl FnOnce()) {
        self.read();
        work();
        self.unlock();
    }
}

/// A number that two processes raise in turn.
pub trait Turns: Sync + Sized {
    fn new() -> Result<Self, Failure>;
    /// Waits until the number is even or odd as `rank` is, raises it, and notifies the other process.
    fn take(&self, rank: u64);
}

struct Turn {
    turn: shmkey::Mutex<u64>,
    changed: shmkey::Condvar,
}

impl Turns for Turn {
    fn new() -> Result<Self, Failure> {
        Ok(Turn {
            turn: Lock::new()?,
            changed: nameless(|name| shmkey::Condvar::open(name), shmkey::Condvar::remove)?,
        })
    }
    fn take(&self, rank: u64) {
        let guard = self.turn.lock().expect("no owner dies");
        let waited = self
            .changed
            .wait_while(guard, |turn| turn.get() % 2 != rank);
        let mut guard = waited.expect("no owner dies");
        guard.update(|turn| *turn += 1);
        drop(guard);
        self.changed.notify_one();
    }
}

impl Turns for posix::Turn {
    fn new() -> Result<Self, Failure> {
        posix::Turn::new()
    }
    fn take(&self, rank: u64) {
        posix::Turn::take(self, rank);
    }
}

/// Returns the time of one turn of either.
fn ping_pong<T: Turns>(cpus: Cpus, amount: Amount) -> Result<f64, Failure> {
    let turns = T::new()?;
    let results = processes::processes(&[Some(cpus.0), Some(cpus.1)], |worker| {
        let rank = worker.rank as u64;
        let batch = |count| (0..count).for_each(|_| turns.take(rank));
        batch(amount.batch);
        worker.report(time(amount, batch) / 2.0);
    })?;
    Ok(results[0])
}
