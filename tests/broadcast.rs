//! The broadcast: each subscriber receives each message whole and in order, or knows how many it has missed, whichever
//! process dies or is slow.

mod support;

use shmkey::{
    Broadcast, BroadcastOptions, BroadcastPublisher, ErrorKind, Key, Place, Ring, Segment,
    Subscriber,
};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};
use support::{
    AGES, Environment, Random, SOON, fails, helper_task, in_child, say, says, wait_for_line,
};

fn open(name: &str, capacity: usize) -> Broadcast {
    Broadcast::open(name, capacity).unwrap()
}

fn lossy() -> BroadcastOptions {
    Broadcast::options().lossy(true)
}

/// A message whose length and bytes depend on its number.
fn numbered(number: u64) -> Vec<u8> {
    let len = match number % 10 {
        0 => 0,
        1..=6 => (number * 7 % 200) as usize,
        7 | 8 => (number * 131 % 9000) as usize,
        _ => 16_000 + (number * 1_313 % 30_000) as usize,
    };
    let mut random = Random::seeded(number);
    let words = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
    number
        .to_le_bytes()
        .into_iter()
        .chain(words.take(len))
        .collect()
}

#[track_caller]
fn expect_numbered(bytes: &[u8], number: u64) {
    assert!(
        bytes == numbered(number),
        "message {number}: {} bytes were received",
        bytes.len()
    );
}

/// Receives `count` messages that another process publishes, which begin with the number `first`.
fn receive_numbered(subscriber: &mut Subscriber, first: u64, count: u64) {
    let mut message = Vec::new();
    for number in first..first + count {
        subscriber.recv_vec_timeout(&mut message, AGES).unwrap();
        expect_numbered(&message, number);
    }
}

/// Not a test of its own: what the helpers do.
#[test]
fn helper_process() {
    let Some((task, name)) = helper_task() else {
        return;
    };
    let words: Vec<&str> = task.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let news = Broadcast::open(name.as_str(), 0).unwrap();
    match words[0] {
        "publish" => publish_numbered(&news, number(1), number(2)),
        "reserve" => reserve_and_write(&news),
        "receive" => subscribe_and_receive(&news, number(1), number(2)),
        other => panic!("no such task: {other}"),
    }
}

fn publish_numbered(news: &Broadcast, first: u64, count: u64) {
    let mut publisher = news.publisher().unwrap();
    for number in first..first + count {
        publisher.publish_timeout(&numbered(number), AGES).unwrap();
    }
    say("published");
    wait_for_line();
}

/// Writes a message, and does not commit it.
fn reserve_and_write(news: &Broadcast) {
    let mut publisher = news.publisher().unwrap();
    let mut slot = publisher.reserve(200).unwrap();
    slot.write_at(0, &[1; 200]).unwrap();
    say("reserved");
    wait_for_line();
}

fn subscribe_and_receive(news: &Broadcast, first: u64, count: u64) {
    let mut subscriber = news.subscribe().unwrap();
    say("subscribed");
    receive_numbered(&mut subscriber, first, count);
    say("received");
    wait_for_line();
}

#[test]
fn each_subscriber_receives_messages_of_every_length() {
    for capacity in [64, 72, 100, 1000, 4096, 50_000] {
        for options in [Broadcast::options(), lossy()] {
            let test = Environment::new();
            let news = options.open(test.name(), capacity).unwrap();
            let capacity = news.capacity();
            let mut publisher = news.publisher().unwrap();
            let mut subscribers: Vec<_> = (0..3).map(|_| news.subscribe().unwrap()).collect();
            let mut buffer = vec![0; capacity];
            for round in 0..200 {
                let len = if round % 3 == 0 {
                    capacity
                } else {
                    round * 37 % (capacity + 1)
                };
                let message: Vec<u8> = (0..len).map(|at| (at + round) as u8).collect();
                publisher.try_publish(&message).unwrap();
                for subscriber in &mut subscribers {
                    assert_eq!(subscriber.try_recv(&mut buffer).unwrap(), len);
                    assert_eq!(buffer[..len], message);
                }
            }
            fails(
                publisher.try_publish(&vec![0; capacity + 1]),
                ErrorKind::TooLong,
            );
            assert_eq!(news.published(), 200);
        }
    }
}

#[test]
fn a_subscriber_begins_with_the_next_message_or_with_the_oldest() {
    let test = Environment::new();
    let news = open(test.name(), 4096);
    let mut publisher = news.publisher().unwrap();
    for number in 0..10_u8 {
        publisher.publish(&[number]).unwrap();
    }
    let mut next = news.subscribe().unwrap();
    let mut oldest = news.subscribe_from_oldest().unwrap();
    fails(next.try_recv(&mut [0; 8]), ErrorKind::WouldBlock);
    publisher.publish(&[10]).unwrap();
    drop(publisher);
    let all = |subscriber: &mut Subscriber| -> Vec<u8> {
        subscriber
            .iter()
            .map(|message| message.unwrap()[0])
            .collect()
    };
    assert_eq!(all(&mut next), [10]);
    assert_eq!(all(&mut oldest), (0..=10).collect::<Vec<u8>>());
}

/// Publishes a message of this length, which begins with `round`, in place; then aborts a slot.
fn publish_in_place(publisher: &mut BroadcastPublisher, round: u64, len: usize) {
    let mut slot = publisher.try_reserve(len + 7).unwrap();
    slot.set(0, round).unwrap();
    slot.write_at(8, &vec![round as u8; len - 8]).unwrap();
    slot.truncate(len);
    fails(slot.write_at(len - 3, b"long"), ErrorKind::OutOfRange);
    assert!(!slot.as_mut_ptr().is_null());
    slot.commit().unwrap();
    drop(publisher.try_reserve(40).unwrap());
}

/// Peeks at this message.
#[track_caller]
fn expect_in_place(subscriber: &mut Subscriber, round: u64, len: usize) {
    let message = subscriber.try_peek().unwrap();
    assert_eq!(
        (message.len(), message.get::<u64>(0).unwrap()),
        (len, round)
    );
    assert_eq!(message.to_vec()[8..], vec![round as u8; len - 8]);
    let beyond_the_end = message.read_at(len - 3, &mut [0; 4]);
    fails(beyond_the_end, ErrorKind::OutOfRange);
}

/// The messages also wrap around the end of the memory.
#[test]
fn messages_are_written_and_read_in_place() {
    for options in [Broadcast::options(), lossy()] {
        let test = Environment::new();
        let news = options.open(test.name(), 1000).unwrap();
        let mut publisher = news.publisher().unwrap();
        let mut subscriber = news.subscribe().unwrap();
        for round in 0..100 {
            let len = 100 + (round as usize * 61) % 800;
            publish_in_place(&mut publisher, round, len);
            // Without a release, the message stays the next one.
            expect_in_place(&mut subscriber, round, len);
            expect_in_place(&mut subscriber, round, len);
            subscriber.try_peek().unwrap().release().unwrap();
        }
        fails(subscriber.try_peek(), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_batch_is_published_and_received_as_far_as_there_is_room() {
    let test = Environment::new();
    let news = open(test.name(), 1000);
    let mut publisher = news.publisher().unwrap();
    let mut subscriber = news.subscribe().unwrap();
    let message = [7; 100];
    let sent = publisher.try_publish_batch(&[&message[..]; 20]).unwrap();
    assert!((7..20).contains(&sent), "{sent} of 128 bytes in 1000");
    fails(publisher.try_publish(&message), ErrorKind::WouldBlock);
    let (mut buffer, mut lengths) = ([0; 450], [0; 30]);
    let mut receive = || subscriber.try_recv_batch(&mut buffer, &mut lengths);
    let mut received = receive().unwrap();
    assert_eq!(received, 4);
    while received < sent {
        received += receive().unwrap();
    }
    assert_eq!(received, sent);
    fails(receive(), ErrorKind::WouldBlock);
    assert_eq!(publisher.publish_batch(&[]).unwrap(), 0);
}

#[test]
fn a_message_stays_if_the_buffer_is_too_short() {
    let test = Environment::new();
    let news = open(test.name(), 1000);
    let mut publisher = news.publisher().unwrap();
    let mut subscriber = news.subscribe().unwrap();
    publisher.publish(&[7; 100]).unwrap();
    let mut buffer = [0; 450];
    fails(subscriber.try_recv(&mut buffer[..99]), ErrorKind::TooLong);
    assert_eq!(subscriber.try_recv(&mut buffer).unwrap(), 100);
}

/// Each of three processes receives all of a stream for which there is no room at once.
#[test]
fn other_processes_receive_all_messages() {
    let test = Environment::new();
    let news = open(test.name(), 64 << 10);
    let mut readers: Vec<_> = (0..3).map(|_| test.helper("receive 0 600")).collect();
    for reader in &mut readers {
        reader.expect("subscribed");
    }
    let mut publisher = news.publisher().unwrap();
    for number in 0..600 {
        publisher.publish_timeout(&numbered(number), AGES).unwrap();
    }
    for reader in &mut readers {
        reader.expect("received");
    }
}

/// A subscriber of a lossy broadcast knows how many messages it has missed, and receives no torn one.
#[test]
fn an_overtaken_subscriber_knows_what_it_missed() {
    const LAST: u64 = 5_000;
    let test = Environment::new();
    let news = lossy().open(test.name(), 100_000).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut subscriber = news.subscribe().unwrap();
            let done = &done;
            scope.spawn(move || {
                let (mut message, mut received) = (Vec::new(), 0);
                while subscriber.recv_vec_timeout(&mut message, AGES).is_ok() {
                    let number = u64::from_le_bytes(message[..8].try_into().unwrap());
                    expect_numbered(&message, number);
                    received += 1;
                    assert_eq!(subscriber.missed() + received, number + 1);
                    if number == LAST {
                        done.store(true, Relaxed);
                        break;
                    }
                }
            });
        }
        let mut publisher = news.publisher().unwrap();
        for number in 0..=LAST {
            publisher.try_publish(&numbered(number)).unwrap();
        }
    });
    assert!(done.load(Relaxed));
}

#[test]
fn the_error_of_a_full_broadcast_names_the_slowest_subscriber() {
    let test = Environment::new();
    let news = open(test.name(), 1000);
    let mut publisher = news.publisher().unwrap();
    let mut here = news.subscribe().unwrap();
    let mut other = test.helper("receive 0 0");
    other.expect("received");
    let id = other.child.id();
    while publisher.try_publish(&[0; 100]).is_ok() {
        here.recv(&mut [0; 100]).unwrap();
    }
    // SAFETY: it is a child of this process that was not waited for.
    unsafe { libc::kill(id as i32, libc::SIGSTOP) };
    let error = publisher.publish_timeout(&[0; 100], SOON).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let text = error.to_string();
    let end = format!(
        "publish: ETIMEDOUT: there is no room for 100 bytes; process {id} (stopped) is the slowest subscriber"
    );
    assert!(text.ends_with(&end), "{text}");
    // SAFETY: as above.
    unsafe { libc::kill(id as i32, libc::SIGCONT) };
    other.kill();
    publisher.publish_timeout(&[0; 100], AGES).unwrap();
    assert_eq!(news.subscribers(), 1, "the dead one was dropped");
    while here.try_recv(&mut [0; 100]).is_ok() {}
    publisher.try_publish(&[0; 900]).unwrap();
}

/// The publisher sleeps until it notices that a subscriber has died, and continues. Live subscribers miss nothing.
#[test]
fn the_publisher_drops_a_dead_subscriber() {
    let test = Environment::new();
    let news = open(test.name(), 4096);
    let mut dead = test.helper("receive 0 0");
    dead.expect("received");
    thread::scope(|scope| {
        let mut here = news.subscribe().unwrap();
        scope.spawn(move || receive_numbered(&mut here, 0, 7));
        let mut publisher = news.publisher().unwrap();
        let publishing = scope.spawn(move || {
            for number in 0..7 {
                publisher.publish_timeout(&numbered(number), AGES).unwrap();
            }
            for _ in 0..200 {
                publisher.publish_timeout(b"and on", AGES).unwrap();
            }
        });
        dead.kill();
        publishing.join().unwrap();
    });
}

#[test]
fn what_a_dead_publisher_committed_is_received() {
    let test = Environment::new();
    let news = open(test.name(), 64 << 10);
    let mut subscriber = news.subscribe().unwrap();
    let mut first = test.helper("publish 0 7");
    first.expect("published");
    first.kill();
    let mut second = test.helper("reserve");
    second.expect("reserved");
    fails(news.publisher(), ErrorKind::Busy);
    second.kill();
    receive_numbered(&mut subscriber, 0, 7);
    let error = subscriber.recv(&mut [0; 64]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PeerDied);
    assert!(
        error.to_string().contains("(dead), the publisher, died"),
        "{error}"
    );
    let mut publisher = news.publisher().unwrap();
    publisher.publish(&numbered(7)).unwrap();
    receive_numbered(&mut subscriber, 7, 1);
    fails(subscriber.try_recv(&mut [0; 64]), ErrorKind::WouldBlock);
    drop(publisher);
    fails(subscriber.recv(&mut [0; 64]), ErrorKind::Closed);
}

#[test]
fn a_child_has_none_of_the_roles() {
    let test = Environment::new();
    let news = open(test.name(), 4096);
    let mut ends = Some((news.publisher().unwrap(), news.subscribe().unwrap()));
    ends.as_mut().unwrap().0.publish(b"before").unwrap();
    in_child(|| {
        let (mut publisher, mut subscriber) = ends.take().unwrap(); // dropped in the child
        fails(publisher.publish(b"child"), ErrorKind::Busy);
        fails(publisher.reserve(3), ErrorKind::Busy);
        fails(subscriber.try_recv(&mut [0; 8]), ErrorKind::NotOwner);
        fails(subscriber.try_peek(), ErrorKind::NotOwner);
    });
    let (mut publisher, mut subscriber) = ends.unwrap();
    publisher.publish(b"after").unwrap();
    let mut message = Vec::new();
    for expected in [&b"before"[..], b"after"] {
        subscriber.try_recv_vec(&mut message).unwrap();
        assert_eq!(message, expected);
    }
}

#[test]
fn the_65th_subscriber_is_refused_until_one_leaves() {
    let test = Environment::new();
    let news = open(test.name(), 4096);
    let mut subscribers: Vec<_> = (0..64).map(|_| news.subscribe().unwrap()).collect();
    assert_eq!(news.subscribers(), 64);
    let error = news.subscribe().unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::LimitReached, libc::ENOSPC)
    );
    let text = error.to_string();
    assert!(
        text.contains("64 handles are subscribed already; one more can subscribe when"),
        "{text}"
    );
    drop(subscribers.swap_remove(20));
    subscribers.push(news.subscribe().unwrap());
    let mut publisher = news.publisher().unwrap();
    publisher.publish(b"to all").unwrap();
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.try_recv(&mut [0; 8]).unwrap(), 6);
    }
}

#[test]
fn read_permission_is_enough_for_a_lossy_broadcast() {
    let test = Environment::with_names(&["lossless"]);
    let news = lossy().open(test.name(), 4096).unwrap();
    let mut publisher = news.publisher().unwrap();
    let place = || Place::from(test.name()).read_only(true);
    let there = lossy().open(place(), 4096).unwrap();
    let mut readers: Vec<_> = (0..70).map(|_| there.subscribe().unwrap()).collect();
    assert_eq!(there.subscribers(), 0);
    publisher.publish(b"one").unwrap();
    for reader in &mut readers {
        assert_eq!(reader.recv(&mut [0; 8]).unwrap(), 3);
    }
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(readers[0].recv_timeout(&mut [0; 8], AGES).unwrap(), 5));
        publisher.publish(b"three").unwrap();
    });
    fails(there.publisher(), ErrorKind::ReadOnly);
    let lossless = test.named("lossless");
    let _news = open(&lossless, 4096);
    let read_only = Place::from(lossless.as_str()).read_only(true);
    fails(Broadcast::open(read_only, 4096), ErrorKind::ReadOnly);
}

#[test]
fn a_capacity_has_limits() {
    let test = Environment::new();
    for capacity in [1, 63, usize::MAX] {
        let opened = Broadcast::open(test.name(), capacity);
        fails(opened, ErrorKind::InvalidArgument);
    }
    let _created = open(test.name(), 1000);
    let segment = Segment::open(Key::from_name(test.name()).unwrap()).unwrap();
    let size = segment.status().unwrap().size;
    assert!(size <= 5888 + 1000 * 9 / 8 + 1, "{size}");
}

#[test]
fn a_broadcast_is_opened_as_it_was_created() {
    let test = Environment::new();
    fails(Broadcast::open(test.name(), 0), ErrorKind::KeyNotFound);
    let _created = lossy().open(test.name(), 1000).unwrap();
    let there = open(test.name(), 0);
    assert!(there.is_lossy() && there.capacity() == 1000);
    let error = fails(Broadcast::open(test.name(), 1000), ErrorKind::WrongLayout);
    says(
        &error.to_string(),
        "created with a capacity of 1000 bytes, lossy and no name of a layout, \
         asked for with a capacity of 1000 bytes, lossless",
    );
    fails(lossy().open(test.name(), 2000), ErrorKind::WrongLayout);
    fails(Ring::open(test.name(), 1000), ErrorKind::WrongKind);
}

/// If a publisher waits until there is a subscriber, and then publishes, the subscriber receives the message.
#[test]
fn a_subscriber_that_is_counted_misses_nothing() {
    let test = Environment::with_names(&["lossy"]);
    let open = |lossy, name| Broadcast::options().lossy(lossy).open(name, 4096).unwrap();
    for news in [open(false, test.name()), open(true, &test.named("lossy"))] {
        let mut publisher = news.publisher().unwrap();
        for _ in 0..1_000 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut subscriber = news.subscribe().unwrap();
                    assert_eq!(subscriber.recv_timeout(&mut [0; 8], AGES).unwrap(), 4);
                });
                while news.subscribers() == 0 {
                    std::hint::spin_loop();
                }
                publisher.publish(b"news").unwrap();
            });
        }
    }
}
