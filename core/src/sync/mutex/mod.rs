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
//! sleeper wakes up. A thread that has waited for `PATIENCE` (`slow.rs`) sets F and S when it next wakes up, and
//! *insists*: it stays awake for a while, and the next unlock leaves the lock to it, without waking another thread. If
//! the lock does not become free while it is awake, it clears S and sleeps; then the next unlock leaves the lock free
//! only for threads that have slept, and wakes one. All other threads leave such a lock alone for a `NAP` (`wait.rs`),
//! but no longer: the thread that is next may have no processor.
//!
//! *Deaths.* Two of the sleepers often make a liveness check of the owner: see [`Watch`]. If a thread is killed in an
//! unlock before it wakes a sleeper, or a sleeper is killed when it is woken or insists, the others sleep for the rest
//! of their slice; then they read the word themselves.
//!
//! Nothing here is a pointer, and the word may hold anything: a number that no thread has counts as a dead
//! owner.

mod slow;
#[cfg(all(test, not(loom)))]
mod tests;

use super::{
    atomic::{
        self, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    wait::Deadline,
    watch::Watch,
};

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

/// Returns the owner's number; 0 if there is none.
fn owner(word: u64) -> u64 {
    word & !FLAGS
}
