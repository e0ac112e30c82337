//! The reader-writer lock, with two slots for readers.

use super::{
    bounded,
    thread_of_a_lock::{DEAD, Witness},
};
use crate::sync::{Acquired, Deadline, LockError, RwLock, Threads};
use crate::sys::Instant;
use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Release},
    },
    thread,
};
use std::time::Duration;

/// The lock and its data. loom reports an access to the data while another thread changes it.
struct Shared {
    lock: RwLock,
    data: UnsafeCell<u64>,
    dead: Arc<AtomicU64>,
}

// SAFETY: the lock orders the accesses to the data, which is what the models check.
unsafe impl Sync for Shared {}
// SAFETY: it has no reference to anything of its thread.
unsafe impl Send for Shared {}

impl Shared {
    fn thread(&self, number: u64) -> Witness {
        Witness(number, self.dead.clone())
    }

    /// Reads the data with the lock held. Returns whether the lock was acquired.
    fn read(&self, number: u64, deadline: Deadline) -> bool {
        let me = self.thread(number);
        match self.lock.read(number, &me, deadline) {
            Ok(_) => {
                // SAFETY: the lock is held for reading.
                self.data.with(|data| unsafe { *data });
                self.lock.unlock(number, &me).unwrap();
                true
            }
            Err(LockError::TimedOut) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Changes the data with the lock held. Returns how the lock was acquired; `None` if it was not.
    fn write(&self, number: u64, deadline: Deadline) -> Option<Acquired> {
        let me = self.thread(number);
        match self.lock.write(number, &me, deadline) {
            Ok(acquired) => {
                if acquired == Acquired::OwnerDied {
                    self.lock.consistent(&me).unwrap();
                }
                // SAFETY: the lock is held for writing.
                self.data.with_mut(|data| unsafe { *data += 1 });
                self.lock.unlock(number, &me).unwrap();
                Some(acquired)
            }
            Err(LockError::TimedOut) => None,
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn check(preemptions: usize, run: impl Fn(&Arc<Shared>) + Send + Sync + 'static) {
    bounded(preemptions, move || {
        let shared = Arc::new(Shared {
            lock: RwLock::default(),
            data: UnsafeCell::new(0),
            dead: Arc::new(AtomicU64::new(0)),
        });
        run(&shared);
        assert_eq!(shared.write(8, Deadline::Now), Some(Acquired::Clean));
    });
}

fn spawn<T: 'static>(
    shared: &Arc<Shared>,
    run: impl FnOnce(&Shared) -> T + 'static,
) -> thread::JoinHandle<T> {
    let shared = shared.clone();
    thread::spawn(move || run(&shared))
}

#[test]
fn a_reader_and_a_writer_exclude_each_other() {
    check(3, |shared| {
        let reader = spawn(shared, |shared| {
            assert!(shared.read(16, Deadline::Never));
            assert!(shared.read(16, Deadline::Never));
        });
        for _ in 0..2 {
            assert!(shared.write(8, Deadline::Never).is_some());
        }
        reader.join().unwrap();
    });
}

#[test]
fn two_readers_and_a_writer() {
    check(2, |shared| {
        let readers =
            [16, 24].map(|me| spawn(shared, move |shared| shared.read(me, Deadline::Never)));
        assert!(shared.write(8, Deadline::Never).is_some());
        for reader in readers {
            assert!(reader.join().unwrap());
        }
    });
}

#[test]
fn a_reader_and_two_writers() {
    check(2, |shared| {
        let writer = spawn(shared, |shared| shared.write(16, Deadline::Never));
        let reader = spawn(shared, |shared| shared.read(24, Deadline::Never));
        assert!(shared.write(8, Deadline::Never).is_some());
        assert!(writer.join().unwrap().is_some());
        assert!(reader.join().unwrap());
    });
}

/// There are two slots, and three readers.
#[test]
fn a_reader_waits_for_a_slot() {
    check(2, |shared| {
        let readers =
            [16, 24].map(|me| spawn(shared, move |shared| shared.read(me, Deadline::Never)));
        assert!(shared.read(8, Deadline::Never));
        for reader in readers {
            assert!(reader.join().unwrap());
        }
    });
}

#[test]
fn a_writer_that_times_out_leaves_the_lock_to_others() {
    let soon = Deadline::At(Instant::now() + Duration::from_secs(1));
    check(2, move |shared| {
        let writer = spawn(shared, move |shared| {
            shared.write(16, soon);
        });
        let reader = spawn(shared, |shared| shared.read(24, Deadline::Never));
        assert!(shared.write(8, Deadline::Never).is_some());
        writer.join().unwrap();
        assert!(reader.join().unwrap());
    });
}

/// A thread that holds the lock for reading acquires it again while a writer waits for it.
#[test]
fn a_reader_reads_again_while_a_writer_waits() {
    check(3, |shared| {
        let writer = spawn(shared, |shared| shared.write(16, Deadline::Never));
        let me = shared.thread(8);
        for _ in 0..2 {
            shared.lock.read(8, &me, Deadline::Never).unwrap();
        }
        // SAFETY: the lock is held for reading.
        shared.data.with(|data| unsafe { *data });
        for _ in 0..2 {
            shared.lock.unlock(8, &me).unwrap();
        }
        assert!(writer.join().unwrap().is_some());
    });
}

/// There are two slots, and two threads have them.
#[test]
fn a_reader_reads_again_when_no_slot_is_free() {
    check(2, |shared| {
        let me = shared.thread(8);
        shared.lock.read(8, &me, Deadline::Never).unwrap();
        let reader = spawn(shared, |shared| shared.read(16, Deadline::Never));
        shared.lock.read(8, &me, Deadline::Never).unwrap();
        for _ in 0..2 {
            shared.lock.unlock(8, &me).unwrap();
        }
        assert!(shared.lock.unlock(8, &me).is_err());
        assert!(reader.join().unwrap());
    });
}

/// The number of a thread changes when a process of another namespace opens the object.
#[test]
fn a_reader_unlocks_under_another_number() {
    struct Renamed;
    impl Threads for Renamed {
        fn is_mine(&self, owner: u64) -> bool {
            owner == 8 || owner == 8 + (1 << 40)
        }

        fn is_dead(&self, _: u64) -> bool {
            false
        }

        fn seems_dead(&self, _: u64) -> bool {
            false
        }
    }
    check(2, |shared| {
        shared.lock.read(8, &Renamed, Deadline::Never).unwrap();
        let me = 8 + (1 << 40);
        shared.lock.read(me, &Renamed, Deadline::Now).unwrap();
        shared.lock.unlock(me, &Renamed).unwrap();
        shared.lock.unlock(me, &Renamed).unwrap();
    });
}

/// A reader dies, before or while a writer and another reader ask for the lock.
#[test]
fn a_reader_dies() {
    check(2, |shared| {
        let dying = spawn(shared, |shared| {
            let me = shared.thread(DEAD);
            let _ = shared.lock.read(DEAD, &me, Deadline::Now);
            shared.dead.store(1, Release);
        });
        let reader = spawn(shared, |shared| shared.read(16, Deadline::Never));
        dying.join().unwrap();
        assert_eq!(shared.write(8, Deadline::Never), Some(Acquired::Clean));
        assert!(reader.join().unwrap());
    });
}

/// A writer has died while it wrote. One of two writers, the first to get the lock, learns of that.
#[test]
fn a_writer_dies() {
    check(2, |shared| {
        let dying = shared.thread(DEAD);
        shared.lock.write(DEAD, &dying, Deadline::Now).unwrap();
        shared.dead.store(1, Release);
        let reader = spawn(shared, |shared| {
            let me = shared.thread(16);
            let acquired = shared.lock.read(16, &me, Deadline::Never).unwrap();
            shared.lock.unlock(16, &me).unwrap();
            acquired
        });
        let other = spawn(shared, |shared| shared.write(24, Deadline::Never));
        let acquired = [shared.write(8, Deadline::Never), other.join().unwrap()];
        assert!(acquired.contains(&Some(Acquired::OwnerDied)));
        assert!(acquired.contains(&Some(Acquired::Clean)));
        reader.join().unwrap();
    });
}
