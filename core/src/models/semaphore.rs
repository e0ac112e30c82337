use crate::sync::{Deadline, Semaphore};
use loom::{
    sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed},
    thread,
};

/// Who waits is woken, whatever was between; and what was written before a post is seen after the
/// wait that took it.
#[test]
fn a_post_wakes_who_waits() {
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
fn two_who_wait_get_one_each() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
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
