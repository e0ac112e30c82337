//! The condition variable, with its mutex.

use super::{
    bounded,
    thread_of_a_lock::{DEAD, Thread},
};
use crate::sync::{Acquired, Condvar, Deadline, Interrupt, Mutex, Waited};
use crate::sys::Instant;
use loom::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};
use std::time::Duration;

#[derive(Default)]
struct Shared {
    mutex: Mutex,
    condvar: Condvar,
    /// How many items there are. Changed with the mutex held.
    items: AtomicU64Default,
}

struct AtomicU64Default(AtomicU64);

impl Default for AtomicU64Default {
    fn default() -> AtomicU64Default {
        AtomicU64Default(AtomicU64::new(0))
    }
}

impl Shared {
    fn lock(&self, me: u64) {
        self.mutex.lock(me, &Thread(me), Deadline::Never).unwrap();
    }

    fn unlock(&self, me: u64) {
        self.mutex.unlock(&Thread(me)).unwrap();
    }

    fn wait(&self, me: u64, deadline: Deadline) -> Waited {
        let waited = self.condvar.wait(&self.mutex, me, &Thread(me), deadline);
        waited.unwrap()
    }

    fn add(&self, me: u64, items: u64) {
        self.lock(me);
        self.items
            .0
            .store(self.items.0.load(Relaxed) + items, Relaxed);
        self.unlock(me);
    }

    /// Waits for an item and takes it. Returns false if there was none before the deadline.
    fn take(&self, me: u64, deadline: Deadline) -> bool {
        self.lock(me);
        let mut timed_out = false;
        while self.items.0.load(Relaxed) == 0 && !timed_out {
            timed_out = !self.wait(me, deadline).is_notified;
        }
        let items = self.items.0.load(Relaxed);
        if items > 0 {
            self.items.0.store(items - 1, Relaxed);
        }
        self.unlock(me);
        items > 0
    }
}

fn check(preemptions: usize, run: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    bounded(preemptions, move || run(&Arc::default()));
}

fn taker(shared: &Arc<Shared>, me: u64, deadline: Deadline<'static>) -> thread::JoinHandle<bool> {
    let shared = shared.clone();
    thread::spawn(move || shared.take(me, deadline))
}

#[test]
fn a_notification_after_the_release_is_not_missed() {
    check(3, |shared| {
        let waits = taker(shared, 16, Deadline::Never);
        shared.add(8, 1);
        shared.condvar.notify_one();
        assert!(waits.join().unwrap());
    });
}

#[test]
fn two_notifications_wake_two_threads() {
    check(2, |shared| {
        let waiting = [16, 24].map(|me| taker(shared, me, Deadline::Never));
        for _ in 0..2 {
            shared.add(8, 1);
            shared.condvar.notify_one();
        }
        for waits in waiting {
            assert!(waits.join().unwrap());
        }
    });
}

#[test]
fn all_are_notified() {
    check(2, |shared| {
        let waiting = [16, 24].map(|me| taker(shared, me, Deadline::Never));
        shared.add(8, 2);
        shared.condvar.notify_all();
        for waits in waiting {
            assert!(waits.join().unwrap());
        }
    });
}

/// One of two threads times out, perhaps just when it was woken. Either it takes the item, or the other one is woken.
#[test]
fn a_thread_that_times_out_takes_no_notification_from_another() {
    let soon = Deadline::At(Instant::now() + Duration::from_secs(1));
    check(2, move |shared| {
        let times_out = taker(shared, 16, soon);
        let stays = taker(shared, 24, Deadline::Never);
        for _ in 0..2 {
            shared.add(8, 1);
            shared.condvar.notify_one();
        }
        times_out.join().unwrap();
        assert!(stays.join().unwrap());
    });
}

/// One of two threads is cancelled, perhaps when it was woken: it takes the item, or the other one is woken.
#[test]
fn a_thread_that_is_cancelled_takes_no_notification_away() {
    check(2, |shared| {
        let interrupt = Arc::new(Interrupt::default());
        interrupt.allow_cancelling();
        let cancelled = thread::spawn({
            let (shared, interrupt) = (shared.clone(), interrupt.clone());
            move || shared.take(16, Deadline::Never.or_at(&interrupt))
        });
        let stays = taker(shared, 24, Deadline::Never);
        interrupt.cancel();
        for _ in 0..2 {
            shared.add(8, 1);
            shared.condvar.notify_one();
        }
        cancelled.join().unwrap();
        assert!(stays.join().unwrap());
    });
}

/// The owner of the mutex has died when a thread returns from its wait.
#[test]
fn the_owner_of_the_mutex_dies_during_a_wait() {
    check(2, |shared| {
        shared.lock(16);
        let waits = thread::spawn({
            let shared = shared.clone();
            move || {
                let waited = shared.wait(16, Deadline::Never);
                shared.mutex.consistent(&Thread(16)).unwrap();
                shared.unlock(16);
                waited.acquired
            }
        });
        shared.lock(DEAD);
        shared.condvar.notify_one();
        assert_eq!(waits.join().unwrap(), Acquired::OwnerDied);
    });
}

/// The first of two threads is about to sleep when it is notified, and the second one begins to wait at the same time:
/// the next notification reaches the second one.
#[test]
fn a_thread_that_begins_to_wait_during_a_notification_is_woken_by_the_next_one() {
    check(3, |shared| {
        let waiting = [(16, 1), (24, 2)].map(|(me, least)| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.lock(me);
                while shared.items.0.load(Relaxed) < least {
                    shared.wait(me, Deadline::Never);
                }
                shared.unlock(me);
            })
        });
        shared.add(8, 1);
        shared.condvar.notify_one();
        shared.add(8, 1);
        shared.condvar.notify_all();
        for waits in waiting {
            waits.join().unwrap();
        }
    });
}

/// Two threads fall asleep after a notification has found none asleep, and before it clears W: the next notification
/// reaches both.
#[test]
fn threads_that_fall_asleep_during_a_notification_are_both_woken_by_the_next_one() {
    let soon = Deadline::At(Instant::now() + Duration::from_secs(1));
    check(2, move |shared| {
        // Leaves W behind.
        assert!(!shared.take(8, soon));
        let waiting = [16, 24].map(|me| taker(shared, me, Deadline::Never));
        shared.condvar.notify_one();
        shared.add(8, 2);
        shared.condvar.notify_all();
        for waits in waiting {
            assert!(waits.join().unwrap());
        }
    });
}
