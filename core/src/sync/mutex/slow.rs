//! The way of a thread that finds the lock held: it spins, sleeps, recovers the lock from a dead owner, or gives up.

use super::{Acquired, F, FLAGS, LockError, Mutex, S, Threads, W, owner};
use crate::sync::{
    atomic::{
        self,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        heavy_barrier,
    },
    wait::{self, Deadline, Sleep},
    watch,
};
use core::time::Duration;

/// How long a thread waits before it insists. Insisting costs processor time, so it must be rare.
const PATIENCE: Duration = Duration::from_millis(50);

/// How many times a thread that does not wait tries again if the word changes.
const TRIES: u32 = 101;

impl Mutex {
    /// Acquires the lock after the first try has failed.
    #[cold]
    pub(super) fn lock_slow(
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
            self.wake_a_watcher(threads);
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
                waiter.live = owner(word);
                let flags = waiter.flags(word);
                if self.announce(word, flags) {
                    let kept = threads.keeps(owner(word));
                    if kept && self.take_kept(word | flags, me, waiter.has_slept, threads) {
                        return self.acquired(false);
                    }
                    if flags & S == 0 {
                        if self.sleep(word | flags, &mut waiter, part) {
                            continue;
                        }
                        return self.last_try(me);
                    }
                    if self.insist(me, deadline) {
                        return self.acquired(false);
                    }
                }
            }
            // The word has changed, or this thread has insisted. If that happens again and again, it keeps no thread
            // beyond its deadline.
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
            waiter.live = 0;
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
    ///
    /// W stays if a user keeps the lock. Without W, that user could begin another turn; a third thread could set W again;
    /// and a thread that had found the seat clear before, and saw the same word again, would take the lock from that
    /// user. A thread that is about to sleep then becomes a watcher one long slice later.
    #[cold]
    pub(super) fn wake_a_watcher(&self, threads: &impl Threads) {
        // Relaxed: the acquire in `Watch::change` has made W visible. If there is no owner, no thread
        // sleeps for long, and none need be woken.
        let mut word = self.word.load(Relaxed);
        while owner(word) != 0 && word & W != 0 {
            if threads.keeps(owner(word)) {
                atomic::wake_one(&self.word);
                return;
            }
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
            // The kernel makes no barrier. No store stays in a processor for as long as a nap, which takes its whole time
            // even if signal handlers interrupt it. If the word changes, this thread does not take the lock.
            let mut nap = Sleep::until(Deadline::after(Some(wait::NAP)));
            while atomic::nap(&self.word, word, &mut nap) && self.word.load(Relaxed) == word {}
        }
        threads.has_left(owner(word)) && self.take(word, me, has_slept)
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
}

/// A thread that waits for the lock.
struct Waiter<'a> {
    sleep: Sleep<'a>,
    has_slept: bool,
    /// Its last sleep was a nap.
    has_napped: bool,
    /// The owner that this thread has checked in this slice, and did not find dead; 0 if none.
    live: u64,
}

impl<'a> Waiter<'a> {
    fn until(deadline: Deadline<'a>) -> Waiter<'a> {
        Waiter {
            sleep: Sleep::until(deadline),
            has_slept: false,
            has_napped: false,
            live: 0,
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
            owner if owner == self.live => false,
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
