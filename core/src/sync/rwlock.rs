//! The robust reader-writer lock: a mutex, and a slot for each reader.
//!
//! *Read* is one compare-and-swap in a slot on a cache line of its own, and one load of the mutex: if no thread holds
//! the mutex, the calling thread has the lock. *Unlock* is one store into the slot. So readers on several processors do
//! not take cache lines away from each other.
//!
//! *Write* holds the mutex, and waits until all slots are empty. A reader stores into its slot and then loads the
//! mutex; a writer takes the mutex and then loads the slots; so at least one of the two sees the other. A reader that
//! sees a writer empties its slot again, waits for the mutex as a writer does, and holds the mutex only until it has
//! filled a slot. So readers and writers wait for the same mutex, and neither starves the other.
//!
//! *The gate* is where the holder of the mutex sleeps while it waits for readers. It sets [`WAITS`] and then loads the
//! slots again; a reader empties its slot and then checks for [`WAITS`]. For the barrier between its two accesses, the
//! thread that sleeps calls `membarrier(2)`, so the reader needs none.
//!
//! *Deaths.* The holder of the mutex empties the slots of dead readers. A mutex with a dead owner is recovered. The
//! data is suspect only if that owner was a writer that had begun to write, which [`writing`](RwLock::writing) records.

use super::{
    atomic::{
        self, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        barrier_after_swap, fence, heavy_barrier, light_barrier,
    },
    mutex::{Acquired, Condition, LockError, Mutex, NotOwner, Threads},
    wait::{self, Deadline, Sleep},
};

/// How many threads can hold the lock for reading at a time.
#[cfg(not(loom))]
pub const READERS: usize = 64;
#[cfg(loom)]
pub const READERS: usize = 2;

/// The lock in a segment. If all bytes are zero, it is free, and its data is consistent.
#[cfg_attr(not(loom), repr(C, align(64)))]
#[derive(Default)]
pub struct RwLock {
    mutex: Mutex,
    /// 1 from before the first change that a writer makes until its data is consistent again.
    writing: AtomicU32,
    gate: AtomicU32,
    slots: Slots,
}

/// The state of a lock, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The number of the thread that holds the lock for writing.
    pub writer: Option<u64>,
    /// The number of the thread that acquires the lock next, and waits for readers to leave.
    pub next: Option<u64>,
    pub condition: Condition,
}

/// In the gate: the holder of the mutex sleeps there, or is about to sleep. The other bits count how often the gate was
/// opened.
const WAITS: u32 = 1;
const ONE: u32 = 2;

#[cfg(not(loom))]
struct Slots([Slot; READERS]);
#[cfg(loom)]
#[derive(Default)]
struct Slots([Slot; READERS]);

#[cfg(not(loom))]
impl Default for Slots {
    fn default() -> Slots {
        Slots(core::array::from_fn(|_| Slot::default()))
    }
}

/// A reader's place in the lock.
#[cfg_attr(not(loom), repr(C, align(64)))]
#[derive(Default)]
struct Slot {
    /// The number of the reader; 0 if there is none.
    reader: AtomicU64,
    /// How many more times that thread has locked the lock. Only that thread reads and writes it.
    again: AtomicU32,
}

impl Slot {
    #[inline(always)]
    fn enter(&self, me: u64) -> bool {
        // Acquire: pairs with the release in `leave`, and in the mutex: what the last reader of this slot saw
        // is visible. Release: a thread that sees this number sees the namespaces of its process.
        let entered = self.reader.compare_exchange(0, me, AcqRel, Relaxed).is_ok();
        if entered {
            // A reader that died with this slot may have left another number. Relaxed: see the field.
            self.again.store(0, Relaxed);
        }
        entered
    }

    /// Empties the slot of the calling thread.
    #[inline(always)]
    fn leave(&self) {
        // Release: a writer that sees the slot empty writes after this thread's reads.
        self.reader.store(0, Release);
    }

    /// Empties the slot of a dead thread. Does nothing if that thread left the slot before it ended, because another
    /// thread may have entered the slot since.
    fn expel(&self, dead: u64) {
        // Release: as in `leave`. Relaxed: on failure, this thread does nothing.
        let _ = self.reader.compare_exchange(dead, 0, Release, Relaxed);
    }

    /// Returns whether the calling thread has the slot.
    fn is_mine(&self, threads: &impl Threads) -> bool {
        // Relaxed: only this thread can have written its own number.
        let reader = self.reader.load(Relaxed);
        reader != 0 && threads.is_mine(reader)
    }
}

impl RwLock {
    /// Acquires the lock for reading, for the calling thread, whose number is `me`. `OwnerDied` means that the lock is
    /// acquired, but its data is suspect.
    ///
    /// A thread may acquire it several times, and then unlocks it as many times.
    #[inline]
    pub fn read(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Acquired, LockError> {
        if self.read_at_once(me) {
            Ok(Acquired::Clean)
        } else {
            self.read_slow(me, threads, deadline)
        }
    }

    /// Acquires the lock for reading if no thread holds it for writing or waits for that, and its data is consistent.
    /// If this returns false, [`read`](RwLock::read) returns the reason.
    #[inline(always)]
    pub fn read_at_once(&self, me: u64) -> bool {
        let slot = &self.slots.0[home(me)];
        slot.enter(me) && self.may_stay(slot)
    }

    /// Returns whether a thread that has entered a slot has the lock; if not, empties the slot.
    #[inline(always)]
    fn may_stay(&self, slot: &Slot) -> bool {
        // Pairs with the barrier in `write`: this thread sees that the mutex is held, or the writer sees the
        // slot.
        barrier_after_swap();
        let may = self.mutex.is_free_and_consistent();
        if !may {
            self.leave(slot);
        }
        may
    }

    #[cold]
    fn read_slow(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Acquired, LockError> {
        if let Some(slot) = self.slot_of(me, threads) {
            return self.read_again(slot);
        }
        // Another thread may have this thread's usual slot.
        if self.mutex.is_free_and_consistent()
            && let Some(slot) = self.enter_any(me)
            && self.may_stay(slot)
        {
            return Ok(Acquired::Clean);
        }
        let acquired = self.lock_mutex(me, threads, deadline)?;
        let entered = self.wait_at_gate(threads, deadline, || self.enter_any(me).is_some());
        self.mutex.unlock_for(me);
        entered.map(|()| acquired)
    }

    /// Acquires the lock once more, for the thread that has this slot. The slot keeps writers out, so the thread need
    /// not take the mutex; and it must not wait for the mutex, because a writer that holds it may wait for this thread.
    fn read_again(&self, slot: &Slot) -> Result<Acquired, LockError> {
        let again = slot.again.load(Relaxed).checked_add(1);
        slot.again.store(again.ok_or(LockError::Deadlock)?, Relaxed);
        Ok(match self.mutex.look().1 {
            Condition::Consistent => Acquired::Clean,
            Condition::Suspect | Condition::Lost => Acquired::OwnerDied,
        })
    }

    /// Enters a free slot, beginning with the thread's usual one.
    fn enter_any(&self, me: u64) -> Option<&Slot> {
        self.slots_from(me).find(|slot| slot.enter(me))
    }

    /// Returns the slot of the calling thread, which may have entered it under an earlier number.
    fn slot_of(&self, me: u64, threads: &impl Threads) -> Option<&Slot> {
        self.slots_from(me).find(|slot| slot.is_mine(threads))
    }

    /// Returns the slots, beginning with the thread's usual one.
    fn slots_from(&self, me: u64) -> impl Iterator<Item = &Slot> {
        let (before, after) = self.slots.0.split_at(home(me));
        after.iter().chain(before)
    }

    /// Acquires the lock for writing, for the calling thread, whose number is `me`. `OwnerDied` means that the lock is
    /// acquired, but its data is suspect.
    #[inline]
    pub fn write(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Acquired, LockError> {
        let acquired = if self.mutex.lock_at_once(me) {
            Acquired::Clean
        } else if self.slot_of(me, threads).is_some() {
            return Err(LockError::Deadlock);
        } else {
            self.lock_mutex(me, threads, deadline)?
        };
        // Pairs with the barrier in `may_stay`. The mutex was acquired by a compare-and-swap.
        barrier_after_swap();
        if !self.has_no_reader()
            && let Err(error) = self.wait_for_readers(me, threads, deadline)
        {
            self.mutex.unlock_for(me);
            return Err(error);
        }
        // Relaxed: another thread reads it only after this one has died, and then all stores of this one are visible.
        // Only their order matters: the fence keeps the later changes of this thread after this store.
        self.writing.store(1, Relaxed);
        fence(Release);
        Ok(acquired)
    }

    #[cold]
    fn wait_for_readers(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<(), LockError> {
        if self.slot_of(me, threads).is_some() {
            return Err(LockError::Deadlock);
        }
        self.wait_at_gate(threads, deadline, || self.has_no_reader())
    }

    /// Acquires the mutex. Its last owner may have died before it began to write, or as a reader: then the data
    /// is not suspect.
    #[cold]
    fn lock_mutex(
        &self,
        me: u64,
        threads: &impl Threads,
        deadline: Deadline,
    ) -> Result<Acquired, LockError> {
        let acquired = self.mutex.lock(me, threads, deadline)?;
        // Relaxed: only the owner of the mutex reads and writes it. For a dead owner, see `write`.
        if acquired == Acquired::OwnerDied
            && self.writing.load(Relaxed) == 0
            && self.mutex.consistent(threads).is_ok()
        {
            return Ok(Acquired::Clean);
        }
        Ok(acquired)
    }

    /// Waits until `is_open` returns true. The calling thread holds the mutex, so no other thread waits here.
    fn wait_at_gate(
        &self,
        threads: &impl Threads,
        deadline: Deadline,
        is_open: impl Fn() -> bool,
    ) -> Result<(), LockError> {
        if wait::spin_gently(|| is_open().then_some(())).is_some() {
            return Ok(());
        }
        self.expel_dead_readers(threads);
        let mut sleep = Sleep::until(deadline);
        loop {
            // Relaxed: the barrier orders it. Pairs with the light barrier in `leave`: this thread sees the empty
            // slot, or the reader sees WAITS.
            let gate = self.gate.fetch_or(WAITS, Relaxed) | WAITS;
            if !heavy_barrier() {
                sleep.stay_light();
            }
            if is_open() {
                return Ok(());
            }
            if !atomic::sleep_half(&self.gate, gate, &mut sleep) {
                return Err(LockError::TimedOut);
            }
            if sleep.has_expired() {
                self.expel_dead_readers(threads);
            }
        }
    }

    /// Empties the slots of dead readers. The calling thread holds the mutex.
    #[cold]
    fn expel_dead_readers(&self, threads: &impl Threads) {
        for slot in &self.slots.0 {
            // Acquire: a thread that sees the number sees the namespaces of its process.
            let reader = slot.reader.load(Acquire);
            if reader != 0 && threads.is_dead(reader) {
                slot.expel(reader);
            }
        }
    }

    fn has_no_reader(&self) -> bool {
        // Acquire: pairs with the release in `Slot::leave`.
        self.slots
            .0
            .iter()
            .all(|slot| slot.reader.load(Acquire) == 0)
    }

    /// Empties a slot that the calling thread has.
    #[inline(always)]
    fn leave(&self, slot: &Slot) {
        slot.leave();
        // Pairs with the heavy barrier in `wait_at_gate`. Relaxed: this barrier orders the load.
        light_barrier();
        if self.gate.load(Relaxed) & WAITS != 0 {
            self.open_gate();
        }
    }

    /// Wakes the thread that sleeps at the gate.
    #[cold]
    fn open_gate(&self) {
        let mut gate = self.gate.load(Relaxed);
        while gate & WAITS != 0 {
            let open = (gate & !WAITS).wrapping_add(ONE);
            // Relaxed: it orders nothing; the thread that is woken reads the slots.
            match self.gate.compare_exchange(gate, open, Relaxed, Relaxed) {
                Ok(_) => {
                    atomic::wake_half(&self.gate);
                    return;
                }
                Err(now) => gate = now,
            }
        }
    }

    /// Unlocks a lock that the calling thread, `me`, holds for writing or for reading. If it held the lock for writing
    /// and the data is still suspect, the data becomes lost.
    #[inline]
    pub fn unlock(&self, me: u64, threads: &impl Threads) -> Result<(), NotOwner> {
        if self.unlock_reading_at_once(me) {
            Ok(())
        } else if self.mutex.is_mine(threads) {
            self.unlock_writing(threads)
        } else {
            self.unlock_reading_slow(me, threads)
        }
    }

    /// Unlocks a lock that the calling thread, `me`, holds for reading.
    #[inline]
    pub fn unlock_reading(&self, me: u64, threads: &impl Threads) -> Result<(), NotOwner> {
        if self.unlock_reading_at_once(me) {
            Ok(())
        } else {
            self.unlock_reading_slow(me, threads)
        }
    }

    /// Unlocks a lock that the calling thread holds for reading once, in its usual slot. If this returns false,
    /// the thread may hold it in another way.
    #[inline(always)]
    pub fn unlock_reading_at_once(&self, me: u64) -> bool {
        let slot = &self.slots.0[home(me)];
        // Relaxed, both: only this thread can have written its own number.
        let is_last = slot.reader.load(Relaxed) == me && slot.again.load(Relaxed) == 0;
        if is_last {
            self.leave(slot);
        }
        is_last
    }

    #[cold]
    fn unlock_reading_slow(&self, me: u64, threads: &impl Threads) -> Result<(), NotOwner> {
        let slot = self.slot_of(me, threads).ok_or(NotOwner)?;
        if let Some(again) = slot.again.load(Relaxed).checked_sub(1) {
            slot.again.store(again, Relaxed);
        } else {
            self.leave(slot);
        }
        Ok(())
    }

    /// Unlocks a lock that the calling thread holds for writing.
    #[inline]
    pub fn unlock_writing(&self, threads: &impl Threads) -> Result<(), NotOwner> {
        if self.mutex.look().1 == Condition::Consistent && self.mutex.is_mine(threads) {
            // Release: this thread's changes stay before it.
            self.writing.store(0, Release);
        }
        self.mutex.unlock(threads)
    }

    /// Marks the data as consistent. The calling thread holds the lock for writing.
    pub fn consistent(&self, threads: &impl Threads) -> Result<(), NotOwner> {
        self.mutex.consistent(threads)
    }

    /// Returns the state of the lock, for display.
    pub fn look(&self) -> Seen {
        let (owner, condition) = self.mutex.look();
        // Relaxed: the answer may be outdated as soon as it is returned.
        let is_writing = self.writing.load(Relaxed) != 0;
        Seen {
            writer: owner.filter(|_| is_writing),
            next: owner.filter(|_| !is_writing),
            condition,
        }
    }

    /// Returns the numbers of the readers, for display.
    pub fn readers(&self) -> impl Iterator<Item = u64> {
        // Acquire: a thread that sees the number sees the namespaces of its process.
        let numbers = self.slots.0.iter().map(|slot| slot.reader.load(Acquire));
        numbers.filter(|&reader| reader != 0)
    }
}

/// Returns the index of a thread's usual slot. It is made of the lowest bits of the number that vary: those of the
/// thread's id, which the kernel assigns in sequence.
#[inline(always)]
fn home(me: u64) -> usize {
    (me >> 3) as usize % READERS
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const FIRST: u64 = 3 << 3;
    const SECOND: u64 = (3 + READERS as u64) << 3;

    /// While a liveness check of the first reader runs, this reader leaves its slot and ends, and another thread enters
    /// the slot.
    struct Follows<'a>(&'a RwLock);

    impl Threads for Follows<'_> {
        fn is_mine(&self, _: u64) -> bool {
            false
        }

        fn is_dead(&self, owner: u64) -> bool {
            let slot = &self.0.slots.0[home(FIRST)];
            if owner == FIRST {
                slot.leave();
                assert!(slot.enter(SECOND));
            }
            owner == FIRST
        }

        fn seems_dead(&self, owner: u64) -> bool {
            self.is_dead(owner)
        }
    }

    #[test]
    fn a_thread_that_follows_a_reader_in_its_slot_is_not_expelled_with_it() {
        let lock = RwLock::default();
        assert!(lock.read_at_once(FIRST));
        lock.expel_dead_readers(&Follows(&lock));
        assert_eq!(lock.readers().collect::<Vec<_>>(), [SECOND]);
        lock.expel_dead_readers(&Follows(&lock));
        assert_eq!(lock.readers().count(), 1, "it lives");
    }
}
