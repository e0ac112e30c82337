use super::*;
use crate::sys;
use core::{cell::Cell, time::Duration};
use std::{sync::atomic::AtomicBool, thread};

/// The threads of this process.
struct Real {
    /// It is known which of them are dead.
    knows: bool,
    /// Any owner is a user that keeps the lock.
    keeps: bool,
}

impl Threads for Real {
    fn is_mine(&self, owner: u64) -> bool {
        owner == me()
    }

    fn is_dead(&self, owner: u64) -> bool {
        let thread = (owner >> FLAGS.count_ones()) as i32;
        self.knows && !sys::has_thread(sys::process_id(), thread)
    }

    fn seems_dead(&self, owner: u64) -> bool {
        self.is_dead(owner)
    }

    fn keeps(&self, _: u64) -> bool {
        self.keeps
    }
}

const REAL: Real = Real {
    knows: true,
    keeps: false,
};

fn me() -> u64 {
    (sys::thread_id() as u64) << FLAGS.count_ones()
}

fn lock(lock: &Mutex) -> Result<Acquired, LockError> {
    let deadline = Deadline::after(Some(Duration::from_secs(60)));
    lock.lock(me(), &REAL, deadline)
}

fn try_lock(lock: &Mutex) -> Result<Acquired, LockError> {
    lock.lock(me(), &REAL, Deadline::Now)
}

fn unlock(lock: &Mutex) -> Result<(), NotOwner> {
    lock.unlock(&REAL)
}

/// A lock whose owner has died.
fn orphaned() -> Mutex {
    let shared = Mutex::default();
    thread::scope(|scope| {
        scope.spawn(|| lock(&shared).unwrap());
    });
    shared
}

#[test]
fn one_thread_at_a_time_holds_it() {
    let shared = Mutex::default();
    let counter = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    assert_eq!(lock(&shared), Ok(Acquired::Clean));
                    let seen = counter.load(Relaxed);
                    counter.store(seen + 1, Relaxed);
                    unlock(&shared).unwrap();
                }
            });
        }
    });
    assert_eq!(counter.into_inner(), 80_000);
    assert_eq!(shared.word.into_inner(), 0);
}

#[test]
fn only_the_owner_can_unlock() {
    let shared = Mutex::default();
    assert_eq!(unlock(&shared), Err(NotOwner));
    lock(&shared).unwrap();
    assert_eq!(lock(&shared), Err(LockError::Deadlock));
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(unlock(&shared), Err(NotOwner));
            assert_eq!(shared.consistent(&REAL), Err(NotOwner));
            assert_eq!(try_lock(&shared), Err(LockError::TimedOut));
        });
    });
    unlock(&shared).unwrap();
    assert_eq!(try_lock(&shared), Ok(Acquired::Clean));
}

#[test]
fn a_lock_is_recovered_from_a_dead_owner() {
    let shared = orphaned();
    assert_eq!(lock(&shared), Ok(Acquired::OwnerDied));
    shared.consistent(&REAL).unwrap();
    unlock(&shared).unwrap();
    assert_eq!(lock(&shared), Ok(Acquired::Clean));
}

#[test]
fn suspect_data_is_lost_when_it_is_unlocked() {
    let shared = orphaned();
    assert_eq!(lock(&shared), Ok(Acquired::OwnerDied));
    unlock(&shared).unwrap();
    assert_eq!(lock(&shared), Err(LockError::NotRecoverable));
    assert_eq!(lock(&shared), Err(LockError::NotRecoverable));
}

#[test]
fn a_sleeper_notices_the_death_of_the_owner() {
    let shared = Mutex::default();
    let asleep = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            lock(&shared).unwrap();
            while shared.word.load(Relaxed) & W == 0 {
                thread::yield_now();
            }
            asleep.store(true, Relaxed);
        });
        while shared.word.load(Relaxed) == 0 {
            thread::yield_now();
        }
        assert_eq!(lock(&shared), Ok(Acquired::OwnerDied));
        assert!(asleep.load(Relaxed));
    });
}

#[test]
fn a_lock_is_not_taken_from_an_owner_of_unknown_liveness() {
    let shared = orphaned();
    let deadline = Deadline::after(Some(Duration::from_millis(10)));
    let unknown = Real {
        knows: false,
        ..REAL
    };
    let locked = shared.lock(me(), &unknown, deadline);
    assert_eq!(locked, Err(LockError::TimedOut));
    assert!(deadline.is_over());
}

/// While the lock is free for threads that have slept, a thread that does not wait still gets it,
/// and a thread that waits gets it when it has slept.
#[test]
fn a_lock_that_is_free_for_a_dead_sleeper_can_be_taken() {
    for kept in [W | F, W | F | S] {
        let shared = Mutex::default();
        shared.word.store(kept, Relaxed);
        assert_eq!(try_lock(&shared), Ok(Acquired::Clean));
        unlock(&shared).unwrap();
        assert_eq!(shared.word.load(Relaxed) & !kept, 0);
        shared.word.store(kept, Relaxed);
        assert_eq!(lock(&shared), Ok(Acquired::Clean));
        unlock(&shared).unwrap();
        assert_eq!(shared.word.into_inner(), 0);
    }
}

#[test]
fn any_bits_give_an_error_or_a_lock() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..1000 {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let shared = Mutex::default();
        shared.word.store(seed, Relaxed);
        shared
            .data
            .store((seed >> 13) as u32 >> (round % 32), Relaxed);
        let _ = unlock(&shared);
        match try_lock(&shared) {
            Ok(_) => unlock(&shared).unwrap(),
            Err(LockError::NotRecoverable | LockError::TimedOut) => {}
            Err(LockError::Deadlock) => panic!("{seed:#x} is not this thread"),
        }
    }
}

/// A hostile process clears the flags of a thread that is about to insist, so that it insists again and again.
struct Clears<'a> {
    lock: &'a Mutex,
    left: Cell<u32>,
}

impl Threads for Clears<'_> {
    fn is_mine(&self, _: u64) -> bool {
        false
    }

    fn is_dead(&self, _: u64) -> bool {
        false
    }

    fn seems_dead(&self, _: u64) -> bool {
        false
    }

    /// Called before each sleep, and before the thread insists.
    fn keeps(&self, _: u64) -> bool {
        if let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            self.lock.word.fetch_and(!(F | S), Relaxed);
        }
        false
    }
}

#[test]
fn flags_that_are_cleared_keep_no_thread_beyond_its_deadline() {
    let shared = orphaned();
    let hostile = Clears {
        lock: &shared,
        left: Cell::new(10_000_000),
    };
    let deadline = Deadline::after(Some(Duration::from_millis(100)));
    let locked = shared.lock(me(), &hostile, deadline);
    assert_eq!(locked, Err(LockError::TimedOut));
    assert!(hostile.left.get() > 0, "it has insisted without end");
}

/// Otherwise, a user that keeps the lock could begin a turn although another thread is about to take the lock from it.
#[test]
fn a_wake_up_of_a_watcher_hides_no_waiter_from_a_user_that_keeps_the_lock() {
    let lock = Mutex::default();
    lock.word.store(me() | W, Relaxed);
    lock.wake_a_watcher(&Real {
        keeps: true,
        ..REAL
    });
    assert_eq!(lock.word.load(Relaxed), me() | W);
    lock.wake_a_watcher(&REAL);
    assert_eq!(lock.word.load(Relaxed), me());
}
