//! Cancelling a wait: a thread that falls asleep misses no cancellation, and a cancelled wait passes on the wake-up
//! that it may have got.

use super::{bounded, thread_of_a_lock::Thread};
use crate::sync::{Deadline, Ended, Interrupt, LockError, Mutex, Semaphore, drain, poll};
use loom::{sync::Arc, thread};
use std::num::NonZeroU32;

/// Takes a count, or is cancelled. Returns whether it took one.
fn take(counter: &Semaphore, interrupt: &Interrupt) -> bool {
    let deadline = Deadline::Never.or_at(interrupt);
    let taken = counter.take(deadline);
    if !taken {
        assert_eq!(deadline.why_ended(), Ended::Cancelled);
    }
    taken
}

fn cancellable() -> Arc<Interrupt> {
    let interrupt = Interrupt::default();
    interrupt.allow_cancelling();
    Arc::new(interrupt)
}

#[test]
fn a_thread_that_falls_asleep_sees_the_cancellation() {
    loom::model(|| {
        let (counter, interrupt) = (Arc::new(Semaphore::new(0)), cancellable());
        let taker = thread::spawn({
            let (counter, interrupt) = (counter.clone(), interrupt.clone());
            move || take(&counter, &interrupt)
        });
        interrupt.cancel();
        assert!(!taker.join().unwrap());
        assert!(!interrupt.is_cancelled(), "it ends one wait only");
    });
}

/// An event loop tries while the cancellation comes, and its descriptor is new.
#[test]
fn a_try_sees_the_cancellation_or_the_descriptor_is_readable() {
    bounded(3, || {
        let interrupt = cancellable();
        let waiter = thread::spawn({
            let interrupt = interrupt.clone();
            move || {
                let number = NonZeroU32::MIN;
                interrupt.set_descriptor(number);
                loop {
                    drain(number);
                    if interrupt.take() {
                        return;
                    }
                    poll(number);
                }
            }
        });
        interrupt.cancel();
        waiter.join().unwrap();
    });
}

#[test]
fn a_wait_that_takes_a_count_keeps_the_cancellation() {
    bounded(3, || {
        let (counter, interrupt) = (Arc::new(Semaphore::new(0)), cancellable());
        let taker = thread::spawn({
            let (counter, interrupt) = (counter.clone(), interrupt.clone());
            move || take(&counter, &interrupt)
        });
        counter.post().unwrap();
        interrupt.cancel();
        let taken = taker.join().unwrap();
        assert_eq!(interrupt.is_cancelled(), taken);
        assert_eq!(counter.value(), u32::from(!taken));
    });
}

#[test]
fn a_wait_that_is_cancelled_leaves_the_count_to_another() {
    bounded(2, || {
        let (counter, interrupt) = (Arc::new(Semaphore::new(0)), cancellable());
        let cancelled = thread::spawn({
            let (counter, interrupt) = (counter.clone(), interrupt.clone());
            move || take(&counter, &interrupt)
        });
        let other = thread::spawn({
            let counter = counter.clone();
            move || assert!(counter.take(Deadline::Never))
        });
        counter.post().unwrap();
        interrupt.cancel();
        if cancelled.join().unwrap() {
            counter.post().unwrap();
        }
        other.join().unwrap();
        assert_eq!(counter.value(), 0);
    });
}

/// The unlock may wake the thread whose wait is cancelled. Then the other one must be woken, too.
#[test]
fn a_wait_that_is_cancelled_leaves_the_lock_to_another() {
    bounded(2, || {
        let (lock, interrupt) = (Arc::new(Mutex::default()), cancellable());
        let locked = lock.lock(8, &Thread(8), Deadline::Now);
        assert!(locked.is_ok());
        let cancelled = thread::spawn({
            let (lock, interrupt) = (lock.clone(), interrupt.clone());
            move || {
                let deadline = Deadline::Never.or_at(&interrupt);
                match lock.lock(16, &Thread(16), deadline) {
                    Ok(_) => lock.unlock(&Thread(16)).unwrap(),
                    Err(LockError::TimedOut) => assert_eq!(deadline.why_ended(), Ended::Cancelled),
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
        let other = thread::spawn({
            let lock = lock.clone();
            move || {
                lock.lock(24, &Thread(24), Deadline::Never).unwrap();
                lock.unlock(&Thread(24)).unwrap();
            }
        });
        interrupt.cancel();
        lock.unlock(&Thread(8)).unwrap();
        cancelled.join().unwrap();
        other.join().unwrap();
    });
}
