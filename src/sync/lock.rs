//! The robust lock: one 64-bit word that says who has it, and beside it whether somebody sleeps.
//!
//! *Lock* is one compare-and-swap of 0 by the caller's number (its thread id and start time), *unlock*
//! is one store of 0. There is no moment in which the lock is taken and the word does not say by
//! whom. So whoever finds it taken can ask whether the owner still lives, and take it over from a
//! dead one by the same compare-and-swap.
//!
//! *Sleep.* Whoever goes to sleep counts itself in `asleep`, and then looks at the word once more;
//! whoever unlocks stores 0, and then looks at `asleep`. Each does a store and then a load, and one
//! of the two must see the other: the sleeper, who has time, pays for that with a barrier in all
//! processes. They sleep on `asleep` itself, so whoever counts itself and is then too slow to fall
//! asleep before it is cleared does not fall asleep.
//!
//! Nothing here is a pointer, and the word may hold anything: a number that is nobody's is a dead
//! owner's.

use super::{
    atomic::{heavy_barrier, light_barrier},
    wait::{self, Deadline},
};
use crate::sys::{Life, Task, futex};
use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::time::Instant;

/// The lock as it lies in a segment: 24 bytes. All zero, it is free, and its data consistent.
#[repr(C)]
pub(crate) struct Lock {
    /// Who has it; 0 if nobody has.
    word: AtomicU64,
    /// What is known of the data that the lock protects: one of the three below.
    data: AtomicU32,
    /// The id of a thread that has waited for long: the others let it pass. 0 if there is none.
    hungry: AtomicU32,
    /// How many went to sleep since somebody was last woken; 0 if nobody sleeps.
    asleep: AtomicU32,
    unused: AtomicU32,
}

/// The data is as its last owner left it.
const CONSISTENT: u32 = 0;
/// An owner has died, and nobody has said since that the data is in order.
const SUSPECT: u32 = 1;
/// Somebody unlocked it while it was suspect. There is no way back.
const LOST: u32 = 2;

/// How it was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    Clean,
    /// Its last owner died while having it.
    OwnerDied,
}

/// Why it was not acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    TimedOut,
    /// The calling thread has it.
    Deadlock,
    /// The data is lost.
    NotRecoverable,
}

/// What is known of the data that a lock protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It is as its last owner left it.
    Consistent,
    /// An owner has died, and nobody has said since that it is in order.
    Suspect,
    /// It was suspect, and given up.
    Lost,
}

/// The calling thread does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotOwner;

impl Lock {
    /// Acquires it for the calling thread, `me`. `life` says whether a task lives.
    #[inline]
    pub fn lock(
        &self,
        me: Task,
        life: impl Fn(Task) -> Life,
        deadline: Deadline,
    ) -> Result<Acquired, Refused> {
        let me = me.bits();
        // Relaxed: politeness orders nothing.
        if self.hungry.load(Relaxed) == 0 {
            // Acquire: what the last owner wrote before it released the lock is seen from here on.
            // Release: whoever sees this number sees what its process wrote before, its namespaces.
            if self.word.compare_exchange(0, me, AcqRel, Relaxed).is_ok() {
                return self.acquired(false);
            }
        }
        self.lock_taken(me, life, deadline)
    }

    #[cold]
    fn lock_taken(
        &self,
        me: u64,
        life: impl Fn(Task) -> Life,
        deadline: Deadline,
    ) -> Result<Acquired, Refused> {
        // Relaxed: only this thread can have written its own number.
        if self.word.load(Relaxed) == me {
            return Err(Refused::Deadlock);
        }
        let mut queue = Queue::enter(self, me);
        let free = |owner| owner == 0;
        let dead = |owner| owner != 0 && life(Task::from_bits(owner)) == Life::Dead;
        let look = || queue.may_pass().then(|| self.take_if(free, me)).flatten();
        let found = match deadline {
            Deadline::Now => None,
            _ => wait::spin_gently(look),
        };
        if found.is_some() {
            return self.acquired(false);
        }
        let mut slept = false;
        loop {
            if queue.may_pass() && self.take_if(free, me).is_some() {
                return self.acquired_after_sleep(slept, false);
            }
            // Politeness ends here: whoever is next may be dead, too.
            if self.take_if(dead, me).is_some() {
                return self.acquired_after_sleep(slept, true);
            }
            if matches!(deadline, Deadline::Now) {
                return self.last_try(slept, me);
            }
            // Relaxed, here and below: ordered by the barrier.
            let count = self.asleep.fetch_add(1, Relaxed).wrapping_add(1);
            heavy_barrier();
            let free = self.word.load(Relaxed) == 0;
            if free && queue.may_pass() {
                continue;
            }
            if free {
                // It is another one's turn, who may be asleep.
                futex::wake(&self.asleep, u32::MAX >> 1);
            }
            slept = true;
            if !wait::sleep(&self.asleep, count, deadline) {
                return self.last_try(slept, me);
            }
            queue.has_slept(free);
        }
    }

    /// The time is over, and politeness, too: a lock that is free is not refused. Whoever was to be
    /// next has not come while this one slept, and may be dead: it has its turn no longer.
    fn last_try(&self, slept: bool, me: u64) -> Result<Acquired, Refused> {
        let hungry = self.hungry.load(Relaxed);
        if self.take_if(|owner| owner == 0, me).is_none() {
            return Err(Refused::TimedOut);
        }
        if slept && hungry != 0 {
            let _ = self.hungry.compare_exchange(hungry, 0, Relaxed, Relaxed);
        }
        self.acquired_after_sleep(slept, false)
    }

    /// There may be others asleep, whom whoever woke this one has left to it.
    fn acquired_after_sleep(&self, slept: bool, from_the_dead: bool) -> Result<Acquired, Refused> {
        if slept {
            // Relaxed: this thread itself will look, when it unlocks.
            self.asleep.fetch_add(1, Relaxed);
        }
        self.acquired(from_the_dead)
    }

    /// Who has it, and whether the data is suspect or lost: to look at.
    pub fn look(&self) -> (Option<Task>, Condition) {
        // Relaxed, both: the answer may be old as soon as it is given.
        let owner = match self.word.load(Relaxed) {
            0 => None,
            word => Some(Task::from_bits(word)),
        };
        let condition = match self.data.load(Relaxed) {
            CONSISTENT => Condition::Consistent,
            SUSPECT => Condition::Suspect,
            _ => Condition::Lost,
        };
        (owner, condition)
    }

    /// Takes the lock if its owner is such a one.
    fn take_if(&self, owner: impl Fn(u64) -> bool, me: u64) -> Option<()> {
        // Acquire: with the number comes the namespace of whoever it is.
        let word = self.word.load(Acquire);
        if !owner(word) {
            return None;
        }
        // Both as in `lock`. From a dead owner nothing was released, and nothing is relied on until
        // somebody has repaired the data.
        let taken = self.word.compare_exchange(word, me, AcqRel, Relaxed);
        taken.ok().map(drop)
    }

    /// What the new owner has to know.
    #[inline]
    fn acquired(&self, from_the_dead: bool) -> Result<Acquired, Refused> {
        // Relaxed, here and below: only the owner reads and writes this, and the word orders it.
        let data = self.data.load(Relaxed);
        if !from_the_dead && data == CONSISTENT {
            return Ok(Acquired::Clean);
        }
        self.acquired_suspect(data)
    }

    #[cold]
    fn acquired_suspect(&self, data: u32) -> Result<Acquired, Refused> {
        if data > SUSPECT {
            self.release();
            return Err(Refused::NotRecoverable);
        }
        // Should we die before this, the next one finds a dead owner again.
        self.data.store(SUSPECT, Relaxed);
        Ok(Acquired::OwnerDied)
    }

    /// The data is in order again, says the owner.
    pub fn consistent(&self) -> Result<(), NotOwner> {
        self.expect_mine()?;
        self.data.store(CONSISTENT, Relaxed);
        Ok(())
    }

    /// Releases it. Data that is still suspect is lost from now on.
    #[inline]
    pub fn unlock(&self) -> Result<(), NotOwner> {
        self.expect_mine()?;
        if self.data.load(Relaxed) != CONSISTENT {
            self.data.store(LOST, Relaxed);
        }
        self.release();
        Ok(())
    }

    /// Releases it for a thread, `owner`, that has it and does not come back to it; its data is
    /// consistent. False if that thread does not have it.
    pub fn unlock_for(&self, owner: Task) -> bool {
        // Release: as in `release`. If the owner has died, another thread may take the lock from it at
        // any time; so this takes it from the owner alone. Relaxed: else nothing is done.
        let bits = owner.bits();
        if self
            .word
            .compare_exchange(bits, 0, Release, Relaxed)
            .is_err()
        {
            return false;
        }
        self.wake_one();
        true
    }

    #[inline]
    fn release(&self) {
        // Release: whoever acquires it next sees what this owner wrote.
        self.word.store(0, Release);
        self.wake_one();
    }

    #[inline]
    fn wake_one(&self) {
        light_barrier();
        // Relaxed: ordered by the barriers.
        if self.asleep.load(Relaxed) != 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Relaxed: the kernel orders it before whoever falls asleep on it or is woken.
        self.asleep.store(0, Relaxed);
        futex::wake(&self.asleep, 1);
    }

    #[inline]
    fn expect_mine(&self) -> Result<(), NotOwner> {
        // Relaxed: only this thread can have written its own number.
        match self.word.load(Relaxed) == Task::current().bits() {
            true => Ok(()),
            false => Err(NotOwner),
        }
    }
}

/// How those who wait let each other pass: whoever comes at the right moment takes the lock, until
/// one has waited in vain for a slice or two. That one is next.
struct Queue<'a> {
    lock: &'a Lock,
    tid: u32,
    /// Since when it has waited, or since it last had a say.
    since: Option<Instant>,
}

impl Queue<'_> {
    fn enter(lock: &Lock, me: u64) -> Queue<'_> {
        Queue {
            lock,
            tid: Task::from_bits(me).tid() as u32,
            since: None,
        }
    }

    /// Whether this thread may take the lock when it is free.
    fn may_pass(&self) -> bool {
        // Relaxed, here and below: politeness orders nothing.
        let hungry = self.lock.hungry.load(Relaxed);
        hungry == 0 || hungry == self.tid
    }

    /// Sleep is over. `free` if the lock was free when it began, and it was another one's turn.
    fn has_slept(&mut self, free: bool) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < wait::SLICE {
            return;
        }
        self.since = Some(Instant::now());
        let hungry = self.lock.hungry.load(Relaxed);
        let next = match hungry {
            0 => self.tid,
            // It was free all the time, so whoever was to have it is dead, or has given up.
            _ if free && hungry != self.tid => 0,
            _ => return,
        };
        let _ = self
            .lock
            .hungry
            .compare_exchange(hungry, next, Relaxed, Relaxed);
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        if self.lock.hungry.load(Relaxed) == self.tid {
            let _ = self
                .lock
                .hungry
                .compare_exchange(self.tid, 0, Relaxed, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicBool, thread, time::Duration};

    fn free() -> Lock {
        crate::sys::barrier::take_part();
        Lock {
            word: AtomicU64::new(0),
            data: AtomicU32::new(CONSISTENT),
            hungry: AtomicU32::new(0),
            asleep: AtomicU32::new(0),
            unused: AtomicU32::new(0),
        }
    }

    fn lock(lock: &Lock) -> Result<Acquired, Refused> {
        lock.lock(
            Task::current(),
            Task::life,
            Deadline::after(Some(Duration::from_secs(60))),
        )
    }

    fn try_lock(lock: &Lock) -> Result<Acquired, Refused> {
        lock.lock(
            Task::current(),
            Task::life,
            Deadline::after(Some(Duration::ZERO)),
        )
    }

    #[test]
    fn it_excludes() {
        let shared = free();
        let counter = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        assert_eq!(lock(&shared), Ok(Acquired::Clean));
                        let seen = counter.load(Relaxed);
                        counter.store(seen + 1, Relaxed);
                        shared.unlock().unwrap();
                    }
                });
            }
        });
        assert_eq!(counter.into_inner(), 80_000);
        assert_eq!(shared.word.into_inner(), 0);
    }

    #[test]
    fn it_knows_its_owner() {
        let shared = free();
        assert_eq!(shared.unlock(), Err(NotOwner));
        lock(&shared).unwrap();
        assert_eq!(lock(&shared), Err(Refused::Deadlock));
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(shared.unlock(), Err(NotOwner));
                assert_eq!(shared.consistent(), Err(NotOwner));
                assert_eq!(try_lock(&shared), Err(Refused::TimedOut));
            });
        });
        shared.unlock().unwrap();
        assert_eq!(try_lock(&shared), Ok(Acquired::Clean));
    }

    #[test]
    fn a_dead_owners_lock_is_taken_over_and_repaired() {
        let shared = free();
        thread::scope(|scope| {
            scope.spawn(|| lock(&shared).unwrap());
        });
        assert_eq!(lock(&shared), Ok(Acquired::OwnerDied));
        shared.consistent().unwrap();
        shared.unlock().unwrap();
        assert_eq!(lock(&shared), Ok(Acquired::Clean));
    }

    #[test]
    fn suspect_data_that_nobody_repairs_is_lost() {
        let shared = free();
        thread::scope(|scope| {
            scope.spawn(|| lock(&shared).unwrap());
        });
        assert_eq!(lock(&shared), Ok(Acquired::OwnerDied));
        shared.unlock().unwrap();
        assert_eq!(lock(&shared), Err(Refused::NotRecoverable));
        assert_eq!(lock(&shared), Err(Refused::NotRecoverable));
    }

    #[test]
    fn a_sleeper_notices_its_owners_death() {
        let shared = free();
        let asleep = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                lock(&shared).unwrap();
                while shared.asleep.load(Relaxed) == 0 {
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
    fn an_owner_that_cannot_be_judged_is_left_alone() {
        let shared = free();
        thread::scope(|scope| {
            scope.spawn(|| lock(&shared).unwrap());
        });
        let deadline = Deadline::after(Some(Duration::from_millis(10)));
        let start = Instant::now();
        assert_eq!(
            shared.lock(Task::current(), |_| Life::Unknown, deadline),
            Err(Refused::TimedOut)
        );
        assert!(start.elapsed() >= Duration::from_millis(10));
    }

    #[test]
    fn any_bits_are_an_error_or_a_lock() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..1000 {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let shared = free();
            shared.word.store(seed, Relaxed);
            shared
                .data
                .store((seed >> 13) as u32 >> (round % 32), Relaxed);
            let _ = shared.unlock();
            match try_lock(&shared) {
                Ok(_) => shared.unlock().unwrap(),
                Err(Refused::NotRecoverable | Refused::TimedOut) => {}
                Err(Refused::Deadlock) => panic!("{seed:#x} is not this thread"),
            }
        }
    }
}
