//! The condition variable: no notification is lost, whichever process dies.

mod support;

use shmkey::{Condvar, Error, ErrorKind::*, Holding, Mutex};
use std::{env, thread, time::Duration};
use support::{AGES, Environment, NOW, Random, SOON, do_task, fails, in_child, say, wait_for_line};

/// The number of items.
type Items = u64;

/// Both lie in segments of this test: the mutex under the test's name, the condition variable under another one.
fn open(name: &str) -> (Mutex<Items>, Condvar) {
    let condvar = Condvar::open(format!("{name} added").as_str());
    (Mutex::open(name, 0).unwrap(), condvar.unwrap())
}

fn environment() -> Environment {
    Environment::with_names(&["added"])
}

#[test]
fn helper_process() {
    do_task(&[
        ("wait", wait),
        ("wait for ever", wait_for_ever),
        ("notify for ever", notify_for_ever),
        ("lock", lock),
    ]);
}

fn wait(name: &str) {
    let (items, added) = open(name);
    let guard = items.lock().unwrap();
    say("waits");
    drop(added.wait_while(guard, |items| items.get() == 0));
    wait_for_line();
}

/// Waits again and again until it is killed, perhaps with the mutex locked. It changes nothing.
fn wait_for_ever(name: &str) {
    let (items, added) = open(name);
    say("ready");
    let mut guard = items.lock().unwrap();
    loop {
        guard.mark_consistent();
        guard = added.wait(guard).unwrap();
    }
}

fn notify_for_ever(name: &str) {
    let (_, added) = open(name);
    say("ready");
    loop {
        added.notify_one();
        thread::sleep(Duration::from_micros(50));
    }
}

fn lock(name: &str) {
    let (items, _) = open(name);
    let _guard = items.lock().unwrap();
    say("locked");
    wait_for_line();
}

#[test]
fn a_wait_ends_with_a_notification_or_its_timeout() {
    let test = environment();
    let (items, added) = open(test.name());
    let guard = items.lock().unwrap();
    let (guard, result) = added.wait_timeout(guard, SOON).unwrap();
    assert!(result.timed_out());
    let (guard, result) = added.wait_timeout(guard, NOW).unwrap();
    assert!(result.timed_out());
    thread::scope(|scope| {
        scope.spawn(|| {
            items.lock().unwrap().set(1);
            added.notify_one();
        });
        let (mut guard, result) = added
            .wait_timeout_while(guard, AGES, |items| items.get() == 0)
            .unwrap();
        assert!(!result.timed_out());
        guard.set(0);
    });
    let guard = items.lock().unwrap();
    let waited = added.wait_timeout_while(guard, SOON, |items| items.get() == 0);
    assert!(waited.unwrap().1.timed_out());
}

#[test]
fn all_are_notified() {
    let test = environment();
    let (items, added) = open(test.name());
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| drop(added.wait_while(items.lock().unwrap(), |items| items.get() == 0)));
        }
        items.lock().unwrap().set(1);
        added.notify_all();
    });
    assert!(matches!(
        added.segment().contents().unwrap().unwrap().holding,
        Holding::Condvar {
            notifications: 1,
            ..
        }
    ));
}

/// One process waits and another one notifies. Both are killed and started again and again, while this process adds
/// items and takes them. `SHMKEY_PAIRS` sets the number of items.
#[test]
fn no_notification_is_lost_when_waiters_and_notifiers_are_killed() {
    let pairs: u64 = env::var("SHMKEY_PAIRS").map_or(2_000, |pairs| pairs.parse().unwrap());
    let test = environment();
    let (items, added) = open(test.name());
    let mut random = Random::new();
    let start = |task| test.helper(task).expecting("ready");
    let (mut waiter, mut notifier) = (start("wait for ever"), start("notify for ever"));
    let lock = || {
        let mut guard = items.lock_timeout(AGES).unwrap();
        guard.mark_consistent();
        guard
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..pairs {
                let waited = added.wait_timeout_while(lock(), AGES, |items| {
                    items.mark_consistent();
                    items.get() == 0
                });
                let (mut guard, result) = waited.unwrap();
                assert!(!result.timed_out(), "a notification was lost");
                guard.mark_consistent();
                guard.update(|items| *items -= 1);
                drop(guard);
                added.notify_all();
            }
        });
        for _ in 0..pairs {
            let waited = added.wait_timeout_while(lock(), AGES, |items| {
                items.mark_consistent();
                items.get() > 0
            });
            let (mut guard, result) = waited.unwrap();
            assert!(!result.timed_out(), "a notification was lost");
            guard.mark_consistent();
            guard.update(|items| *items += 1);
            drop(guard);
            added.notify_all();
            match random.below(200) {
                0 => {
                    waiter.kill();
                    waiter = start("wait for ever");
                }
                1 => {
                    notifier.kill();
                    notifier = start("notify for ever");
                }
                _ => {}
            }
        }
    });
}

/// The thread that was notified is killed, and another one waits, too.
#[test]
fn a_dead_waiter_takes_no_notification_away() {
    let test = environment();
    let (items, added) = open(test.name());
    let mut waiter = test.helper("wait").expecting("waits");
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let waited =
                added.wait_timeout_while(items.lock().unwrap(), AGES, |items| items.get() == 0);
            waited.unwrap().1.timed_out()
        });
        items.lock().unwrap().set(1);
        added.notify_one();
        waiter.kill();
        assert!(!waits.join().unwrap());
    });
}

#[test]
fn a_wait_returns_the_mutex_of_a_dead_owner() {
    let test = environment();
    let (items, added) = open(test.name());
    let mut guard = items.lock().unwrap();
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            // It gets the lock as soon as this thread waits.
            test.helper("lock").expecting("locked").kill();
        });
        while !guard.owner_died() {
            (guard, _) = added.wait_timeout(guard, SOON).unwrap();
        }
        guard.mark_consistent();
        drop(guard);
        killer.join().unwrap();
    });
    drop(items.try_lock().unwrap());
}

#[test]
fn a_child_cannot_wait_with_its_parents_guard() {
    let test = environment();
    let (items, added) = open(test.name());
    let mut guard = Some(items.lock().unwrap());
    in_child(|| {
        let error = fails(
            added.wait(guard.take().unwrap()).map_err(Error::from),
            NotOwner,
        );
        support::says(&error.to_string(), "wait: EPERM");
    });
    let guard = guard.unwrap();
    assert_eq!(guard.get(), 0);
}

/// Waiting unlocks the mutex, as dropping the guard does.
#[test]
fn a_value_that_is_not_in_order_is_lost_by_waiting() {
    let test = environment();
    let (items, added) = open(test.name());
    test.helper("lock").expecting("locked").kill();
    let guard = items.lock_timeout(AGES).unwrap();
    assert!(guard.owner_died());
    fails(added.wait(guard).map_err(Error::from), NotRecoverable);
    fails(items.lock(), NotRecoverable);
}
