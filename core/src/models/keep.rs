//! A lock that its last user keeps.

use super::{
    bounded,
    thread_of_a_lock::{DEAD, Thread},
};
use crate::sync::{
    Acquired, AtomicU64, Deadline, Mutex,
    keep::{Keeper, Seat, Seats},
};
use loom::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
};

#[derive(Default)]
struct Shared {
    lock: Mutex,
    seats: [Seat; 3],
    count: AtomicU64,
    /// Changed by the owner only, by a load and a store.
    turns: AtomicU64,
}

struct User<'a> {
    shared: &'a Shared,
    place: usize,
    keeper: Keeper,
}

impl User<'_> {
    fn new(shared: &Shared, place: usize) -> User<'_> {
        User {
            shared,
            place,
            keeper: Keeper::default(),
        }
    }

    fn me(&self) -> u64 {
        8 * (self.place as u64 + 1)
    }

    /// Begins a turn. `None` if the deadline has passed.
    fn begin(&mut self, me: u64, deadline: Deadline) -> Option<Acquired> {
        let Shared { lock, seats, .. } = self.shared;
        if self.keeper.thread() == Some(me) && self.keeper.begin(lock, &seats[self.place]) {
            return Some(Acquired::Clean);
        }
        self.keeper.release(lock);
        let threads = Seats {
            threads: Thread(me),
            seats,
        };
        let acquired = lock.lock(me, &threads, deadline).ok()?;
        if acquired == Acquired::OwnerDied {
            lock.consistent(&Thread(me)).unwrap();
        }
        Some(acquired)
    }

    fn take_turn(&mut self, deadline: Deadline) -> bool {
        self.take_turn_as(self.me(), deadline)
    }

    fn take_turn_as(&mut self, me: u64, deadline: Deadline) -> bool {
        if self.begin(me, deadline).is_none() {
            return false;
        }
        let Shared {
            lock,
            seats,
            count,
            turns,
        } = self.shared;
        turns.store(turns.load(Relaxed) + 1, Relaxed);
        let seat = &seats[self.place];
        let keeper = &mut self.keeper;
        if !keeper.end(lock, seat) && !keeper.keep(lock, me, (self.place, seat), count, true) {
            lock.unlock(&Thread(me)).unwrap();
        }
        true
    }
}

/// Each user takes its number of turns, with its deadline. A user keeps the lock after its first turn.
fn check(preemptions: usize, users: &'static [(u64, Deadline)]) {
    bounded(preemptions, move || {
        let shared = Arc::new(Shared::default());
        let part = |shared: &Shared, place: usize| {
            let (turns, deadline) = users[place];
            let mut user = User::new(shared, place);
            (0..turns).filter(|_| user.take_turn(deadline)).count() as u64
        };
        let others: Vec<_> = (1..users.len())
            .map(|place| {
                let shared = shared.clone();
                thread::spawn(move || part(&shared, place))
            })
            .collect();
        let mut taken = part(&shared, 0);
        for other in others {
            taken += other.join().unwrap();
        }
        assert_eq!(shared.turns.load(Relaxed), taken);
        // The last user may keep the lock; another user still gets it.
        assert!(User::new(&shared, 2).take_turn(Deadline::Now));
    });
}

/// A user that keeps the lock takes turns while another user asks for it: no turn is lost, and each sleeping user is
/// woken.
#[test]
fn a_user_gets_the_lock_from_its_keeper() {
    check(3, &[(3, Deadline::Never), (1, Deadline::Never)]);
}

#[test]
fn two_keep_the_lock_in_turn() {
    check(3, &[(2, Deadline::Never), (2, Deadline::Never)]);
}

#[test]
fn three_take_turns() {
    check(
        2,
        &[
            (2, Deadline::Never),
            (1, Deadline::Never),
            (1, Deadline::Never),
        ],
    );
}

/// A try either takes the lock or leaves nothing behind that would keep others from it.
#[test]
fn a_try_takes_the_lock_or_leaves_nothing_behind() {
    check(3, &[(3, Deadline::Never), (2, Deadline::Now)]);
}

/// A user that keeps the lock dies in its turn: one of two others recovers the lock.
#[test]
fn a_lock_is_recovered_from_a_keeper_that_died_in_its_turn() {
    bounded(2, || {
        let shared = Arc::new(Shared::default());
        let mut dies = User::new(&shared, 0);
        assert!(dies.take_turn_as(DEAD, Deadline::Now));
        dies.begin(DEAD, Deadline::Now);
        let other = thread::spawn({
            let shared = shared.clone();
            move || assert!(User::new(&shared, 1).take_turn(Deadline::Never))
        });
        assert!(User::new(&shared, 2).take_turn(Deadline::Never));
        other.join().unwrap();
        assert_eq!(shared.turns.load(Relaxed), 3);
    });
}
