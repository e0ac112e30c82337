//! The promises that hold when a bridge or a router ends or is killed.

use super::{
    bridge::{
        Bridge, CAPACITY, PATIENCE, THERE, expect, expect_counter, next, receiver, send, sender,
        wait_until,
    },
    machines::Machine,
};
use shmkey::{Broadcast, Ring};
use std::thread;

#[test]
fn a_subscribing_bridge_that_is_terminated_hands_over_exactly() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (_ours, mut theirs) = Bridge::both(&here, &there, "orders", "");
    thread::scope(|scope| {
        scope.spawn(|| send(&mut sender, 0..200_000));
        for part in 0..4 {
            expect(&mut receiver, part * 40_000..(part + 1) * 40_000);
            assert!(theirs.terminate().success());
            theirs = Bridge::start(&there, &format!("--subscribe orders --listen {THERE}"));
        }
        expect(&mut receiver, 160_000..200_000);
    });
}

#[test]
fn a_publishing_bridge_that_is_terminated_delivers_what_it_has_taken() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (mut ours, _theirs) = Bridge::both(&here, &there, "orders", "");
    thread::scope(|scope| {
        scope.spawn(|| send(&mut sender, 0..200_000));
        let receives = scope.spawn(|| expect(&mut receiver, 0..200_000));
        for _ in 0..4 {
            ours.expect("carrying to another bridge");
            assert!(ours.terminate().success());
            ours = Bridge::start(&here, &format!("--publish orders --connect {THERE}"));
        }
        receives.join().unwrap(); // before the last bridge is dropped
    });
}

#[test]
fn a_subscribing_bridge_that_is_killed_loses_nothing_and_may_repeat() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (_ours, theirs) = Bridge::both(&here, &there, "orders", "");
    thread::scope(|scope| {
        scope.spawn(|| send(&mut sender, 0..100_000));
        expect(&mut receiver, 0..20_000);
        theirs.kill();
        let _theirs = Bridge::start(&there, &format!("--subscribe orders --listen {THERE}"));
        // At least once: messages that were not acknowledged may be repeated, and none is skipped.
        let mut last = 19_999;
        while last < 99_999 {
            let number = next(&mut receiver);
            assert!(number <= last + 1, "{number} after {last}");
            last = number;
        }
    });
}

#[test]
fn a_publishing_bridge_that_is_killed_repeats_nothing_and_may_lose_what_it_had_taken() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (ours, _theirs) = Bridge::both(&here, &there, "orders", "");
    thread::scope(|scope| {
        scope.spawn(|| send(&mut sender, 0..200_000));
        expect(&mut receiver, 0..20_000);
        ours.kill();
        let _ours = Bridge::start(&here, &format!("--publish orders --connect {THERE}"));
        // At most once: messages that the killed bridge had may be skipped, and none is repeated.
        let mut last = 19_999;
        while last < 199_999 {
            let number = next(&mut receiver);
            assert!(number > last, "{number} after {last}");
            last = number;
        }
    });
}

#[test]
fn a_router_that_is_killed_and_started_again_loses_nothing_and_repeats_nothing() {
    let (here, middle, there) = (
        Machine::new("here"),
        Machine::new("middle"),
        Machine::new("there"),
    );
    here.connect(&middle, "10.77.1");
    there.connect(&middle, "10.77.2");
    let start = || Bridge::start(&middle, "--mode router --listen tcp/0.0.0.0:7447");
    let router = start();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let _ours = Bridge::start(
        &here,
        "--mode client --publish orders --connect tcp/10.77.1.2:7447",
    );
    let _theirs = Bridge::start(
        &there,
        "--mode client --subscribe orders --connect tcp/10.77.2.2:7447",
    );
    thread::scope(|scope| {
        scope.spawn(|| send(&mut sender, 0..200_000));
        expect(&mut receiver, 0..50_000);
        router.kill();
        let _router = start();
        expect(&mut receiver, 50_000..200_000);
    });
}

#[test]
fn a_ring_that_is_removed_and_made_again_is_carried_again() {
    let (here, there) = Machine::pair();
    let (mut old, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (ours, _theirs) = Bridge::both(&here, &there, "orders", "");
    send(&mut old, 0..10);
    expect(&mut receiver, 0..10);
    here.run(|| Ring::open("orders", 0).unwrap().remove().unwrap());
    ours.expect("the object was removed");
    drop(old);
    let mut new = sender(&here, "orders");
    send(&mut new, 10..20);
    expect(&mut receiver, 10..20);
}

#[test]
fn a_bridge_delivers_what_it_has_taken_from_a_ring_that_is_removed() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (ours, _theirs) = Bridge::both(&here, &there, "orders", "");
    send(&mut sender, 0..20_000); // more than the ring on the other machine has room for
    expect_counter(&here, "messages", |messages| messages == 20_000);
    here.run(|| Ring::open("orders", 0).unwrap().remove().unwrap());
    ours.expect("the object was removed");
    thread::scope(|scope| {
        let ended = scope.spawn(|| ours.terminate());
        expect(&mut receiver, 0..20_000);
        assert!(ended.join().unwrap().success());
    });
}

#[test]
fn what_was_taken_from_an_object_of_another_kind_is_not_delivered_into_a_new_one() {
    let (here, there) = Machine::pair();
    let (mut sender, old) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (_ours, theirs) = Bridge::both(&here, &there, "orders", "");
    send(&mut sender, 0..20_000); // more than the ring on the other machine has room for
    expect_counter(&here, "messages", |messages| messages == 20_000);
    let open = || Broadcast::open("orders", CAPACITY).unwrap();
    let remove = || Ring::open("orders", 0).unwrap().remove().unwrap();
    there.run(remove);
    drop(old);
    let mut subscriber = there.run(|| open().subscribe().unwrap());
    here.run(remove);
    let mut publisher = here.run(|| open().publisher().unwrap());
    theirs.expect("broadcast: delivering");
    expect_counter(&here, "peers", |peers| peers == 1);
    expect_counter(&here, "lost", |lost| lost > 10_000);
    wait_until(
        || here.run(|| open().subscribers() == 1),
        || "the bridge to subscribe".to_owned(),
    );
    publisher.publish_timeout(b"new", PATIENCE).unwrap();
    let mut message = Vec::new();
    subscriber.recv_vec_timeout(&mut message, PATIENCE).unwrap();
    assert_eq!(message, b"new");
}
