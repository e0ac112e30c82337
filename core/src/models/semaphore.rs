//! The semaphore: each post wakes a waiting thread.

use super::bounded;
use crate::sync::{Deadline, Semaphore};
use loom::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    thread,
};

/// A post wakes a waiter, and what was written before the post is visible after the wait.
#[test]
fn a_post_wakes_a_waiter() {
    loom::model(|| {
        let counter = Arc::new(Semaphore::new(0));
        let written = Arc::new(AtomicU64::new(0));
        let poster = thread::spawn({
            let (counter, written) = (counter.clone(), written.clone());
            move || {
                written.store(7, Relaxed);
                counter.post().unwrap();
            }
        });
        assert!(counter.take(Deadline::Never));
        assert_eq!(written.load(Relaxed), 7);
        poster.join().unwrap();
        assert_eq!(counter.value(), 0);
    });
}

#[test]
fn two_posts_wake_two_waiters() {
    bounded(3, || {
        let counter = Arc::new(Semaphore::new(0));
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let counter = counter.clone();
                thread::spawn(move || assert!(counter.take(Deadline::Never)))
            })
            .collect();
        counter.post().unwrap();
        counter.post().unwrap();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert!(!counter.try_take());
    });
}
