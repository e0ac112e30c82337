//! What is done by those who are killed, and what the survivors must find.

use crate::support::{self, AGES};
use shmkey::{
    Condvar, ErrorKind, Key, Latest, Mutex, Place, Publisher, Receiver, Ring, RwLock, Segment,
    Semaphore, Sender,
};
use std::{cell::RefCell, time::Duration};

/// Something that a child does, and what the survivors must find after its death.
#[derive(Clone, Copy)]
pub struct Victim {
    /// What the child does before it is stepped.
    pub prepare: fn(&Objects),
    pub act: fn(&Objects),
    /// What the survivors see and do. `done` if the child came to its end.
    pub check: fn(&Objects, done: bool) -> Result<(), String>,
}

/// What both sides have: opened before the fork.
pub struct Objects {
    names: Vec<String>,
    mutex: Mutex<[u64; 4]>,
    lock: RwLock<[u64; 4]>,
    condvar: Condvar,
    semaphore: Semaphore,
    latest: Latest<[u64; 4]>,
    /// Has two messages.
    ring: Ring,
    /// The same, for many senders.
    many: Ring,
    /// The same, and it is so small that the next message drops the first.
    dropping: Ring,
    /// The name of an object that is not there yet.
    fresh: String,
    /// What the child gets ready before it is stepped.
    publisher: RefCell<Option<Publisher<[u64; 4]>>>,
    sender: RefCell<Option<Sender>>,
    receiver: RefCell<Option<Receiver>>,
}

const OLD: [u64; 4] = [1; 4];
const NEW: [u64; 4] = [2; 4];

/// The messages that are there before, and the one that the child sends.
const FIRST: &[u8] = b"the first message";
const SECOND: &[u8] = b"the second one";
const SENT: &[u8] = &[7; 100];
/// One that goes in pieces.
const LONG: &[u8] = &[9; 20_000];

pub const VICTIMS: [(&str, Victim); 32] = [
    (
        "lock, set, unlock",
        Victim {
            prepare: know_oneself,
            act: lock_and_set,
            check: check_value,
        },
    ),
    (
        "lock that is taken",
        Victim {
            prepare: know_oneself,
            act: lock_in_vain,
            check: check_value,
        },
    ),
    (
        "lock for the first time",
        Victim {
            prepare: nothing,
            act: lock_and_set,
            check: check_value,
        },
    ),
    (
        "read",
        Victim {
            prepare: know_oneself,
            act: read,
            check: check_read,
        },
    ),
    (
        "write",
        Victim {
            prepare: know_oneself,
            act: write,
            check: check_written,
        },
    ),
    (
        "write in vain",
        Victim {
            prepare: know_oneself,
            act: write_in_vain,
            check: check_read,
        },
    ),
    (
        "wait for a notification",
        Victim {
            prepare: know_oneself,
            act: wait_for_notification,
            check: check_notified,
        },
    ),
    (
        "notify",
        Victim {
            prepare: know_oneself,
            act: notify,
            check: check_notified,
        },
    ),
    (
        "post",
        Victim {
            prepare: know_oneself,
            act: post,
            check: check_posted,
        },
    ),
    (
        "wait",
        Victim {
            prepare: know_oneself,
            act: wait,
            check: check_taken,
        },
    ),
    (
        "open a mutex",
        Victim {
            prepare: nothing,
            act: open_mutex,
            check: check_opened,
        },
    ),
    (
        "open a ring",
        Victim {
            prepare: nothing,
            act: open_ring,
            check: check_opened_ring,
        },
    ),
    (
        "open a latest value",
        Victim {
            prepare: nothing,
            act: open_latest,
            check: check_opened_latest,
        },
    ),
    (
        "become the publisher",
        Victim {
            prepare: nothing,
            act: claim_publisher,
            check: check_latest_old,
        },
    ),
    (
        "publish",
        Victim {
            prepare: claim_publisher,
            act: publish,
            check: check_latest,
        },
    ),
    (
        "stop being the publisher",
        Victim {
            prepare: claim_publisher,
            act: drop_publisher,
            check: check_latest_old,
        },
    ),
    (
        "become the sender",
        Victim {
            prepare: nothing,
            act: claim_sender,
            check: check_nothing_sent,
        },
    ),
    (
        "send",
        Victim {
            prepare: claim_sender,
            act: send,
            check: check_sent,
        },
    ),
    (
        "send a batch",
        Victim {
            prepare: claim_sender,
            act: send_batch,
            check: check_batch,
        },
    ),
    (
        "send round the end",
        Victim {
            prepare: send_to_the_end,
            act: send,
            check: check_sent_behind_more,
        },
    ),
    (
        "send a long message",
        Victim {
            prepare: claim_sender,
            act: send_long,
            check: check_sent_long,
        },
    ),
    (
        "reserve and commit",
        Victim {
            prepare: claim_sender,
            act: reserve_and_commit,
            check: check_sent,
        },
    ),
    (
        "reserve and abort",
        Victim {
            prepare: claim_sender,
            act: reserve_and_abort,
            check: check_nothing_sent,
        },
    ),
    (
        "close the sending end",
        Victim {
            prepare: claim_sender,
            act: drop_sender,
            check: check_closed,
        },
    ),
    (
        "send as one of many",
        Victim {
            prepare: claim_one_of_many,
            act: send,
            check: check_sent_by_one_of_many,
        },
    ),
    (
        "become one of many",
        Victim {
            prepare: nothing,
            act: claim_one_of_many,
            check: check_nothing_sent_by_many,
        },
    ),
    (
        "send and drop the oldest",
        Victim {
            prepare: claim_dropping,
            act: send,
            check: check_dropped,
        },
    ),
    (
        "become the receiver",
        Victim {
            prepare: nothing,
            act: claim_receiver,
            check: check_nothing_sent,
        },
    ),
    (
        "receive",
        Victim {
            prepare: claim_receiver,
            act: receive,
            check: check_received,
        },
    ),
    (
        "peek and release",
        Victim {
            prepare: claim_receiver,
            act: peek_and_release,
            check: check_received,
        },
    ),
    (
        "receive in vain",
        Victim {
            prepare: receive_all,
            act: receive_in_vain,
            check: check_all_received,
        },
    ),
    (
        "close the receiving end",
        Victim {
            prepare: claim_receiver,
            act: drop_receiver,
            check: check_nothing_sent,
        },
    ),
];

fn nothing(_: &Objects) {}

fn text(error: shmkey::Error) -> String {
    error.to_string()
}

impl Objects {
    pub fn new() -> Result<Objects, String> {
        let mut names = Vec::new();
        let mut name = |what: &str| {
            let name = format!("torture {} {what}", std::process::id());
            remove(&name);
            support::watch(Key::from_name(&name).map_err(text)?);
            names.push(name.clone());
            Ok::<_, String>(name)
        };
        let ring = Ring::open(name("ring")?.as_str(), 40_000).map_err(text)?;
        let many = Ring::options()
            .many_senders(true)
            .open(name("many")?.as_str(), 1000);
        // As much as the two messages take, and no other.
        let dropping = Ring::options()
            .drop_oldest(true)
            .open(name("dropping")?.as_str(), 104);
        let objects = Objects {
            mutex: Mutex::open(name("mutex")?.as_str(), OLD).map_err(text)?,
            lock: RwLock::open(name("lock")?.as_str(), OLD).map_err(text)?,
            condvar: Condvar::open(name("condvar")?.as_str()).map_err(text)?,
            semaphore: Semaphore::open(name("semaphore")?.as_str(), 1).map_err(text)?,
            latest: Latest::open(name("latest")?.as_str()).map_err(text)?,
            ring,
            many: many.map_err(text)?,
            dropping: dropping.map_err(text)?,
            fresh: name("fresh")?,
            publisher: RefCell::new(None),
            sender: RefCell::new(None),
            receiver: RefCell::new(None),
            names,
        };
        objects
            .latest
            .publisher()
            .and_then(|mut publisher| publisher.publish(OLD))
            .map_err(text)?;
        for ring in [&objects.ring, &objects.many, &objects.dropping] {
            let mut sender = ring.sender().map_err(text)?;
            sender
                .try_send(FIRST)
                .and_then(|()| sender.try_send(SECOND))
                .map_err(text)?;
        }
        Ok(objects)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.names.iter().for_each(|name| remove(name));
    }
}

fn remove(name: &str) {
    if let Ok(segment) = Key::from_name(name).and_then(Segment::open) {
        let _ = segment.remove();
    }
}

// The mutex.

/// A thread finds out who it is once, at its first lock. That has a test of its own.
fn know_oneself(objects: &Objects) {
    drop(objects.mutex.lock());
}

fn lock_and_set(objects: &Objects) {
    if let Ok(mut guard) = objects.mutex.lock() {
        guard.set(NEW);
    }
}

/// The parent has the lock, or the child itself has just been refused it.
fn lock_in_vain(objects: &Objects) {
    let Ok(_guard) = objects.mutex.lock() else {
        return;
    };
    // The same word again: taken, so this goes all the way to refusal.
    let _ = objects.mutex.lock_timeout(Duration::from_millis(1));
}

fn check_value(objects: &Objects, done: bool) -> Result<(), String> {
    let mut guard = objects.mutex.lock_timeout(AGES).map_err(text)?;
    let value = guard.get();
    if done && guard.owner_died() {
        return Err("the owner unlocked, and is said to have died with the lock".into());
    }
    if !guard.owner_died() && value != OLD && value != NEW {
        return Err(format!("{value:?} is torn, and no death is reported"));
    }
    guard.mark_consistent();
    guard.set(OLD);
    drop(guard);
    match objects.mutex.lock_timeout(Duration::ZERO) {
        Ok(guard) if !guard.owner_died() => Ok(()),
        other => Err(format!("after the repair: {other:?}")),
    }
}

// The reader-writer lock.

/// Twice, so that the second time counts in the slot of the first one.
fn read(objects: &Objects) {
    let guards = [objects.lock.read(), objects.lock.read()];
    drop(guards);
}

fn write(objects: &Objects) {
    if let Ok(mut guard) = objects.lock.write() {
        guard.set(NEW);
    }
}

/// A thread that reads is refused, and so is one that waits for a reader.
fn write_in_vain(objects: &Objects) {
    let guard = objects.lock.read();
    let _ = objects.lock.write_timeout(Duration::from_millis(1));
    drop(guard);
}

/// A reader changes nothing.
fn check_read(objects: &Objects, _: bool) -> Result<(), String> {
    let guard = objects.lock.write_timeout(AGES).map_err(text)?;
    if guard.owner_died() || guard.get() != OLD {
        return Err(format!("a reader leaves {guard:?}"));
    }
    drop(guard);
    objects.lock.try_read().map(drop).map_err(text)
}

fn check_written(objects: &Objects, done: bool) -> Result<(), String> {
    let guard = objects.lock.read_timeout(AGES).map_err(text)?;
    let (owner_died, value) = (guard.owner_died(), guard.get());
    drop(guard);
    if done && owner_died {
        return Err("the writer unlocked, and is said to have died with the lock".into());
    }
    if !owner_died && value != OLD && value != NEW {
        return Err(format!("{value:?} is torn, and no death is reported"));
    }
    let mut guard = objects.lock.write_timeout(AGES).map_err(text)?;
    if guard.owner_died() != owner_died {
        return Err("a reader and a writer disagree about the death".into());
    }
    guard.mark_consistent();
    guard.set(OLD);
    drop(guard);
    match objects.lock.try_read() {
        Ok(guard) if !guard.owner_died() => Ok(()),
        other => Err(format!("after the repair: {other:?}")),
    }
}

// The condition variable.

fn wait_for_notification(objects: &Objects) {
    if let Ok(guard) = objects.mutex.lock() {
        let _ = objects
            .condvar
            .wait_timeout(guard, Duration::from_millis(1));
    }
}

fn notify(objects: &Objects) {
    objects.condvar.notify_one();
    objects.condvar.notify_all();
}

/// Another thread waits and is notified, in turn.
fn check_notified(objects: &Objects, done: bool) -> Result<(), String> {
    check_value(objects, done)?;
    let (mutex, condvar) = (&objects.mutex, &objects.condvar);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let guard = mutex.lock().map_err(text)?;
            let waited = condvar.wait_timeout_while(guard, AGES, |value| value.get() == OLD);
            let (mut guard, result) = waited.map_err(text)?;
            guard.set(OLD);
            if result.timed_out() {
                Err("a notification was lost".to_owned())
            } else {
                Ok(())
            }
        });
        mutex.lock().map_err(text)?.set(NEW);
        condvar.notify_one();
        waits.join().map_err(|_| "a panic".to_owned())?
    })
}

fn open_mutex(objects: &Objects) {
    let _ = Mutex::open(objects.fresh.as_str(), NEW);
}

fn check_opened(objects: &Objects, done: bool) -> Result<(), String> {
    let place = Place::named(&objects.fresh).timeout(AGES);
    let mutex = Mutex::open(place, OLD).map_err(text)?;
    let guard = mutex.lock_timeout(AGES).map_err(text)?;
    match guard.get() {
        NEW => Ok(()),
        OLD if !done => Ok(()),
        value => Err(format!("its first value is {value:?}")),
    }
}

// The semaphore.

fn post(objects: &Objects) {
    let _ = objects.semaphore.post();
}

/// One there was, one more there may be.
fn check_posted(objects: &Objects, done: bool) -> Result<(), String> {
    expect_count(drain(objects)?, 2, done)
}

fn wait(objects: &Objects) {
    let _ = objects.semaphore.wait_timeout(AGES);
}

/// One there was, and it may be gone.
fn check_taken(objects: &Objects, done: bool) -> Result<(), String> {
    expect_count(drain(objects)?, 0, done)
}

/// The count is what the act makes of it; or 1, as before, if the act did not come to its end.
fn expect_count(count: u32, after: u32, done: bool) -> Result<(), String> {
    if count == after || count == 1 && !done {
        Ok(())
    } else {
        Err(format!("the count is {count}"))
    }
}

/// Takes all there is, and sees that it still works.
fn drain(objects: &Objects) -> Result<u32, String> {
    let mut count = 0;
    while objects.semaphore.try_wait().is_ok() {
        count += 1;
    }
    let empty = objects.semaphore.wait_timeout(Duration::ZERO);
    if empty.map_err(|error| error.kind()) != Err(ErrorKind::WouldBlock) {
        return Err("something was left".into());
    }
    objects.semaphore.post().map_err(text)?;
    objects.semaphore.wait_timeout(AGES).map_err(text)?;
    Ok(count)
}

// The latest value.

fn open_latest(objects: &Objects) {
    let _ = Latest::<[u64; 4]>::open(objects.fresh.as_str());
}

fn check_opened_latest(objects: &Objects, _: bool) -> Result<(), String> {
    let place = Place::named(&objects.fresh).timeout(AGES);
    let latest = Latest::<[u64; 4]>::open(place).map_err(text)?;
    expect(latest.read().map_err(text)?, None, "the new value")?;
    publish_again(&latest)
}

fn claim_publisher(objects: &Objects) {
    *objects.publisher.borrow_mut() = objects.latest.publisher().ok();
}

fn publish(objects: &Objects) {
    if let Some(publisher) = &mut *objects.publisher.borrow_mut() {
        let _ = publisher.publish(NEW);
    }
}

fn drop_publisher(objects: &Objects) {
    objects.publisher.take();
}

fn check_latest(objects: &Objects, done: bool) -> Result<(), String> {
    let value = objects.latest.read().map_err(text)?;
    if value != Some(NEW) && (done || value != Some(OLD)) {
        return Err(format!("the latest value is {value:?}"));
    }
    // A dead writer cannot make it change any more.
    expect(
        objects.latest.read().map_err(text)?,
        value,
        "the value, seen again",
    )?;
    publish_again(&objects.latest)
}

fn check_latest_old(objects: &Objects, _: bool) -> Result<(), String> {
    expect(objects.latest.read().map_err(text)?, Some(OLD), "the value")?;
    publish_again(&objects.latest)
}

/// Another one becomes the publisher.
fn publish_again(latest: &Latest<[u64; 4]>) -> Result<(), String> {
    let mut publisher = latest.publisher().map_err(text)?;
    for value in [[3; 4], [4; 4], [5; 4], [6; 4], [7; 4]] {
        publisher.publish(value).map_err(text)?;
        expect(latest.read().map_err(text)?, Some(value), "the next value")?;
    }
    Ok(())
}

// The ring.

fn open_ring(objects: &Objects) {
    let _ = Ring::open(objects.fresh.as_str(), 1000);
}

fn check_opened_ring(objects: &Objects, _: bool) -> Result<(), String> {
    let ring = Ring::open(Place::named(&objects.fresh).timeout(AGES), 1000).map_err(text)?;
    go_on(&ring, &[])
}

fn claim_sender(objects: &Objects) {
    *objects.sender.borrow_mut() = objects.ring.sender().ok();
}

fn claim_one_of_many(objects: &Objects) {
    *objects.sender.borrow_mut() = objects.many.sender().ok();
}

fn claim_dropping(objects: &Objects) {
    *objects.sender.borrow_mut() = objects.dropping.sender().ok();
}

fn with_sender(objects: &Objects, act: impl FnOnce(&mut Sender)) {
    if let Some(sender) = &mut *objects.sender.borrow_mut() {
        act(sender);
    }
}

fn send(objects: &Objects) {
    with_sender(objects, |sender| drop(sender.try_send(SENT)));
}

fn send_batch(objects: &Objects) {
    with_sender(objects, |sender| {
        drop(sender.try_send_batch(&[SENT, FIRST, SENT]));
    });
}

/// Fills the ring so that the next message does not fit before its end, and makes room in front.
fn send_to_the_end(objects: &Objects) {
    claim_sender(objects);
    with_sender(objects, |sender| drop(sender.try_send(&[0; 15_000])));
    with_sender(objects, |sender| drop(sender.try_send(&[0; 15_000])));
    with_sender(objects, |sender| drop(sender.try_send(&[0; 9_850])));
    let Ok(mut receiver) = objects.ring.receiver() else {
        return;
    };
    for _ in 0..4 {
        let _ = receiver.recv_timeout(&mut [0; 15_000], Duration::ZERO);
    }
}

fn send_long(objects: &Objects) {
    with_sender(objects, |sender| drop(sender.try_send(LONG)));
}

fn reserve_and_commit(objects: &Objects) {
    with_sender(objects, |sender| {
        if let Ok(mut slot) = sender.try_reserve(200) {
            let _ = slot.write_at(0, SENT);
            slot.truncate(SENT.len());
            let _ = slot.commit();
        }
    });
}

fn reserve_and_abort(objects: &Objects) {
    with_sender(objects, |sender| {
        if let Ok(mut slot) = sender.try_reserve(200) {
            let _ = slot.write_at(0, SENT);
        }
    });
}

fn drop_sender(objects: &Objects) {
    objects.sender.take();
}

fn claim_receiver(objects: &Objects) {
    *objects.receiver.borrow_mut() = objects.ring.receiver().ok();
}

fn with_receiver(objects: &Objects, act: impl FnOnce(&mut Receiver)) {
    if let Some(receiver) = &mut *objects.receiver.borrow_mut() {
        act(receiver);
    }
}

fn receive(objects: &Objects) {
    with_receiver(objects, |receiver| drop(receiver.try_recv(&mut [0; 100])));
}

fn peek_and_release(objects: &Objects) {
    with_receiver(objects, |receiver| {
        if let Ok(message) = receiver.try_peek() {
            let _ = message.release();
        }
    });
}

fn receive_all(objects: &Objects) {
    claim_receiver(objects);
    receive(objects);
    receive(objects);
}

fn receive_in_vain(objects: &Objects) {
    with_receiver(objects, |receiver| {
        drop(receiver.recv_timeout(&mut [0; 100], Duration::from_micros(50)));
    });
}

fn drop_receiver(objects: &Objects) {
    objects.receiver.take();
}

fn check_nothing_sent(objects: &Objects, _: bool) -> Result<(), String> {
    go_on(&objects.ring, &[&[FIRST, SECOND]])
}

fn check_nothing_sent_by_many(objects: &Objects, _: bool) -> Result<(), String> {
    go_on(&objects.many, &[&[FIRST, SECOND]])
}

/// The ring has what it had before, or what the act makes of it; and that for sure if it is done.
fn either(ring: &Ring, done: bool, before: &[&[u8]], after: &[&[u8]]) -> Result<(), String> {
    match done {
        true => go_on(ring, &[after]),
        false => go_on(ring, &[before, after]),
    }
}

fn check_sent(objects: &Objects, done: bool) -> Result<(), String> {
    either(
        &objects.ring,
        done,
        &[FIRST, SECOND],
        &[FIRST, SECOND, SENT],
    )
}

fn check_batch(objects: &Objects, done: bool) -> Result<(), String> {
    let after = [FIRST, SECOND, SENT, FIRST, SENT];
    either(&objects.ring, done, &[FIRST, SECOND], &after)
}

fn check_sent_behind_more(objects: &Objects, done: bool) -> Result<(), String> {
    let last = &[0; 9_850];
    either(&objects.ring, done, &[last], &[last, SENT])
}

fn check_sent_long(objects: &Objects, done: bool) -> Result<(), String> {
    either(
        &objects.ring,
        done,
        &[FIRST, SECOND],
        &[FIRST, SECOND, LONG],
    )
}

fn check_sent_by_one_of_many(objects: &Objects, done: bool) -> Result<(), String> {
    either(
        &objects.many,
        done,
        &[FIRST, SECOND],
        &[FIRST, SECOND, SENT],
    )
}

/// The oldest may be gone before the new one is there.
fn check_dropped(objects: &Objects, done: bool) -> Result<(), String> {
    let after: &[&[u8]] = &[SENT];
    match done {
        true => go_on(&objects.dropping, &[after]),
        false => go_on(
            &objects.dropping,
            &[&[FIRST, SECOND], &[SECOND], &[], after],
        ),
    }
}

fn check_received(objects: &Objects, done: bool) -> Result<(), String> {
    either(&objects.ring, done, &[FIRST, SECOND], &[SECOND])
}

fn check_all_received(objects: &Objects, _: bool) -> Result<(), String> {
    go_on(&objects.ring, &[&[]])
}

/// A receiver learns how the sender has ended.
fn check_closed(objects: &Objects, done: bool) -> Result<(), String> {
    let mut receiver = objects.ring.receiver().map_err(text)?;
    let mut buffer = [0; 100];
    for _ in 0..2 {
        receiver.try_recv(&mut buffer).map_err(text)?;
    }
    let end = receiver
        .recv_timeout(&mut buffer, AGES)
        .map_err(|error| error.kind());
    drop(receiver);
    match end {
        Err(ErrorKind::Closed) => {}
        Err(ErrorKind::PeerDied) if !done => {}
        end => return Err(format!("the end is {end:?}")),
    }
    go_on(&objects.ring, &[&[]])
}

/// Others take both parts. The receiver finds one of these sequences of messages, and then what the
/// new sender sends, which is enough to go round the ring.
fn go_on(ring: &Ring, possible: &[&[&[u8]]]) -> Result<(), String> {
    let mut receiver = ring.receiver().map_err(text)?;
    let mut sender = ring.sender().map_err(text)?;
    let mut buffer = vec![0; ring.capacity()];
    let mut found: Vec<Vec<u8>> = Vec::new();
    loop {
        match receiver.try_recv(&mut buffer) {
            Ok(len) => found.push(buffer[..len].to_vec()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(text(error)),
        }
    }
    let possible = if possible.is_empty() {
        &[&[][..]]
    } else {
        possible
    };
    if !possible.iter().any(|expected| found == *expected) {
        let starts: Vec<_> = found
            .iter()
            .map(|bytes| (bytes.len(), bytes.first()))
            .collect();
        return Err(format!(
            "these messages were there (length, first byte): {starts:?}"
        ));
    }
    let len = ring.capacity() / 3;
    for round in 0..10 {
        let message = vec![round; len];
        sender.send_timeout(&message, AGES).map_err(text)?;
        let received = receiver.recv_timeout(&mut buffer, AGES).map_err(text)?;
        expect(
            &buffer[..received],
            &message[..],
            "a message of the new sender",
        )?;
    }
    Ok(())
}

fn expect<T: PartialEq + std::fmt::Debug>(found: T, expected: T, what: &str) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what} is {found:?} and not {expected:?}")),
    }
}
