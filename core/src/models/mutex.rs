use crate::sync::{Acquired, Deadline, LockError, Mutex, Threads, let_them_look};
use crate::sys::Instant;
use loom::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread,
};
use std::time::Duration;

/// A thread of a model. Numbers from [`DEAD`] on are of threads that have died.
struct Thread(u64);

const DEAD: u64 = 400;

impl Threads for Thread {
    fn is_mine(&self, owner: u64) -> bool {
        owner == self.0
    }

    fn is_dead(&self, owner: u64) -> bool {
        owner >= DEAD
    }

    fn seems_dead(&self, owner: u64) -> bool {
        self.is_dead(owner)
    }
}

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

    /// Locks, and changes what the lock protects. False when the time was over.
    fn take_turn(&self, number: u64, deadline: Deadline) -> bool {
        let me = Thread(number);
        match self.lock.lock(number, &me, deadline) {
            Ok(Acquired::Clean) => {}
            Ok(Acquired::OwnerDied) => self.lock.consistent(&me).unwrap(),
            Err(LockError::TimedOut) => return false,
            Err(other) => panic!("{other:?}"),
        }
        let turns = self.turns.load(Relaxed);
        self.turns.store(turns + 1, Relaxed);
        self.lock.unlock(&me).unwrap();
        true
    }
}

fn timeout() -> Deadline {
    Deadline::At(Instant::now() + Duration::from_secs(1))
}

/// Runs these threads, and this one, each of which takes so many turns until its deadline.
fn check(preemptions: usize, threads: &'static [(u64, Deadline, u64)], dead: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || {
        let shared = Shared::new();
        let died = dead.then(|| {
            let shared = shared.clone();
            thread::spawn(move || {
                // It ends without unlocking, if it gets the lock before the others.
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

/// Two threads that come again and again: nothing is lost, and each is woken.
#[test]
fn two_take_turns() {
    check(
        3,
        &[(8, Deadline::Never, 2), (16, Deadline::Never, 2)],
        false,
    );
}

/// Each unlock wakes one thread at most, and all three come to their turn; also when one that has
/// slept is let pass.
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

/// One gives up when its time is over, perhaps just when it was woken: the others are woken all the
/// same.
#[test]
fn one_of_three_gives_up() {
    let threads = Box::leak(Box::new([
        (8, Deadline::Never, 1),
        (16, timeout(), 1),
        (24, Deadline::Never, 1),
    ]));
    check(2, threads, false);
}

/// The same of one whose time is over when it is woken: another thread may take the lock before it, or
/// change its word.
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

/// An owner has died, or dies while others come.
#[test]
fn two_follow_a_dead_owner() {
    check(
        2,
        &[(8, Deadline::Never, 1), (16, Deadline::Never, 1)],
        true,
    );
}

#[test]
fn one_that_gives_up_follows_a_dead_owner() {
    let threads = Box::leak(Box::new([(8, Deadline::Never, 1), (16, timeout(), 1)]));
    check(2, threads, true);
}

/// A thread that knows of a death once it has happened: of [`DEAD`] first, and of the number behind it second.
struct Witness(u64, Arc<AtomicU64>);

impl Threads for Witness {
    fn is_mine(&self, owner: u64) -> bool {
        owner == self.0
    }

    fn is_dead(&self, owner: u64) -> bool {
        // Acquire: the kernel says so when all that the thread has written is there.
        owner >= DEAD && self.1.load(Acquire) > (owner - DEAD) / 8
    }

    fn seems_dead(&self, owner: u64) -> bool {
        self.is_dead(owner)
    }
}

/// One thread may sleep when the owner dies, and another one takes the lock over: the sleeper is woken,
/// and one of the two is notified of the death.
#[test]
fn one_sleeps_while_the_owner_dies() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let lock = Arc::new(Mutex::default());
        let died = Arc::new(AtomicU64::new(0));
        let owner = Witness(DEAD, died.clone());
        lock.lock(DEAD, &owner, Deadline::Now).unwrap();
        let take_turn = |lock: &Mutex, me: Witness| {
            let acquired = lock.lock(me.0, &me, Deadline::Never).unwrap();
            if acquired == Acquired::OwnerDied {
                lock.consistent(&me).unwrap();
            }
            lock.unlock(&me).unwrap();
            u32::from(acquired == Acquired::OwnerDied)
        };
        let sleeper = thread::spawn({
            let (lock, died) = (lock.clone(), died.clone());
            move || take_turn(&lock, Witness(8, died))
        });
        died.store(1, Relaxed);
        let told = take_turn(&lock, Witness(16, died));
        assert_eq!(told + sleeper.join().unwrap(), 1);
    });
}

/// One of two that sleep looks after the owner; it gives up, perhaps while the other one is about to
/// rely on it. The other one learns of the death all the same: its sleep has an end only if it looks
/// often, too.
#[test]
fn the_last_one_that_looks_calls_another() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
        let_them_look();
        let lock = Arc::new(Mutex::default());
        let died = Arc::new(AtomicU64::new(0));
        let owner = Witness(DEAD, died.clone());
        lock.lock(DEAD, &owner, Deadline::Now).unwrap();
        let take_turn = |me: Witness, deadline| {
            let lock = lock.clone();
            move || {
                let Ok(acquired) = lock.lock(me.0, &me, deadline) else {
                    return false;
                };
                if acquired == Acquired::OwnerDied {
                    lock.consistent(&me).unwrap();
                }
                lock.unlock(&me).unwrap();
                true
            }
        };
        let stays = thread::spawn(take_turn(Witness(8, died.clone()), Deadline::Never));
        let deadline = timeout();
        let gives_up = thread::spawn(take_turn(Witness(16, died.clone()), deadline));
        gives_up.join().unwrap();
        died.store(1, Relaxed);
        assert!(stays.join().unwrap());
    });
}

/// Of three that sleep, one looks after the owner, which dies. It takes the lock over and calls another one,
/// which gets the lock before it sleeps again, and dies, too. The third one, which relies on it, learns of the
/// death.
#[test]
fn one_that_is_called_gets_the_lock_and_dies() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let_them_look();
        let lock = Arc::new(Mutex::default());
        let died = Arc::new(AtomicU64::new(0));
        let owner = Witness(DEAD, died.clone());
        lock.lock(DEAD, &owner, Deadline::Now).unwrap();
        let take_turn = |number| {
            let (lock, died) = (lock.clone(), died.clone());
            move || {
                let me = Witness(number, died.clone());
                let acquired = lock.lock(number, &me, Deadline::Never).unwrap();
                if acquired == Acquired::OwnerDied {
                    lock.consistent(&me).unwrap();
                }
                if number > DEAD {
                    died.store(2, Release);
                } else {
                    lock.unlock(&me).unwrap();
                }
            }
        };
        let others = [16, DEAD + 8].map(|number| thread::spawn(take_turn(number)));
        died.store(1, Relaxed);
        take_turn(8)();
        for other in others {
            other.join().unwrap();
        }
    });
}
