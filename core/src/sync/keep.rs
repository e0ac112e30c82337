//! A lock that stays with its last user, who then uses it again without an atomic read-modify-write.
//!
//! Each user has a [`Seat`] in shared memory. A user that has taken `TURNS` turns in a row *keeps* the lock: instead
//! of releasing it, it replaces its thread's number in the lock's word by one that names its seat. From then on it
//! stores its thread's number in the seat before each turn, and checks that the lock's word is unchanged; after the
//! turn it clears the seat, and checks again.
//!
//! Another user sets a flag in the lock's word, makes a barrier on all processors (`membarrier(2)`), and reads the
//! seat. If the seat is clear, it takes the lock. If not, it sleeps; at the end of its turn, the keeper finds the flag,
//! releases the lock, and wakes that user. So a user needs one such barrier to get a kept lock, and the last keeper
//! must again take `TURNS` turns in a row before it keeps the lock. A process that such a barrier does not reach keeps no
//! lock.
//!
//! A keeper that is killed in its turn leaves its number in the seat, and the lock is recovered from it. If it is
//! killed between two turns, the seat is clear, and the next user takes the lock as usual.
//!
//! ```text
//!  63      31 30  25 24          3 2   0
//! ┌──────────┬──────┬─────────────┬─────┐
//! │  count   │ seat │      0      │flags│   the word of a lock that is kept
//! └──────────┴──────┴─────────────┴─────┘
//! ```
//!
//! In a thread's number, bits 3 to 24 are not all 0. The count differs each time that a user begins to keep the lock,
//! so if the word is unchanged, no other user has had the lock.

use super::{
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
        barrier_of_participant, takes_part,
    },
    mutex::{Mutex, Threads},
};

/// How many turns in a row a user takes before it keeps the lock. They take longer than the barrier that another user
/// then needs to take the lock.
#[cfg(not(loom))]
const TURNS: u32 = 256;
#[cfg(loom)]
const TURNS: u32 = 1;

const SEAT_SHIFT: u32 = 25;
const SEATS: u64 = 64;
const COUNT_SHIFT: u32 = 31;
const THREAD_ID: u64 = ((1 << 22) - 1) << 3;

/// The thread that uses a lock which this seat's user keeps, or 0.
#[cfg_attr(not(loom), repr(transparent))]
#[derive(Default)]
pub struct Seat(AtomicU64);

/// What a user knows of the lock.
#[derive(Default)]
pub struct Keeper {
    /// The number that the lock's word has while this user keeps the lock; 0 if it does not keep the lock.
    number: u64,
    /// The number of the thread that began to keep it.
    thread: u64,
    /// How many turns it has taken in a row.
    turns: u32,
}

impl Keeper {
    /// Returns the thread that began to keep the lock, if this user keeps it.
    #[inline(always)]
    pub fn thread(&self) -> Option<u64> {
        (self.number != 0).then_some(self.thread)
    }

    /// Begins a turn. This user keeps the lock, and the calling thread is the one that began to keep it: see `thread`.
    /// Returns false if another user wants the lock or has it.
    #[inline(always)]
    pub fn begin(&mut self, lock: &Mutex, seat: &Seat) -> bool {
        // Relaxed: the barrier orders this store before the load of the lock's word. It pairs with the heavy barrier in
        // `Mutex::take_kept`, between the store of the flag and the load of the seat: either this thread sees the flag,
        // or the other one sees this number. The compiler does not move it behind the turn's stores either, so that the
        // next user finds the number of a thread that was killed in its turn.
        debug_assert_ne!(self.number, 0);
        seat.0.store(self.thread, Relaxed);
        barrier_of_participant();
        let begun = lock.is_kept_as(self.number);
        if !begun {
            self.end_turn(lock, seat);
        }
        begun
    }

    /// Ends a turn. Returns false if this user does not keep the lock; then the caller unlocks it.
    #[inline(always)]
    pub fn end(&mut self, lock: &Mutex, seat: &Seat) -> bool {
        let keeps = self.number != 0;
        if keeps {
            self.end_turn(lock, seat);
        }
        keeps
    }

    /// Ends a turn that [`begin`](Keeper::begin) has begun.
    #[inline(always)]
    pub fn end_turn(&mut self, lock: &Mutex, seat: &Seat) {
        // Release: pairs with the acquire in `Seats::user`: the next owner sees what this one wrote. The barrier
        // is as in `begin`: if the other thread has seen the number, this one sees the flag, and wakes it.
        seat.0.store(0, Release);
        barrier_of_participant();
        if !lock.is_kept_as(self.number) {
            self.release(lock);
        }
    }

    /// Releases the lock if this user keeps it. Called between turns.
    #[cold]
    pub fn release(&mut self, lock: &Mutex) {
        if self.number != 0 {
            // If this returns false, another user has taken the lock.
            lock.unlock_for(self.number);
            *self = Keeper::default();
        }
    }

    /// Counts a turn that the thread `me` is about to end by unlocking. Returns true if this user keeps the lock from
    /// now on; then the turn has ended. `in_a_row`: whether no other user has had a turn since the last one of this
    /// user. `count`: a word that only the owner of the lock changes.
    #[inline]
    pub fn keep(
        &mut self,
        lock: &Mutex,
        me: u64,
        (place, seat): (usize, &Seat),
        count: &AtomicU64,
        in_a_row: bool,
    ) -> bool {
        // Stops at `TURNS`: the count of a process that never keeps a lock would overflow.
        self.turns = if in_a_row {
            (self.turns + 1).min(TURNS)
        } else {
            0
        };
        self.turns >= TURNS && takes_part() && self.keep_now(lock, me, (place, seat), count)
    }

    #[cold]
    fn keep_now(
        &mut self,
        lock: &Mutex,
        me: u64,
        (place, seat): (usize, &Seat),
        count: &AtomicU64,
    ) -> bool {
        self.turns = 0;
        // Relaxed, all: the lock orders them.
        let now = count.load(Relaxed).wrapping_add(1) % (1 << (64 - COUNT_SHIFT));
        let now = now.max(1);
        count.store(now, Relaxed);
        // A process that died while it used this seat may have left its number.
        seat.0.store(0, Relaxed);
        let number = now << COUNT_SHIFT | (place as u64 % SEATS) << SEAT_SHIFT;
        let kept = lock.keep(me, number);
        if kept {
            (self.number, self.thread) = (number, me);
        }
        kept
    }
}

/// The threads that use a lock which one of them may keep.
pub struct Seats<'a, T> {
    pub threads: T,
    pub seats: &'a [Seat],
}

impl<T> Seats<'_, T> {
    /// Returns the number of the thread that uses the lock, given the owner that its word names; 0 if none does.
    pub fn user(&self, owner: u64) -> u64 {
        let Some(place) = place(owner) else {
            return owner;
        };
        // Acquire: see `Keeper::end_turn`.
        self.seats.get(place).map_or(0, |seat| seat.0.load(Acquire))
    }

    /// Returns whether a liveness check finds that the user of the lock has died in its turn. Returns false if the turn
    /// ends during the check, even if the user's process then ends before the check does. The lock's word does not show
    /// the end of a kept lock's turn, because it stays the same; the seat shows it.
    fn died_in_turn(&self, owner: u64, is_dead: impl FnOnce(u64) -> bool) -> bool {
        let user = self.user(owner);
        user != 0 && is_dead(user) && self.user(owner) == user
    }
}

impl<T: Threads> Threads for Seats<'_, T> {
    #[inline(always)]
    fn is_mine(&self, owner: u64) -> bool {
        self.threads.is_mine(self.user(owner))
    }

    fn is_dead(&self, owner: u64) -> bool {
        self.died_in_turn(owner, |user| self.threads.is_dead(user))
    }

    fn seems_dead(&self, owner: u64) -> bool {
        self.died_in_turn(owner, |user| self.threads.seems_dead(user))
    }

    fn keeps(&self, owner: u64) -> bool {
        place(owner).is_some()
    }

    fn has_left(&self, owner: u64) -> bool {
        self.keeps(owner) && self.user(owner) == 0
    }
}

/// Returns the place of the seat that a lock's owner names; `None` if it is a thread, or 0.
#[inline(always)]
pub fn place(owner: u64) -> Option<usize> {
    (owner != 0 && owner & THREAD_ID == 0).then_some((owner >> SEAT_SHIFT & (SEATS - 1)) as usize)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const USER: u64 = 7 << 3;
    /// A lock that the user of seat 1 keeps.
    const KEPT: u64 = 1 << COUNT_SHIFT | 1 << SEAT_SHIFT;

    /// A dead user. If `after_turn`, its turn ended before it died.
    struct Ends<'a> {
        seat: &'a Seat,
        after_turn: bool,
    }

    impl Threads for Ends<'_> {
        fn is_mine(&self, _: u64) -> bool {
            false
        }

        fn is_dead(&self, owner: u64) -> bool {
            if self.after_turn {
                self.seat.0.store(0, Release);
            }
            owner == USER
        }

        fn seems_dead(&self, owner: u64) -> bool {
            self.is_dead(owner)
        }
    }

    #[test]
    fn a_user_that_ends_after_its_turn_has_not_died_in_it() {
        for after_turn in [false, true] {
            let seats = [Seat::default(), Seat::default()];
            let seat = &seats[1];
            for check in [Threads::is_dead, Threads::seems_dead] {
                seat.0.store(USER, Relaxed);
                let seats = Seats {
                    threads: Ends { seat, after_turn },
                    seats: &seats,
                };
                assert_eq!(check(&seats, KEPT), !after_turn);
            }
        }
    }
}
