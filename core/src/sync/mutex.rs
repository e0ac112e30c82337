//! The robust lock: one 64-bit word that says who has it and whether others sleep.
//!
//! ```text
//! 0              free
//! owner          taken
//! owner | W      taken, and others sleep, or did so a moment ago
//! owner | W F    taken, and one of them has waited for long
//! owner | W F S  taken, and that one is awake, and looks at the word
//!         W F    free, for those who have slept
//!         W F S  free, for the one that is awake
//! ```
//!
//! *Lock* is one compare-and-swap of 0 by the caller's number, *unlock* is one back. There is no
//! moment in which the lock is taken and the word does not say by which thread. So a thread that
//! finds it taken can ask whether the owner still lives, and take it over from a dead one by the
//! same compare-and-swap.
//!
//! *Sleep.* A thread that is about to sleep sets W, and sleeps while the word is unchanged: the kernel
//! compares the lower half, in which W is. Unlocking takes W away and wakes one sleeper. When that
//! thread takes the lock it sets W again, because others may sleep, too. So each unlock wakes one thread at
//! most, and no wake-up is lost: a thread that was woken takes the lock, or sets W before it sleeps
//! again or gives up.
//!
//! *Fairness.* A thread that finds the lock free takes it before those that sleep: that keeps the lock
//! busy. A thread that has waited for [`PATIENCE`] sets F and S when it next wakes up, and *insists*: it
//! stays awake for a while, and the next unlock leaves the lock to it, without waking another. If it was
//! awake in vain, it takes S away and sleeps; then the next unlock leaves the lock free only for threads
//! that have slept, and wakes one. All other threads leave such a lock alone, but not for long: the thread
//! that is to be next may have no processor.
//!
//! *Deaths.* Two of those that sleep look often whether the owner lives: see [`Watch`]. If a thread is
//! killed in an unlock before it wakes a sleeper, or a sleeper is killed when it is woken or insists, the
//! others sleep for the rest of their slice; then they read the word by themselves.
//!
//! Nothing here is a pointer, and the word may hold anything: a number that no thread has is that of a
//! dead owner.

use super::{
    atomic::{
        self, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    wait::{self, Deadline, Sleep},
    watch::{self, Watch},
};
use core::time::Duration;

/// The lock as it lies in a segment: 16 bytes. All zero, it is free, and its data consistent.
#[cfg_attr(not(loom), repr(C))]
#[derive(Default)]
pub struct Mutex {
    word: AtomicU64,
    /// What is known of the data that the lock protects: one of the three below.
    data: AtomicU32,
    watch: Watch,
}

/// Others sleep.
const W: u64 = 1;
/// One of them has waited for long.
const F: u64 = 2;
/// That one is awake, and looks at the word.
const S: u64 = 4;
/// The bits of the word that are not the owner's number, which has zeroes there.
const FLAGS: u64 = W | F | S;

/// How long a thread waits before it insists, which costs processor time; so this must not happen for
/// each turn.
const PATIENCE: Duration = Duration::from_millis(50);

/// The data is as its last owner left it.
const CONSISTENT: u32 = 0;
/// An owner has died, and no later one has said since that the data is in order.
const SUSPECT: u32 = 1;
/// It was unlocked while it was suspect. There is no way back.
const LOST: u32 = 2;

/// What a lock has to know of the threads that use it. A thread is a number other than 0 whose three
/// lowest bits are 0.
pub trait Threads {
    /// Returns whether that is the calling thread.
    fn is_mine(&self, owner: u64) -> bool;
    /// Returns whether that thread is known to be dead.
    fn is_dead(&self, owner: u64) -> bool;
    /// The same for a first look, which may be left out if there was one some milliseconds ago: it
    /// takes microseconds.
    fn seems_dead(&self, owner: u64) -> bool;
}

/// How it was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    Clean,
    /// Its last owner died while having it.
    OwnerDied,
}

/// Why it was not acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockError {
    TimedOut,
    /// The calling thread has it.
    Deadlock,
    /// The data is lost.
    NotRecoverable,
}

/// What is known of the data that a lock protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is as its last owner left it.
    Consistent,
    /// An owner has died, and no later one has said since that it is in order.
    Suspect,
    /// It was suspect, and given up.
    Lost,
}

/// The calling thread does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOwner;

impl Mutex {
    /// Acquires it for the calling thread, whose number is `me`.
    #[inline]
    pub fn lock(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Acquired, LockError> {
        // Acquire: what the last owner wrote before it released the lock is seen from here on.
        // Release: a thread that sees this number sees what its process wrote before, its namespaces.
        match self.word.compare_exchange(0, me, AcqRel, Relaxed) {
            Ok(_) => self.acquired(false),
            Err(_) => self.lock_taken(me, threads, deadline),
        }
    }

    /// Acquires it for the calling thread if it is free and its data consistent: false if not, and then
    /// [`lock`](Mutex::lock) tells more.
    #[inline(always)]
    pub fn lock_at_once(&self, me: u64) -> bool {
        // All orderings as in `lock`.
        self.word.compare_exchange(0, me, AcqRel, Relaxed).is_ok() && self.has_good_data(me)
    }

    #[inline(always)]
    fn has_good_data(&self, me: u64) -> bool {
        let is_good = self.data.load(Relaxed) == CONSISTENT;
        if !is_good {
            self.release(me);
        }
        is_good
    }

    #[cold]
    fn lock_taken(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Acquired, LockError> {
        // Relaxed: only this thread can have written its own number.
        if threads.is_mine(owner(self.word.load(Relaxed))) {
            return Err(LockError::Deadlock);
        }
        let at_once = matches!(deadline, Deadline::Now);
        // Relaxed: `take` acquires.
        let look = || (self.word.load(Relaxed) == 0 && self.take(0, me, false)).then_some(());
        if !at_once && wait::spin_gently(look).is_some() {
            return self.acquired(false);
        }
        let mut part = watch::Part::default();
        let acquired = self.lock_asleep(me, threads, deadline, &mut part);
        if self.watch.leave(&mut part) {
            self.wake_a_watcher();
        }
        acquired
    }

    fn lock_asleep(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
        part: &mut watch::Part,
    ) -> Result<Acquired, LockError> {
        let at_once = matches!(deadline, Deadline::Now);
        let mut sleep = Sleep::until(deadline);
        let mut has_slept = false;
        let mut has_napped = false;
        // The owner that was last not found dead.
        let mut alive = 0;
        // Of a thread that does not wait.
        let mut tries = 100;
        loop {
            // Acquire: with the number comes the namespace of its process.
            let word = self.word.load(Acquire);
            let is_free = owner(word) == 0;
            // A thread that does not wait is not refused a lock that is free, and the others keep it
            // free for no longer than a nap.
            let may_pass =
                is_free && (word & F == 0 || has_slept && word & S == 0 || at_once || has_napped);
            let is_dead = match owner(word) {
                owner if is_free || owner == alive => false,
                owner if !has_slept => threads.seems_dead(owner),
                // Not after each wake-up: the lock goes from hand to hand.
                owner => sleep.has_expired() && threads.is_dead(owner),
            };
            if may_pass || is_dead {
                if self.take(word, me, has_slept) {
                    return self.acquired(is_dead);
                }
                // A word that changes again and again keeps no thread beyond its deadline.
                if !at_once && deadline.is_over() {
                    return self.last_try(me);
                }
                if tries == 0 {
                    return Err(LockError::TimedOut);
                }
                tries -= u32::from(at_once);
                continue;
            }
            if at_once {
                return Err(LockError::TimedOut);
            }
            alive = owner(word);
            let wishes = match sleep.elapsed() > PATIENCE {
                false => W,
                // One insists at a time.
                true if is_free || word & F != 0 => W | F,
                true => W | F | S,
            };
            if !self.announce(word, wishes) {
                if deadline.is_over() {
                    return self.last_try(me);
                }
                continue;
            }
            if wishes & S != 0 {
                if self.insist(me, deadline) {
                    return self.acquired(false);
                }
                continue;
            }
            // The thread that it is free for may have no processor: it does not keep it for long.
            self.watch.join(part, &mut sleep);
            let in_time = match is_free {
                true => atomic::nap(&self.word, word | wishes, &mut sleep),
                false => atomic::sleep(&self.word, word | wishes, &mut sleep),
            };
            if !in_time {
                return self.last_try(me);
            }
            has_slept = true;
            has_napped = is_free;
            if sleep.has_expired() {
                alive = 0;
            }
        }
    }

    /// Looks for a while until the lock is free, and takes it. False if it was not, or another thread
    /// came first. This thread has set S.
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
            // Relaxed: the flags order nothing. If the lock was unlocked for this thread since, it
            // finds that when it looks next. If another thread has set S since, that one sleeps, too.
            self.word.fetch_and(!S, Relaxed);
            false
        })
    }

    /// Wakes one of those that sleep while the lock is taken, as an unlock does: so it is counted as one that
    /// is awake, and those that are about to sleep see that the word has changed.
    #[cold]
    fn wake_a_watcher(&self) {
        // Relaxed: what the watch has said brought W with it. Nothing to do where there is no owner:
        // then no thread sleeps for long.
        let mut word = self.word.load(Relaxed);
        while owner(word) != 0 && word & W != 0 {
            // Release: a thread that finds W gone finds the watch left, too.
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

    /// Tries once more after the timeout: a lock that was free for others may still be free. If it is
    /// taken, the next unlock wakes another thread: this one may have been woken in its place.
    fn last_try(&self, me: u64) -> Result<Acquired, LockError> {
        // Acquire: as above. Relaxed would do for W, which orders nothing.
        let word = self.word.fetch_or(W, Acquire) | W;
        match owner(word) == 0 && self.take(word, me, true) {
            true => self.acquired(false),
            false => Err(LockError::TimedOut),
        }
    }

    /// Takes the lock, if its word is still that one.
    fn take(&self, word: u64, me: u64, has_slept: bool) -> bool {
        let flags = match has_slept {
            // Others may sleep, and the unlock that woke this thread has taken W away. F has served its
            // purpose: this thread has slept.
            true => W,
            false => word & FLAGS,
        };
        // Both as in `lock`. From a dead owner nothing was released, and nothing is relied on until
        // the data is repaired.
        self.word
            .compare_exchange(word, me | flags, AcqRel, Relaxed)
            .is_ok()
    }

    /// Sets flags in the word, if it is still that one.
    fn announce(&self, word: u64, flags: u64) -> bool {
        // Relaxed: the flags order nothing; the kernel compares the word again.
        word & flags == flags
            || self
                .word
                .compare_exchange(word, word | flags, Relaxed, Relaxed)
                .is_ok()
    }

    /// The number of the thread that has it, and whether the data is suspect or lost: to look at.
    pub fn look(&self) -> (Option<u64>, Condition) {
        // Relaxed, both: the answer may be old as soon as it is given.
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

    /// What the new owner has to know.
    #[inline]
    fn acquired(&self, from_the_dead: bool) -> Result<Acquired, LockError> {
        // Relaxed, here and below: only the owner reads and writes this, and the word orders it.
        let data = self.data.load(Relaxed);
        if !from_the_dead && data == CONSISTENT {
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
        // Should this thread die before that, the next one finds a dead owner again.
        self.data.store(SUSPECT, Relaxed);
        Ok(Acquired::OwnerDied)
    }

    /// The data is in order again, says the owner.
    pub fn consistent(&self, threads: &impl Threads) -> Result<(), NotOwner> {
        self.expect_mine(threads)?;
        self.data.store(CONSISTENT, Relaxed);
        Ok(())
    }

    /// Releases it. Data that is still suspect is lost from now on.
    #[inline]
    pub fn unlock(&self, threads: &impl Threads) -> Result<(), NotOwner> {
        let word = self.expect_mine(threads)?;
        if self.data.load(Relaxed) != CONSISTENT {
            self.data.store(LOST, Relaxed);
        }
        self.release(word);
        Ok(())
    }

    /// Releases it for a thread, whose number is `owner`, that does not come back to it; its data is
    /// consistent. False if that thread does not have it.
    #[cold]
    pub fn unlock_for(&self, owner: u64) -> bool {
        self.release_and_wake(owner)
    }

    /// Releases it, of which the owner has seen this word.
    #[inline]
    fn release(&self, word: u64) {
        // Release: the next owner sees what this one wrote. Relaxed: if it fails, others have set
        // flags, which order nothing.
        let alone = word & FLAGS == 0
            && self
                .word
                .compare_exchange(word, 0, Release, Relaxed)
                .is_ok();
        if !alone {
            self.release_and_wake(owner(word));
        }
    }

    /// Releases it, and wakes one sleeper. False if that thread does not have it.
    #[cold]
    fn release_and_wake(&self, thread: u64) -> bool {
        let free = loop {
            let word = self.word.load(Relaxed);
            if owner(word) != thread {
                return false; // it was taken over, or overwritten
            }
            let free = match word & F {
                0 => 0,
                _ => word & S | W | F,
            };
            // Both as above.
            let released = self.word.compare_exchange(word, free, Release, Relaxed);
            if released.is_ok() {
                break free;
            }
        };
        if free & S != 0 {
            return true; // the thread that it is for is awake
        }
        // If no thread sleeps that may pass, because all are awake or have given up, the lock is free
        // for all. A thread that came since may sleep on the word before this change. Release: a later
        // owner sees what this one wrote.
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

    /// The word, if the calling thread is the owner.
    #[inline]
    fn expect_mine(&self, threads: &impl Threads) -> Result<u64, NotOwner> {
        // Relaxed: only this thread can have written its own number.
        let word = self.word.load(Relaxed);
        match threads.is_mine(owner(word)) {
            true => Ok(word),
            false => Err(NotOwner),
        }
    }
}

/// The owner's number, 0 if there is none.
fn owner(word: u64) -> u64 {
    word & !FLAGS
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sys;
    use std::{sync::atomic::AtomicBool, thread, time::Instant};

    /// The threads of this process.
    struct Real;

    impl Threads for Real {
        fn is_mine(&self, owner: u64) -> bool {
            owner == me()
        }

        fn is_dead(&self, owner: u64) -> bool {
            !sys::has_thread(sys::process_id(), (owner >> FLAGS.count_ones()) as i32)
        }

        fn seems_dead(&self, owner: u64) -> bool {
            self.is_dead(owner)
        }
    }

    fn me() -> u64 {
        (sys::thread_id() as u64) << FLAGS.count_ones()
    }

    fn lock(lock: &Mutex) -> Result<Acquired, LockError> {
        let deadline = Deadline::after(Some(Duration::from_secs(60)));
        lock.lock(me(), &Real, deadline)
    }

    fn try_lock(lock: &Mutex) -> Result<Acquired, LockError> {
        lock.lock(me(), &Real, Deadline::Now)
    }

    fn unlock(lock: &Mutex) -> Result<(), NotOwner> {
        lock.unlock(&Real)
    }

    #[test]
    fn it_excludes() {
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
    fn it_knows_its_owner() {
        let shared = Mutex::default();
        assert_eq!(unlock(&shared), Err(NotOwner));
        lock(&shared).unwrap();
        assert_eq!(lock(&shared), Err(LockError::Deadlock));
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(unlock(&shared), Err(NotOwner));
                assert_eq!(shared.consistent(&Real), Err(NotOwner));
                assert_eq!(try_lock(&shared), Err(LockError::TimedOut));
            });
        });
        unlock(&shared).unwrap();
        assert_eq!(try_lock(&shared), Ok(Acquired::Clean));
    }

    #[test]
    fn a_dead_owners_lock_is_taken_over_and_repaired() {
        let shared = Mutex::default();
        thread::scope(|scope| {
            scope.spawn(|| lock(&shared).unwrap());
        });
        assert_eq!(lock(&shared), Ok(Acquired::OwnerDied));
        shared.consistent(&Real).unwrap();
        unlock(&shared).unwrap();
        assert_eq!(lock(&shared), Ok(Acquired::Clean));
    }

    #[test]
    fn suspect_data_that_nobody_repairs_is_lost() {
        let shared = Mutex::default();
        thread::scope(|scope| {
            scope.spawn(|| lock(&shared).unwrap());
        });
        assert_eq!(lock(&shared), Ok(Acquired::OwnerDied));
        unlock(&shared).unwrap();
        assert_eq!(lock(&shared), Err(LockError::NotRecoverable));
        assert_eq!(lock(&shared), Err(LockError::NotRecoverable));
    }

    #[test]
    fn a_sleeper_notices_its_owners_death() {
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
    fn an_owner_that_cannot_be_judged_is_left_alone() {
        struct Unknown;
        impl Threads for Unknown {
            fn is_mine(&self, owner: u64) -> bool {
                Real.is_mine(owner)
            }
            fn is_dead(&self, _: u64) -> bool {
                false
            }
            fn seems_dead(&self, _: u64) -> bool {
                false
            }
        }
        let shared = Mutex::default();
        thread::scope(|scope| {
            scope.spawn(|| lock(&shared).unwrap());
        });
        let deadline = Deadline::after(Some(Duration::from_millis(10)));
        let start = Instant::now();
        assert_eq!(
            shared.lock(me(), &Unknown, deadline),
            Err(LockError::TimedOut)
        );
        assert!(start.elapsed() >= Duration::from_millis(10));
    }

    /// While the lock is free for those who have slept, a thread that does not wait still gets it,
    /// and one that waits gets it when it has slept.
    #[test]
    fn a_lock_that_is_kept_for_a_dead_sleeper_is_not_lost() {
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
    fn any_bits_are_an_error_or_a_lock() {
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
