//! Each kind of object, between two machines.

use super::{
    bridge::{Bridge, PATIENCE, THERE, expect, receiver, send, sender, status, wait_until},
    machines::Machine,
};
use shmkey::{Broadcast, Latest, Ring, Semaphore};
use std::thread;

#[test]
fn a_million_messages_arrive_in_order_with_their_checksum() {
    const COUNT: u64 = 1_000_000;
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let _bridges = Bridge::both(&here, &there, "orders", "");
    let message = |number: u64| -> Vec<u8> {
        let sum = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let filler = vec![number as u8; (sum >> 58) as usize];
        [&number.to_le_bytes()[..], &sum.to_le_bytes(), &filler].concat()
    };
    thread::scope(|scope| {
        scope
            .spawn(|| (0..COUNT).for_each(|n| sender.send_timeout(&message(n), PATIENCE).unwrap()));
        let mut received = Vec::new();
        for number in 0..COUNT {
            receiver.recv_vec_timeout(&mut received, PATIENCE).unwrap();
            assert!(received == message(number), "message {number}");
        }
    });
}

#[test]
fn a_message_that_is_longer_than_a_packet_arrives_whole() {
    const LONG: usize = 1 << 20;
    let (here, there) = Machine::pair();
    let open = || Ring::open("pictures", 2 * LONG).unwrap();
    let mut sender = here.run(|| open().sender().unwrap());
    let mut receiver = there.run(|| open().receiver().unwrap());
    let _bridges = Bridge::both(&here, &there, "pictures", "");
    let long: Vec<u8> = (0..LONG as u32)
        .map(|n| (n.wrapping_mul(n) >> 8) as u8)
        .collect();
    for len in [0, 57_343, 57_344, 57_345, LONG] {
        sender.send_timeout(&long[..len], PATIENCE).unwrap();
        let mut received = Vec::new();
        receiver.recv_vec_timeout(&mut received, PATIENCE).unwrap();
        assert!(received == long[..len], "{len} bytes");
    }
}

#[test]
fn a_broadcast_reaches_the_subscribers_of_both_machines() {
    let (here, there) = Machine::pair();
    let open = || Broadcast::open("news", 1 << 14).unwrap();
    let mut publisher = here.run(|| open().publisher().unwrap());
    let mut subscribers =
        [&here, &there].map(|machine| machine.run(|| open().subscribe().unwrap()));
    let (ours, _theirs) = Bridge::both(&here, &there, "news", "");
    ours.expect("carrying to another bridge");
    wait_until(
        || here.run(|| open().subscribers() == 2),
        || "the bridge to subscribe".to_owned(),
    );
    thread::scope(|scope| {
        for subscriber in &mut subscribers {
            scope.spawn(|| {
                for number in 0..20_000_u32 {
                    let mut message = [0; 4];
                    subscriber.recv_timeout(&mut message, PATIENCE).unwrap();
                    assert_eq!(u32::from_ne_bytes(message), number);
                }
            });
        }
        for number in 0..20_000_u32 {
            publisher
                .publish_timeout(&number.to_ne_bytes(), PATIENCE)
                .unwrap();
        }
    });
}

#[test]
fn the_newest_value_arrives_and_never_an_older_one_after_it() {
    let (here, there) = Machine::pair();
    let open = || Latest::<[u64; 100]>::open("position").unwrap();
    let mut publisher = here.run(|| open().publisher().unwrap());
    publisher.publish([7; 100]).unwrap(); // before there are bridges
    let _bridges = Bridge::both(&here, &there, "position", "");
    let value = there.run(open);
    let mut seen = 0;
    assert_eq!(value.wait_newer_timeout(&mut seen, PATIENCE).unwrap()[0], 7);
    thread::scope(|scope| {
        scope.spawn(|| (8..=100_000).for_each(|number| publisher.publish([number; 100]).unwrap()));
        let mut last = 7;
        while last < 100_000 {
            let [first, .., end] = value.wait_newer_timeout(&mut seen, PATIENCE).unwrap();
            assert!(
                first == end && first > last,
                "{first} to {end} after {last}"
            );
            last = first;
        }
    });
}

#[test]
fn each_machine_has_versions_of_its_own_of_a_latest_value() {
    let (one, there) = Machine::pair();
    let other = Machine::new("other");
    other.connect(&there, "10.77.2");
    let _subscriber = Bridge::start(&there, "--subscribe position --listen tcp/0.0.0.0:7447");
    let open = || Latest::<u64>::open("position").unwrap();
    let value = there.run(open);
    let mut bridges = Vec::new();
    let mut publishers = [(&one, "10.77.1"), (&other, "10.77.2")].map(|(machine, network)| {
        let publisher = machine.run(|| open().publisher().unwrap());
        let connect = format!("--publish position --connect tcp/{network}.2:7447");
        bridges.push(Bridge::start(machine, &connect));
        publisher
    });
    bridges
        .iter()
        .for_each(|bridge| bridge.expect("carrying to another bridge"));
    // The value of the first machine has version 100, and that of the other machine, with version 1, still arrives.
    (1..=100).for_each(|number| publishers[0].publish(number).unwrap());
    wait_until(
        || value.read().unwrap() == Some(100),
        || format!("100, not {:?}", value.read()),
    );
    publishers[1].publish(7).unwrap();
    wait_until(
        || value.read().unwrap() == Some(7),
        || format!("7, not {:?}", value.read()),
    );
}

#[test]
fn each_post_of_a_semaphore_arrives_once() {
    let (here, there) = Machine::pair();
    let open = || Semaphore::open("jobs", 0).unwrap();
    let (ours, theirs) = (here.run(open), there.run(open));
    let _bridges = Bridge::both(&here, &there, "jobs", "");
    (0..5000).for_each(|_| ours.post().unwrap());
    (0..5000).for_each(|_| theirs.wait_timeout(PATIENCE).unwrap());
    assert_eq!((ours.value(), theirs.value()), (0, 0));
}

#[test]
fn an_object_is_created_where_it_is_missing_as_the_same_object() {
    let (here, there) = Machine::pair();
    let place = || shmkey::Place::named("orders").layout("struct order");
    let options = Ring::options().many_senders(true);
    let mut sender = here.run(|| options.open(place(), 8000).unwrap().sender().unwrap());
    let (_ours, theirs) = Bridge::both(&here, &there, "orders", "");
    theirs.expect("delivering what another bridge publishes");
    let ring = there.run(|| options.open(place().create(false), 8000).unwrap());
    sender.send(b"hello").unwrap();
    let mut message = Vec::new();
    ring.receiver()
        .unwrap()
        .recv_vec_timeout(&mut message, PATIENCE)
        .unwrap();
    assert_eq!(message, b"hello");
}

#[test]
fn counters_are_served_as_prometheus_text_and_as_status() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (_ours, _theirs) = Bridge::both(&here, &there, "orders", "");
    send(&mut sender, 0..10);
    expect(&mut receiver, 0..10);
    let status = || status(&here);
    let line = |status: &str| {
        status
            .lines()
            .nth(1)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let expected = "publish orders 10 80 0 0 0 0 0 0 0 1";
    wait_until(|| line(&status()).as_deref() == Some(expected), status);
}

#[test]
fn what_is_sent_before_the_other_machine_is_there_waits_in_the_ring() {
    let (here, there) = Machine::pair();
    let mut sender = sender(&here, "orders");
    let _ours = Bridge::start(&here, &format!("--publish orders --connect {THERE}"));
    send(&mut sender, 0..500);
    let mut receiver = receiver(&there, "orders");
    let _theirs = Bridge::start(&there, &format!("--subscribe orders --listen {THERE}"));
    expect(&mut receiver, 0..500);
}
