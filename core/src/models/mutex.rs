//! The mutex: turns, timeouts, deaths, and the watchers among its sleepers.

use super::{
    bounded,
    thread_of_a_lock::{DEAD, Thread, Witness},
};
use crate::sync::{Acquired, Deadline, LockError, Mutex, Threads, let_them_look};
use crate::sys::Instant;
use loom::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, Release},
        },
    },
    thread,
};
use std::time::Duration;

struct Shared {
    lock: Mutex,
    /// Changed by the owner only, by a load and a store.
    turns: AtomicU64,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            lock: Mutex::default(),
            turns: AtomicU64::new(0),
        })
    }

    /// Locks, and changes what the lock protects. Returns false if the deadline has passed.
    fn take_turn(&self, number: u64, deadline: Deadline) -> bool {
        let me = Thread(number);
        if acquire(&self.lock, number, &me, deadline).is_none() {
            return false;
        }
        let turns = self.turns.load(Relaxed);
        self.turns.store(turns + 1, Relaxed);
        self.lock.unlock(&me).unwrap();
        true
    }
}

/// Acquires a lock, and marks its data as consistent. `None` if the deadline has passed.
fn acquire(
    lock: &Mutex,
    number: u64,
    threads: &impl Threads,
    deadline: Deadline,
) -> Option<Acquired> {
    match lock.lock(number, threads, deadline) {
        Err(LockError::TimedOut) => return None,
        Ok(Acquired::OwnerDied) => lock.consistent(threads).unwrap(),
        Ok(Acquired::Clean) => return Some(Acquired::Clean),
        Err(other) => panic!("{other:?}"),
    }
    Some(Acquired::OwnerDied)
}

fn timeout() -> Deadline<'static> {
    Deadline::At(Instant::now() + Duration::from_secs(1))
}

/// Runs these threads, the first one in this thread. Each has a number, a deadline for each turn, and a number of
/// turns. With `dead`, another thread dies with the lock, if it acquires it.
fn check(preemptions: usize, threads: &'static [(u64, Deadline<'static>, u64)], dead: bool) {
    bounded(preemptions, move || {
        let shared = Shared::new();
        let died = dead.then(|| {
            let shared = shared.clone();
            thread::spawn(move || {
                // If it acquires the lock, it ends without unlocking.
                let _ = shared.lock.lock(DEAD, &Thread(DEAD), Deadline::Now);
            })
        });
        let turns = |shared: &Shared, &(number, deadline, turns): &(u64, Deadline, u64)| {
            (0..turns)
                .filter(|_| shared.take_turn(number, deadline))
                .count() as u64
        };
        let (first, others) = threads.split_first().unwrap();
        let others: Vec<_> = others
            .iter()
            .map(|one| {
                let shared = shared.clone();
                thread::spawn(move || turns(&shared, one))
            })
            .collect();
        let mut taken = turns(&shared, first);
        for other in others {
            taken += other.join().unwrap();
        }
        if let Some(died) = died {
            died.join().unwrap();
        }
        assert_eq!(shared.turns.load(Relaxed), taken);
        assert!(shared.take_turn(first.0, Deadline::Now));
    });
}

/// Two threads lock repeatedly: no turn is lost, and each thread is woken.
#[test]
fn two_take_turns() {
    check(
        3,
        &[(8, Deadline::Never, 2), (16, Deadline::Never, 2)],
        false,
    );
}

/// Each unlock wakes at most one thread. All three get their turns, even if an unlock leaves the lock to a thread that
/// has slept.
#[test]
fn three_take_turns() {
    check(
        2,
        &[
            (8, Deadline::Never, 2),
            (16, Deadline::Never, 2),
            (24, Deadline::Never, 1),
        ],
        false,
    );
}

/// One thread times out, perhaps right after it was woken: the others are woken nevertheless.
#[test]
fn one_of_three_times_out() {
    let threads = Box::leak(Box::new([
        (8, Deadline::Never, 1),
        (16, timeout(), 1),
        (24, Deadline::Never, 1),
    ]));
    check(2, threads, false);
}

/// The deadline of one thread has passed when it is woken, and another thread may take the lock before it, or change
/// its word: the others are woken nevertheless.
#[test]
fn one_of_three_is_woken_too_late() {
    let over = Deadline::At(Instant::now());
    let threads = Box::leak(Box::new([
        (8, Deadline::Never, 2),
        (16, over, 1),
        (24, Deadline::Never, 1),
    ]));
    check(2, threads, false);
}

/// An owner is dead, or dies while other threads lock.
#[test]
fn two_threads_recover_the_lock_of_a_dead_owner() {
    check(
        2,
        &[(8, Deadline::Never, 1), (16, Deadline::Never, 1)],
        true,
    );
}

#[test]
fn a_thread_that_times_out_may_recover_the_lock_of_a_dead_owner() {
    let threads = Box::leak(Box::new([(8, Deadline::Never, 1), (16, timeout(), 1)]));
    check(2, threads, true);
}

/// A lock that the thread [`DEAD`] holds, and the number of deaths so far.
#[derive(Clone)]
struct Held {
    lock: Arc<Mutex>,
    deaths: Arc<AtomicU64>,
}

impl Held {
    fn new() -> Held {
        let held = Held {
            lock: Arc::new(Mutex::default()),
            deaths: Arc::new(AtomicU64::new(0)),
        };
        held.acquire(DEAD, Deadline::Now);
        held
    }

    fn acquire(&self, number: u64, deadline: Deadline) -> Option<Acquired> {
        acquire(&self.lock, number, &self.witness(number), deadline)
    }

    fn take_turn(&self, number: u64, deadline: Deadline) -> Option<Acquired> {
        let acquired = self.acquire(number, deadline)?;
        self.lock.unlock(&self.witness(number)).unwrap();
        Some(acquired)
    }

    fn witness(&self, number: u64) -> Witness {
        Witness(number, self.deaths.clone())
    }

    fn spawn<T: 'static>(&self, part: impl FnOnce(Held) -> T + 'static) -> thread::JoinHandle<T> {
        let held = self.clone();
        thread::spawn(move || part(held))
    }
}

/// One thread may sleep when the owner dies, and another one recovers the lock. The sleeper is woken, and one of the
/// two gets `OwnerDied`.
#[test]
fn one_sleeps_while_the_owner_dies() {
    bounded(2, || {
        let held = Held::new();
        let sleeper = held.spawn(|held| held.take_turn(8, Deadline::Never).unwrap());
        held.deaths.store(1, Relaxed);
        let acquired = [
            held.take_turn(16, Deadline::Never).unwrap(),
            sleeper.join().unwrap(),
        ];
        let notified = acquired.iter().filter(|&&how| how == Acquired::OwnerDied);
        assert_eq!(notified.count(), 1);
    });
}

/// Of two sleepers, one watches the owner. It times out, perhaps while the other one is about to rely on it. The other
/// one notices the death nevertheless, although its sleep has an end only if it watches, too.
#[test]
fn the_last_watcher_wakes_another() {
    bounded(4, || {
        let_them_look();
        let held = Held::new();
        let stays = held.spawn(|held| held.take_turn(8, Deadline::Never));
        let deadline = timeout();
        let times_out = held.spawn(move |held| held.take_turn(16, deadline));
        times_out.join().unwrap();
        held.deaths.store(1, Relaxed);
        assert!(stays.join().unwrap().is_some());
    });
}

/// Of three sleepers, one watches the owner, which dies. The watcher recovers the lock and wakes another sleeper to
/// watch, which takes the lock before it sleeps again, and dies, too. The third one, which relies on a watcher, notices
/// that death.
#[test]
fn a_thread_that_is_woken_to_watch_takes_the_lock_and_dies() {
    bounded(2, || {
        let_them_look();
        let held = Held::new();
        let survives = held.spawn(|held| held.take_turn(16, Deadline::Never));
        let dies = held.spawn(|held| {
            held.acquire(DEAD + 8, Deadline::Never);
            held.deaths.store(2, Release);
        });
        held.deaths.store(1, Relaxed);
        held.take_turn(8, Deadline::Never);
        survives.join().unwrap();
        dies.join().unwrap();
    });
}
