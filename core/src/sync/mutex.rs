//! The robust lock: one 64-bit word with the number of the owner and flags of the waiting threads.
//!
//! ```text
//! 0              free
//! owner          held
//! owner | W      held, and other threads sleep, or slept until just now
//! owner | W F    held, and one of them has waited for long
//! owner | W F S  held, and that thread is awake and reads the word again and again
//!         W F    free, for threads that have slept
//!         W F S  free, for the thread that is awake
//! ```
//!
//! *Lock* is one compare-and-swap from 0 to the caller's number, *unlock* is one back to 0. Whenever the lock is held,
//! the word names the owner. So a thread that finds it held can make a liveness check of the owner, and recover the
//! lock from a dead owner by the same compare-and-swap.
//!
//! *Sleep.* A thread that is about to sleep sets W, and sleeps while the word is unchanged: the kernel
//! compares the lower half, in which W is. Unlocking clears W and wakes one sleeper. When that thread
//! takes the lock, it sets W again, because other threads may sleep, too. So each unlock wakes at most one
//! thread, and no wake-up is lost: a thread that was woken takes the lock, or sets W before it sleeps again
//! or gives up.
//!
//! *Fairness.* A thread that finds the lock free takes it before the sleepers do, so the lock is not idle while a
//! sleeper wakes up. A thread that has waited for [`PATIENCE`] sets F and S when it next wakes up, and *insists*: it
//! stays awake for a while, and the next unlock leaves the lock to it, without waking another thread. If the lock does
//! not become free while it is awake, it clears S and sleeps; then the next unlock leaves the lock free only for
//! threads that have slept, and wakes one. All other threads leave such a lock alone for a `NAP` (`wait.rs`), but no
//! longer: the thread that is next may have no processor.
//!
//! *Deaths.* Two of the sleepers often make a liveness check of the owner: see [`Watch`]. If a thread is killed in an
//! unlock before it wakes a sleeper, or a sleeper is killed when it is woken or insists, the others sleep for the rest
//! of their slice; then they read the word themselves.
//!
//! Nothing here is a pointer, and the word may hold anything: a number that no thread has counts as a dead
//! owner.

use super::{
    atomic::{
        self, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        heavy_barrier,
    },
    wait::{self, Deadline, Sleep},
    watch::{self, Watch},
};
use core::time::Duration;

/// The lock in a segment: 16 bytes. If all are zero, it is free, and its data is consistent.
#[cfg_attr(not(loom), repr(C))]
#[derive(Default)]
pub struct Mutex {
    word: AtomicU64,
    /// The condition of the data that the lock protects: `CONSISTENT`, `SUSPECT` or `LOST`.
    data: AtomicU32,
    watch: Watch,
}

/// Waiting: other threads sleep.
const W: u64 = 1;
/// Fairness: one of them has waited for long.
const F: u64 = 2;
/// Spinning: that thread is awake, and reads the word again and again.
const S: u64 = 4;
/// The flag bits, which are zero in every owner's number.
const FLAGS: u64 = W | F | S;

/// How long a thread waits before it insists. Insisting costs processor time, so it must be rare.
const PATIENCE: Duration = Duration::from_millis(50);

/// How many times a thread that does not wait tries again if the word changes.
const TRIES: u32 = 101;

/// The data is as its last owner left it.
const CONSISTENT: u32 = 0;
/// An owner has died, and no later owner has marked the data as consistent.
const SUSPECT: u32 = 1;
/// The lock was released while the data was suspect. This is final.
const LOST: u32 = 2;

/// Identifies the threads that use a lock. A thread is a number other than 0 whose three lowest bits
/// are 0.
pub trait Threads {
    /// Returns whether that is the calling thread.
    fn is_mine(&self, owner: u64) -> bool;
    /// Returns whether that thread is known to be dead.
    fn is_dead(&self, owner: u64) -> bool;
    /// The same before the first sleep. The check takes microseconds, and may be skipped if the thread
    /// was checked some milliseconds ago.
    fn seems_dead(&self, owner: u64) -> bool;
    /// Returns whether that is the number of a user that keeps the lock: see `keep`.
    fn keeps(&self, _owner: u64) -> bool {
        false
    }
    /// Returns whether that user has no turn. Called after the barrier.
    fn has_left(&self, _owner: u64) -> bool {
        false
    }
}

/// How a lock was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    Clean,
    /// Its last owner died while holding it.
    OwnerDied,
}

/// Why a lock was not acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockError {
    TimedOut,
    /// The calling thread holds it already.
    Deadlock,
    /// The data is lost.
    NotRecoverable,
}

/// The condition of the data that a lock protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is as its last owner left it.
    Consistent,
    /// An owner has died, and no later owner has marked it as consistent.
    Suspect,
    /// The lock was released while it was suspect.
    Lost,
}

/// The calling thread does not hold the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOwner;

impl Mutex {
    /// Acquires the lock for the calling thread, whose number is `me`.
    #[inline]
    pub fn lock(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Acquired, LockError> {
        // Acquire: pairs with the release in `release`, so that what the last owner wrote is visible.
        // Release: pairs with the acquire in `try_taken`: a thread that sees this number sees what its
        // process wrote before, its namespaces.
        match self.word.compare_exchange(0, me, AcqRel, Relaxed) {
            Ok(_) => self.acquired(false),
            Err(_) => self.lock_slow(me, threads, deadline),
        }
    }

    /// Acquires the lock for the calling thread if it is free and its data is consistent. If this returns
    /// false, [`lock`](Mutex::lock) returns the reason.
    #[inline(always)]
    pub fn lock_at_once(&self, me: u64) -> bool {
        // The orderings are those of `lock`.
        self.word.compare_exchange(0, me, AcqRel, Relaxed).is_ok() && self.has_good_data(me)
    }

    /// Returns whether no thread holds the lock, and its data is consistent.
    #[inline(always)]
    pub(super) fn is_free_and_consistent(&self) -> bool {
        // Acquire: pairs with the release in `release`, so that what the last owner wrote is visible, and
        // among it the condition of the data.
        owner(self.word.load(Acquire)) == 0 && self.data.load(Relaxed) == CONSISTENT
    }

    /// Returns whether the calling thread holds the lock.
    #[inline]
    pub(super) fn is_mine(&self, threads: &impl Threads) -> bool {
        self.expect_mine(threads).is_ok()
    }

    #[inline(always)]
    fn has_good_data(&self, me: u64) -> bool {
        let is_good = self.data.load(Relaxed) == CONSISTENT;
        if !is_good {
            self.release(me);
        }
        is_good
    }

    /// Acquires the lock after the first try has failed.
    #[cold]
    fn lock_slow(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Acquired, LockError> {
        // Relaxed: only this thread can have written its own number.
        if threads.is_mine(owner(self.word.load(Relaxed))) {
            return Err(LockError::Deadlock);
        }
        if matches!(deadline, Deadline::Now) {
            return self.try_taken(me, threads);
        }
        // Relaxed: `take` acquires.
        let look = || (self.word.load(Relaxed) == 0 && self.take(0, me, false)).then_some(());
        if wait::spin_gently(look).is_some() {
            return self.acquired(false);
        }
        let mut part = watch::Part::default();
        let acquired = self.lock_asleep(me, threads, deadline, &mut part);
        if self.watch.leave(&mut part) {
            self.wake_a_watcher();
        }
        acquired
    }

    /// Tries to acquire a lock that another thread had just now, without waiting. Takes it also while it
    /// is free for threads that have slept: a thread that does not wait is not refused a free lock.
    fn try_taken(&self, me: u64, threads: &impl Threads) -> Result<Acquired, LockError> {
        for _ in 0..TRIES {
            // Acquire: pairs with the release in `lock`, so that the namespaces of the owner's process
            // are visible to `seems_dead`.
            let word = self.word.load(Acquire);
            let is_free = owner(word) == 0;
            if threads.keeps(owner(word)) {
                if !self.announce(word, W) {
                    continue;
                }
                if self.take_kept(word | W, me, false, threads) {
                    return self.acquired(false);
                }
            }
            if !is_free && !threads.seems_dead(owner(word)) {
                break;
            }
            if self.take(word, me, false) {
                return self.acquired(!is_free);
            }
        }
        Err(LockError::TimedOut)
    }

    fn lock_asleep(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
        part: &mut watch::Part,
    ) -> Result<Acquired, LockError> {
        let mut waiter = Waiter::until(deadline);
        loop {
            // Acquire: as in `try_taken`.
            let word = self.word.load(Acquire);
            let is_dead = waiter.finds_dead(word, threads);
            if is_dead || waiter.may_take(word) {
                if self.take(word, me, waiter.has_slept) {
                    return self.acquired(is_dead);
                }
            } else {
                waiter.alive = owner(word);
                let flags = waiter.flags(word);
                if self.announce(word, flags) {
                    let kept = threads.keeps(owner(word));
                    if kept && self.take_kept(word | flags, me, waiter.has_slept, threads) {
                        return self.acquired(false);
                    }
                    if flags & S != 0 {
                        if self.insist(me, deadline) {
                            return self.acquired(false);
                        }
                    } else if !self.sleep(word | flags, &mut waiter, part) {
                        return self.last_try(me);
                    }
                    continue;
                }
            }
            // The word has changed. If it changes again and again, that keeps no thread beyond its
            // deadline.
            if deadline.is_over() {
                return self.last_try(me);
            }
        }
    }

    /// Sleeps for a slice, or for a nap if the lock is free for another thread: that thread may have no
    /// processor, and keeps the lock from the others no longer than that. `word`: with the flags of this
    /// thread. Returns false if the deadline has passed.
    fn sleep(&self, word: u64, waiter: &mut Waiter, part: &mut watch::Part) -> bool {
        self.watch.join(part, &mut waiter.sleep);
        let is_free = owner(word) == 0;
        let in_time = if is_free {
            atomic::nap(&self.word, word, &mut waiter.sleep)
        } else {
            atomic::sleep(&self.word, word, &mut waiter.sleep)
        };
        waiter.has_slept = true;
        waiter.has_napped = is_free;
        if waiter.sleep.has_expired() {
            waiter.alive = 0;
        }
        in_time
    }

    /// Stays awake for a while until the lock is free, and takes it. The calling thread has set S. Returns
    /// false if the lock did not become free in time, or another thread took it first.
    fn insist(&self, me: u64, deadline: Deadline) -> bool {
        let seen = wait::insist(deadline, || {
            // Relaxed: `take` acquires.
            let word = self.word.load(Relaxed);
            match owner(word) {
                0 => Some(self.take(word, me, true)),
                _ => (word & S == 0).then_some(false),
            }
        });
        seen.unwrap_or_else(|| {
            // Relaxed: the flags order nothing. If the lock was released for this thread since, it finds
            // that when it reads the word next. If another thread has set S since, that one sleeps, too.
            self.word.fetch_and(!S, Relaxed);
            false
        })
    }

    /// Wakes one sleeper while the lock is held, as an unlock does: clears W, so that a thread that is about
    /// to sleep sees that the word has changed.
    #[cold]
    fn wake_a_watcher(&self) {
        // Relaxed: the acquire in `Watch::change` has made W visible. If there is no owner, no thread
        // sleeps for long, and none need be woken.
        let mut word = self.word.load(Relaxed);
        while owner(word) != 0 && word & W != 0 {
            // Release: a thread that sees W cleared sees the change of the watch, too.
            let change = self
                .word
                .compare_exchange(word, word & !W, Release, Relaxed);
            match change {
                Ok(_) => {
                    atomic::wake_one(&self.word);
                    return;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Tries once more after the deadline: a lock that was free for other threads may still be free. Sets W,
    /// so that the next unlock wakes another thread: this thread may have been woken in its place.
    fn last_try(&self, me: u64) -> Result<Acquired, LockError> {
        // Acquire: as in `try_taken`. W itself orders nothing.
        let word = self.word.fetch_or(W, Acquire) | W;
        if owner(word) == 0 && self.take(word, me, true) {
            self.acquired(false)
        } else {
            Err(LockError::TimedOut)
        }
    }

    /// Takes the lock if its word is still `word`.
    fn take(&self, word: u64, me: u64, has_slept: bool) -> bool {
        let flags = if has_slept {
            // Other threads may sleep, and the unlock that woke this thread has cleared W. F is no longer
            // needed: this thread has slept.
            W
        } else {
            word & FLAGS
        };
        // The orderings are those of `lock`. A dead owner has released nothing, and nothing depends on
        // its writes until the data is marked as consistent.
        self.word
            .compare_exchange(word, me | flags, AcqRel, Relaxed)
            .is_ok()
    }

    /// Takes the lock from a user that keeps it and has no turn. `word`: with W, which that user finds in its next turn,
    /// or at the end of the one that it has.
    #[cold]
    fn take_kept(&self, word: u64, me: u64, has_slept: bool, threads: &impl Threads) -> bool {
        if !heavy_barrier() {
            // The kernel makes no barrier. No store stays in a processor for as long as a nap.
            atomic::nap(&self.word, word, &mut Sleep::until(Deadline::Never));
        }
        threads.has_left(owner(word)) && self.take(word, me, has_slept)
    }

    /// Replaces the number of the owner by one under which it keeps the lock: see `keep`. Returns false if other
    /// threads have set flags.
    pub fn keep(&self, owner: u64, kept: u64) -> bool {
        // Release: as in `release`.
        self.word
            .compare_exchange(owner, kept, Release, Relaxed)
            .is_ok()
    }

    /// Returns whether the word is that number, and no flag is set.
    #[inline(always)]
    pub fn is_kept_as(&self, kept: u64) -> bool {
        // Relaxed: see `Keeper::begin`.
        self.word.load(Relaxed) == kept
    }

    /// Sets flags in the word if it is still `word`.
    fn announce(&self, word: u64, flags: u64) -> bool {
        // Relaxed: the flags order nothing; the kernel compares the word again.
        word & flags == flags
            || self
                .word
                .compare_exchange(word, word | flags, Relaxed, Relaxed)
                .is_ok()
    }

    /// Returns the number of the owner and the condition of the data, for display.
    pub fn look(&self) -> (Option<u64>, Condition) {
        // Relaxed, both: the answer may be outdated as soon as it is returned.
        let owner = match owner(self.word.load(Relaxed)) {
            0 => None,
            owner => Some(owner),
        };
        let condition = match self.data.load(Relaxed) {
            CONSISTENT => Condition::Consistent,
            SUSPECT => Condition::Suspect,
            _ => Condition::Lost,
        };
        (owner, condition)
    }

    /// Returns the result for a thread that has just taken the lock.
    #[inline]
    fn acquired(&self, owner_died: bool) -> Result<Acquired, LockError> {
        // Relaxed, here and below: only the owner reads and writes this, and the word orders it.
        let data = self.data.load(Relaxed);
        if !owner_died && data == CONSISTENT {
            return Ok(Acquired::Clean);
        }
        self.acquired_suspect(data)
    }

    #[cold]
    fn acquired_suspect(&self, data: u32) -> Result<Acquired, LockError> {
        if data > SUSPECT {
            // Relaxed: this thread has written the word.
            self.release(self.word.load(Relaxed));
            return Err(LockError::NotRecoverable);
        }
        // If this thread dies before this store, the next one finds a dead owner again.
        self.data.store(SUSPECT, Relaxed);
        Ok(Acquired::OwnerDied)
    }

    /// Marks the data as consistent.
    pub fn consistent(&self, threads: &impl Threads) -> Result<(), NotOwner> {
        self.expect_mine(threads)?;
        self.data.store(CONSISTENT, Relaxed);
        Ok(())
    }

    /// Releases the lock. Data that is still suspect becomes lost.
    #[inline]
    pub fn unlock(&self, threads: &impl Threads) -> Result<(), NotOwner> {
        let word = self.expect_mine(threads)?;
        if self.data.load(Relaxed) != CONSISTENT {
            self.data.store(LOST, Relaxed);
        }
        self.release(word);
        Ok(())
    }

    /// Releases the lock for a thread that no longer uses it, whose number is `owner`; the data is
    /// consistent. Returns false if that thread does not hold the lock.
    #[cold]
    pub fn unlock_for(&self, owner: u64) -> bool {
        self.release_and_wake(owner)
    }

    /// Releases the lock. `word`: as the owner last read it.
    #[inline]
    fn release(&self, word: u64) {
        // Release: pairs with the acquire in `lock` and `take`: the next owner sees what this one wrote.
        // Relaxed: if it fails, other threads have set flags, which order nothing.
        let alone = word & FLAGS == 0
            && self
                .word
                .compare_exchange(word, 0, Release, Relaxed)
                .is_ok();
        if !alone {
            self.release_and_wake(owner(word));
        }
    }

    /// Releases the lock, and wakes one sleeper. Returns false if that thread does not hold it.
    #[cold]
    fn release_and_wake(&self, thread: u64) -> bool {
        let free = loop {
            let word = self.word.load(Relaxed);
            if owner(word) != thread {
                return false; // it was taken over, or overwritten
            }
            let free = if word & F == 0 { 0 } else { word & S | W | F };
            // The orderings are those of `release`.
            let released = self.word.compare_exchange(word, free, Release, Relaxed);
            if released.is_ok() {
                break free;
            }
        };
        if free & S != 0 {
            return true; // the thread that may take it is awake
        }
        // If no thread was asleep, because all are awake or have given up, the lock becomes free for all
        // threads. A thread may have gone to sleep on the word before this change, so wake again. Release:
        // as in `release`.
        if !atomic::wake_one(&self.word)
            && free != 0
            && self
                .word
                .compare_exchange(free, 0, Release, Relaxed)
                .is_ok()
        {
            atomic::wake_one(&self.word);
        }
        true
    }

    /// Returns the word if the calling thread is the owner.
    #[inline]
    fn expect_mine(&self, threads: &impl Threads) -> Result<u64, NotOwner> {
        // Relaxed: only this thread can have written its own number.
        let word = self.word.load(Relaxed);
        if threads.is_mine(owner(word)) {
            Ok(word)
        } else {
            Err(NotOwner)
        }
    }
}

/// A thread that waits for the lock.
struct Waiter<'a> {
    sleep: Sleep<'a>,
    has_slept: bool,
    /// Its last sleep was a nap.
    has_napped: bool,
    /// The owner that this thread has checked in this slice, and did not find dead; 0 if none.
    alive: u64,
}

impl<'a> Waiter<'a> {
    fn until(deadline: Deadline<'a>) -> Waiter<'a> {
        Waiter {
            sleep: Sleep::until(deadline),
            has_slept: false,
            has_napped: false,
            alive: 0,
        }
    }

    /// Returns whether the lock is free for this thread: for all threads, for those that have slept, or
    /// for another thread that did not take it for as long as a nap.
    fn may_take(&self, word: u64) -> bool {
        owner(word) == 0 && (word & F == 0 || self.has_slept && word & S == 0 || self.has_napped)
    }

    /// Returns whether the owner is dead. Checks each owner once before the first sleep, and later only
    /// at the end of a slice: a lock that many threads use has another owner after each wake-up.
    fn finds_dead(&self, word: u64, threads: &impl Threads) -> bool {
        match owner(word) {
            0 => false,
            owner if owner == self.alive => false,
            owner if !self.has_slept => threads.seems_dead(owner),
            owner => self.sleep.has_expired() && threads.is_dead(owner),
        }
    }

    /// Returns the flags to set before this thread sleeps or insists. One thread insists at a time.
    fn flags(&self, word: u64) -> u64 {
        if self.sleep.elapsed() <= PATIENCE {
            W
        } else if owner(word) == 0 || word & F != 0 {
            W | F
        } else {
            W | F | S
        }
    }
}

/// Returns the owner's number; 0 if there is none.
fn owner(word: u64) -> u64 {
    word & !FLAGS
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sys;
    use std::{sync::atomic::AtomicBool, thread};

    /// The threads of this process, and whether it is known which of them are dead.
    struct Real {
        knows: bool,
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
    }

    const REAL: Real = Real { knows: true };

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
        let locked = shared.lock(me(), &Real { knows: false }, deadline);
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
}
