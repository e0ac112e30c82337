//! The reader-writer lock: many readers or one writer, in turns, and what is left when one of them dies.

mod support;

use shmkey::{ErrorKind::*, Holding, Place, RwLock};
use std::{
    mem,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
};
use support::{
    AGES, Environment, NOW, SOON, do_task, fails, in_child, private_memory, say, says,
    wait_for_line,
};

type Pair = [u64; 2];

fn open(name: &str) -> RwLock<Pair> {
    RwLock::open(name, [7, 7]).unwrap()
}

#[test]
fn helper_process() {
    do_task(&[
        ("read", read),
        ("write", write),
        ("wait to write", wait_to_write),
    ]);
}

fn read(name: &str) {
    let lock = open(name);
    let _guard = lock.read().unwrap();
    say("reads");
    wait_for_line();
}

fn write(name: &str) {
    let lock = open(name);
    let mut guard = lock.write().unwrap();
    guard.set([8, 7]);
    say("writes");
    wait_for_line();
}

fn wait_to_write(name: &str) {
    let lock = open(name);
    say("waits");
    let _guard = lock.write().unwrap();
}

#[test]
fn readers_share_and_a_writer_does_not() {
    let test = Environment::new();
    let lock = open(test.name());
    let reader = lock.read().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(lock.try_read().unwrap().get(), [7, 7]);
            let error = fails(lock.try_write(), WouldBlock);
            says(
                &error.to_string(),
                "lock for writing: EAGAIN…the lock is held for reading by thread",
            );
            fails(lock.write_timeout(SOON), TimedOut);
        });
    });
    drop(reader);
    let mut writer = lock.write().unwrap();
    writer.update(|[first, _]| *first = 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let error = fails(lock.try_read(), WouldBlock);
            says(
                &error.to_string(),
                "lock for reading: EAGAIN…the lock is held by thread",
            );
            fails(lock.read_timeout(SOON), TimedOut);
            fails(lock.try_write(), WouldBlock);
        });
    });
    drop(writer);
    assert_eq!(format!("{:?}", lock.read().unwrap().get()), "[1, 7]");
}

#[test]
fn a_thread_that_would_wait_for_itself_is_refused() {
    let test = Environment::new();
    let lock = open(test.name());
    let reader = lock.read().unwrap();
    fails(lock.write(), Deadlock);
    let again = lock.read().unwrap();
    drop(reader);
    fails(lock.write(), Deadlock);
    drop(again);
    let writer = lock.write().unwrap();
    fails(lock.read(), Deadlock);
    fails(lock.write(), Deadlock);
    drop(writer);
    drop(lock.write_timeout(NOW).unwrap());
}

#[test]
fn there_are_64_readers_and_the_65th_waits() {
    let test = Environment::new();
    let lock = open(test.name());
    let (all_read, end) = (Barrier::new(65), Barrier::new(65));
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let _guard = lock.read_timeout(AGES).unwrap();
                all_read.wait();
                // It has a slot, and needs no other one.
                drop(lock.read_timeout(NOW).unwrap());
                end.wait();
            });
        }
        all_read.wait();
        let error = fails(lock.try_read(), WouldBlock);
        says(
            &error.to_string(),
            "64 threads hold the lock for reading, among them",
        );
        fails(lock.read_timeout(SOON), TimedOut);
        let waits = scope.spawn(|| drop(lock.read_timeout(AGES).unwrap()));
        end.wait();
        waits.join().unwrap();
    });
    drop(lock.write_timeout(NOW).unwrap());
}

/// Readers that never leave the lock free would starve a writer that did not get its turn.
#[test]
fn writers_get_their_turns_among_readers() {
    let test = Environment::new();
    let lock = open(test.name());
    let (stop, reads) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let read = || {
            let mut last = lock.read().unwrap();
            while !stop.load(Relaxed) {
                // The next one before the last one ends.
                let next = lock.read().unwrap();
                drop(mem::replace(&mut last, next));
                reads.fetch_add(1, Relaxed);
                drop(last);
                last = lock.read().unwrap();
            }
        };
        scope.spawn(read);
        scope.spawn(read);
        for _ in 0..50 {
            drop(lock.write_timeout(AGES).unwrap());
            let seen = reads.load(Relaxed);
            while reads.load(Relaxed) == seen {
                thread::yield_now(); // readers get theirs, too
            }
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn a_dead_reader_holds_up_no_writer() {
    let test = Environment::new();
    let lock = open(test.name());
    let mut reader = test.helper("read").expecting("reads");
    fails(lock.try_write(), WouldBlock);
    thread::scope(|scope| {
        let writer = scope.spawn(|| lock.write_timeout(AGES).unwrap().owner_died());
        reader.kill();
        assert!(!writer.join().unwrap());
    });
    assert!(!lock.try_read().unwrap().owner_died());
}

#[test]
fn a_dead_writer_is_told_to_all_until_the_value_is_in_order() {
    let test = Environment::new();
    let lock = open(test.name());
    let mut writer = test.helper("write").expecting("writes");
    thread::scope(|scope| {
        let reader = scope.spawn(|| lock.read_timeout(AGES).unwrap().owner_died());
        writer.kill();
        assert!(reader.join().unwrap());
    });
    assert!(lock.read().unwrap().owner_died());
    let mut guard = lock.write().unwrap();
    assert!(guard.owner_died());
    assert_eq!(guard.get(), [8, 7]);
    guard.set([8, 8]);
    guard.mark_consistent();
    drop(guard);
    assert!(!lock.read().unwrap().owner_died());
    assert!(!lock.write().unwrap().owner_died());
}

#[test]
fn a_value_that_a_writer_gave_up_is_lost() {
    let test = Environment::new();
    let lock = open(test.name());
    test.helper("write").expecting("writes").kill();
    drop(lock.write_timeout(AGES).unwrap());
    fails(lock.read(), NotRecoverable);
    fails(lock.try_write(), NotRecoverable);
}

/// Waits until a writer waits for the readers.
fn await_next(lock: &RwLock<Pair>) {
    let next = || match lock.segment().contents().unwrap().unwrap().holding {
        Holding::RwLock { next, .. } => next,
        other => panic!("{other:?}"),
    };
    while next().is_none() {
        thread::yield_now();
    }
}

/// The error of a reader names the writer that keeps it out. The other readers do not keep it out, and are not named.
#[test]
fn the_error_of_a_reader_names_the_writer_that_it_waits_behind() {
    let test = Environment::new();
    let lock = open(test.name());
    let _reader = lock.read().unwrap();
    let mut waiter = test.helper("wait to write").expecting("waits");
    await_next(&lock);
    thread::scope(|scope| {
        scope.spawn(|| {
            let pid = waiter.child.id();
            let next = format!("…process {pid}…is next, and waits for the readers to unlock it");
            let error = fails(lock.try_read(), WouldBlock);
            says(
                &error.to_string(),
                &format!("lock for reading: EAGAIN{next}"),
            );
            let error = fails(lock.read_timeout(SOON), TimedOut);
            says(
                &error.to_string(),
                &format!("lock for reading: ETIMEDOUT{next}"),
            );
            let error = fails(lock.try_write(), WouldBlock);
            says(
                &error.to_string(),
                "…the lock is held for reading by thread",
            );
        });
    });
    waiter.kill();
}

/// It waits for a reader, holds nothing, and has changed nothing.
#[test]
fn a_dead_waiter_leaves_the_value_in_order() {
    let test = Environment::new();
    let lock = open(test.name());
    let reader = lock.read().unwrap();
    let mut waiter = test.helper("wait to write").expecting("waits");
    await_next(&lock);
    waiter.kill();
    drop(reader);
    assert!(!lock.write_timeout(AGES).unwrap().owner_died());
    assert!(!lock.try_read().unwrap().owner_died());
}

#[test]
fn a_child_does_not_have_its_parents_lock() {
    let test = Environment::new();
    let lock = open(test.name());
    let guard = lock.read().unwrap();
    in_child(|| {
        fails(lock.try_write(), WouldBlock);
        drop(lock.try_read().unwrap());
    });
    fails(lock.write(), Deadlock);
    drop(guard);
    let guard = lock.write().unwrap();
    in_child(|| drop(fails(lock.try_read(), WouldBlock)));
    assert_eq!(guard.get(), [7, 7]);
}

#[test]
fn it_is_seen_who_has_it() {
    let test = Environment::new();
    let lock = open(test.name());
    let look = || lock.segment().contents().unwrap().unwrap().holding;
    let reader = lock.read().unwrap();
    let Holding::RwLock {
        writer: None,
        next: None,
        readers,
        suspect: false,
        lost: false,
    } = look()
    else {
        panic!("{:?}", look());
    };
    assert_eq!(readers.len(), 1);
    drop(reader);
    let _writer = lock.write().unwrap();
    assert!(
        matches!(look(), Holding::RwLock { writer: Some(_), next: None, readers, .. } if readers.is_empty())
    );
}

#[test]
fn another_size_or_kind_is_refused() {
    let test = Environment::new();
    let _lock = open(test.name());
    let error = fails(RwLock::<u32>::open(test.name(), 0), WrongLayout);
    says(
        &error.to_string(),
        "created with 16 bytes…asked for with 4 bytes",
    );
    let error = fails(shmkey::Mutex::<Pair>::open(test.name(), [0; 2]), WrongKind);
    says(&error.to_string(), "a reader-writer lock");
    let place = Place::within(private_memory(8192), 0);
    assert_eq!(RwLock::open(place, 5_u8).unwrap().read().unwrap().get(), 5);
}
