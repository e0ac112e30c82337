//! What is done by those who are killed, and what the survivors must find.

use crate::stage;
use shmkey::{
    ErrorKind, Key, Latest, Mutex, Place, Publisher, Receiver, Ring, Segment, Semaphore, Sender,
};
use std::{cell::RefCell, time::Duration};

/// Nobody waits for ever; far longer than anything takes.
const AGES: Duration = Duration::from_secs(60);

/// Something that a child does, and what the survivors must find after its death.
#[derive(Clone, Copy)]
pub struct Victim {
    /// What the child does before it is stepped.
    pub prepare: fn(&Scene),
    pub act: fn(&Scene),
    /// What the survivors see and do. `done` if the child came to its end.
    pub check: fn(&Scene, done: bool) -> Result<(), String>,
}

/// What both sides have: opened before the fork.
pub struct Scene {
    names: Vec<String>,
    mutex: Mutex<[u64; 4]>,
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

pub const VICTIMS: [(&str, Victim); 27] = [
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

fn nothing(_: &Scene) {}

fn text(error: shmkey::Error) -> String {
    error.to_string()
}

impl Scene {
    pub fn new() -> Result<Scene, String> {
        let mut names = Vec::new();
        let mut name = |what: &str| {
            let name = format!("torture {} {what}", std::process::id());
            remove(&name);
            stage::watch(Key::from_name(&name).map_err(text)?);
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
        let scene = Scene {
            mutex: Mutex::open(name("mutex")?.as_str(), OLD).map_err(text)?,
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
        scene
            .latest
            .publisher()
            .and_then(|mut publisher| publisher.publish(OLD))
            .map_err(text)?;
        for ring in [&scene.ring, &scene.many, &scene.dropping] {
            let mut sender = ring.sender().map_err(text)?;
            sender
                .try_send(FIRST)
                .and_then(|()| sender.try_send(SECOND))
                .map_err(text)?;
        }
        Ok(scene)
    }
}

impl Drop for Scene {
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
fn know_oneself(scene: &Scene) {
    drop(scene.mutex.lock());
}

fn lock_and_set(scene: &Scene) {
    if let Ok(mut guard) = scene.mutex.lock() {
        guard.set(NEW);
    }
}

/// The parent has the lock, or the child itself has just been refused it.
fn lock_in_vain(scene: &Scene) {
    let Ok(_guard) = scene.mutex.lock() else {
        return;
    };
    // The same word again: taken, so this goes all the way to refusal.
    let _ = scene.mutex.lock_timeout(Duration::from_millis(1));
}

fn check_value(scene: &Scene, done: bool) -> Result<(), String> {
    let mut guard = scene.mutex.lock_timeout(AGES).map_err(text)?;
    let value = guard.get();
    if done && guard.owner_died() {
        return Err("the owner unlocked, and is said to have died with the lock".into());
    }
    if !guard.owner_died() && value != OLD && value != NEW {
        return Err(format!(
            "{value:?} is torn, and nobody is said to have died"
        ));
    }
    guard.mark_consistent();
    guard.set(OLD);
    drop(guard);
    match scene.mutex.lock_timeout(Duration::ZERO) {
        Ok(guard) if !guard.owner_died() => Ok(()),
        other => Err(format!("after the repair: {other:?}")),
    }
}

fn open_mutex(scene: &Scene) {
    let _ = Mutex::open(scene.fresh.as_str(), NEW);
}

fn check_opened(scene: &Scene, done: bool) -> Result<(), String> {
    let place = Place::named(&scene.fresh).timeout(AGES);
    let mutex = Mutex::open(place, OLD).map_err(text)?;
    let guard = mutex.lock_timeout(AGES).map_err(text)?;
    match guard.get() {
        NEW => Ok(()),
        OLD if !done => Ok(()),
        value => Err(format!("its first value is {value:?}")),
    }
}

// The semaphore.

fn post(scene: &Scene) {
    let _ = scene.semaphore.post();
}

/// One there was, one more there may be.
fn check_posted(scene: &Scene, done: bool) -> Result<(), String> {
    expect_count(drain(scene)?, 2, done)
}

fn wait(scene: &Scene) {
    let _ = scene.semaphore.wait_timeout(AGES);
}

/// One there was, and it may be gone.
fn check_taken(scene: &Scene, done: bool) -> Result<(), String> {
    expect_count(drain(scene)?, 0, done)
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
fn drain(scene: &Scene) -> Result<u32, String> {
    let mut count = 0;
    while scene.semaphore.try_wait().is_ok() {
        count += 1;
    }
    let empty = scene.semaphore.wait_timeout(Duration::ZERO);
    if empty.map_err(|error| error.kind()) != Err(ErrorKind::WouldBlock) {
        return Err("something was left".into());
    }
    scene.semaphore.post().map_err(text)?;
    scene.semaphore.wait_timeout(AGES).map_err(text)?;
    Ok(count)
}

// The latest value.

fn open_latest(scene: &Scene) {
    let _ = Latest::<[u64; 4]>::open(scene.fresh.as_str());
}

fn check_opened_latest(scene: &Scene, _: bool) -> Result<(), String> {
    let place = Place::named(&scene.fresh).timeout(AGES);
    let latest = Latest::<[u64; 4]>::open(place).map_err(text)?;
    expect(latest.read().map_err(text)?, None, "the new value")?;
    publish_again(&latest)
}

fn claim_publisher(scene: &Scene) {
    *scene.publisher.borrow_mut() = scene.latest.publisher().ok();
}

fn publish(scene: &Scene) {
    if let Some(publisher) = &mut *scene.publisher.borrow_mut() {
        let _ = publisher.publish(NEW);
    }
}

fn drop_publisher(scene: &Scene) {
    scene.publisher.take();
}

fn check_latest(scene: &Scene, done: bool) -> Result<(), String> {
    let value = scene.latest.read().map_err(text)?;
    if value != Some(NEW) && (done || value != Some(OLD)) {
        return Err(format!("the latest value is {value:?}"));
    }
    // A dead writer cannot make it change any more.
    expect(
        scene.latest.read().map_err(text)?,
        value,
        "the value, seen again",
    )?;
    publish_again(&scene.latest)
}

fn check_latest_old(scene: &Scene, _: bool) -> Result<(), String> {
    expect(scene.latest.read().map_err(text)?, Some(OLD), "the value")?;
    publish_again(&scene.latest)
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

fn open_ring(scene: &Scene) {
    let _ = Ring::open(scene.fresh.as_str(), 1000);
}

fn check_opened_ring(scene: &Scene, _: bool) -> Result<(), String> {
    let ring = Ring::open(Place::named(&scene.fresh).timeout(AGES), 1000).map_err(text)?;
    go_on(&ring, &[])
}

fn claim_sender(scene: &Scene) {
    *scene.sender.borrow_mut() = scene.ring.sender().ok();
}

fn claim_one_of_many(scene: &Scene) {
    *scene.sender.borrow_mut() = scene.many.sender().ok();
}

fn claim_dropping(scene: &Scene) {
    *scene.sender.borrow_mut() = scene.dropping.sender().ok();
}

fn with_sender(scene: &Scene, act: impl FnOnce(&mut Sender)) {
    if let Some(sender) = &mut *scene.sender.borrow_mut() {
        act(sender);
    }
}

fn send(scene: &Scene) {
    with_sender(scene, |sender| drop(sender.try_send(SENT)));
}

fn send_batch(scene: &Scene) {
    with_sender(scene, |sender| {
        drop(sender.try_send_batch(&[SENT, FIRST, SENT]));
    });
}

/// Fills the ring so that the next message does not fit before its end, and makes room in front.
fn send_to_the_end(scene: &Scene) {
    claim_sender(scene);
    with_sender(scene, |sender| drop(sender.try_send(&[0; 15_000])));
    with_sender(scene, |sender| drop(sender.try_send(&[0; 15_000])));
    with_sender(scene, |sender| drop(sender.try_send(&[0; 9_850])));
    let Ok(mut receiver) = scene.ring.receiver() else {
        return;
    };
    for _ in 0..4 {
        let _ = receiver.recv_timeout(&mut [0; 15_000], Duration::ZERO);
    }
}

fn send_long(scene: &Scene) {
    with_sender(scene, |sender| drop(sender.try_send(LONG)));
}

fn reserve_and_commit(scene: &Scene) {
    with_sender(scene, |sender| {
        if let Ok(mut slot) = sender.try_reserve(200) {
            let _ = slot.write_at(0, SENT);
            slot.truncate(SENT.len());
            let _ = slot.commit();
        }
    });
}

fn reserve_and_abort(scene: &Scene) {
    with_sender(scene, |sender| {
        if let Ok(mut slot) = sender.try_reserve(200) {
            let _ = slot.write_at(0, SENT);
        }
    });
}

fn drop_sender(scene: &Scene) {
    scene.sender.take();
}

fn claim_receiver(scene: &Scene) {
    *scene.receiver.borrow_mut() = scene.ring.receiver().ok();
}

fn with_receiver(scene: &Scene, act: impl FnOnce(&mut Receiver)) {
    if let Some(receiver) = &mut *scene.receiver.borrow_mut() {
        act(receiver);
    }
}

fn receive(scene: &Scene) {
    with_receiver(scene, |receiver| drop(receiver.try_recv(&mut [0; 100])));
}

fn peek_and_release(scene: &Scene) {
    with_receiver(scene, |receiver| {
        if let Ok(message) = receiver.try_peek() {
            let _ = message.release();
        }
    });
}

fn receive_all(scene: &Scene) {
    claim_receiver(scene);
    receive(scene);
    receive(scene);
}

fn receive_in_vain(scene: &Scene) {
    with_receiver(scene, |receiver| {
        drop(receiver.recv_timeout(&mut [0; 100], Duration::from_micros(50)));
    });
}

fn drop_receiver(scene: &Scene) {
    scene.receiver.take();
}

fn check_nothing_sent(scene: &Scene, _: bool) -> Result<(), String> {
    go_on(&scene.ring, &[&[FIRST, SECOND]])
}

fn check_nothing_sent_by_many(scene: &Scene, _: bool) -> Result<(), String> {
    go_on(&scene.many, &[&[FIRST, SECOND]])
}

/// The ring has what it had before, or what the act makes of it; and that for sure if it is done.
fn either(ring: &Ring, done: bool, before: &[&[u8]], after: &[&[u8]]) -> Result<(), String> {
    match done {
        true => go_on(ring, &[after]),
        false => go_on(ring, &[before, after]),
    }
}

fn check_sent(scene: &Scene, done: bool) -> Result<(), String> {
    either(&scene.ring, done, &[FIRST, SECOND], &[FIRST, SECOND, SENT])
}

fn check_batch(scene: &Scene, done: bool) -> Result<(), String> {
    let after = [FIRST, SECOND, SENT, FIRST, SENT];
    either(&scene.ring, done, &[FIRST, SECOND], &after)
}

fn check_sent_behind_more(scene: &Scene, done: bool) -> Result<(), String> {
    let last = &[0; 9_850];
    either(&scene.ring, done, &[last], &[last, SENT])
}

fn check_sent_long(scene: &Scene, done: bool) -> Result<(), String> {
    either(&scene.ring, done, &[FIRST, SECOND], &[FIRST, SECOND, LONG])
}

fn check_sent_by_one_of_many(scene: &Scene, done: bool) -> Result<(), String> {
    either(&scene.many, done, &[FIRST, SECOND], &[FIRST, SECOND, SENT])
}

/// The oldest may be gone before the new one is there.
fn check_dropped(scene: &Scene, done: bool) -> Result<(), String> {
    let after: &[&[u8]] = &[SENT];
    match done {
        true => go_on(&scene.dropping, &[after]),
        false => go_on(&scene.dropping, &[&[FIRST, SECOND], &[SECOND], &[], after]),
    }
}

fn check_received(scene: &Scene, done: bool) -> Result<(), String> {
    either(&scene.ring, done, &[FIRST, SECOND], &[SECOND])
}

fn check_all_received(scene: &Scene, _: bool) -> Result<(), String> {
    go_on(&scene.ring, &[&[]])
}

/// A receiver is told how the sender has ended.
fn check_closed(scene: &Scene, done: bool) -> Result<(), String> {
    let mut receiver = scene.ring.receiver().map_err(text)?;
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
    go_on(&scene.ring, &[&[]])
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
