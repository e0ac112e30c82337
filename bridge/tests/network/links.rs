//! Bad networks: links that are cut or slow, and machines that never return.

use super::{
    bridge::{
        Bridge, CAPACITY, PATIENCE, THERE, expect, expect_counter, receiver, send, sender,
        wait_until,
    },
    machines::Machine,
    proxy::{Proxy, Quality},
};
use shmkey::{Broadcast, ErrorKind, Latest, Ring};
use std::{path::Path, thread, time::Duration};

#[test]
fn a_link_that_is_cut_and_healed_loses_nothing_and_repeats_nothing() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (ours, _theirs) = Bridge::both(&here, &there, "orders", "--log debug");
    send(&mut sender, 0..500);
    expect(&mut receiver, 0..500);
    here.set_link("10.77.1", "down");
    thread::scope(|scope| {
        // A window has room for the first of these, so the bridge sends them, and the connection loses them.
        scope.spawn(|| send(&mut sender, 500..200_000));
        thread::sleep(Duration::from_secs(6)); // more than the lease: both sides end the connection
        here.set_link("10.77.1", "up");
        expect(&mut receiver, 500..200_000);
    });
    ours.expect("sending again");
}

#[test]
fn a_slow_link_delays_and_loses_nothing() {
    let limit = "tbf rate 4mbit burst 16kb latency 100ms";
    let quality = Quality {
        delay: Duration::ZERO,
        bytes_per_second: 500_000,
        loss_every: u32::MAX,
    };
    carries_over_a_bad_link(limit, quality, 100_000);
}

#[test]
fn a_link_with_delay_and_loss_loses_nothing_and_repeats_nothing() {
    let netem = "netem delay 20ms 5ms loss 2% rate 50mbit";
    let quality = Quality {
        delay: Duration::from_millis(20),
        bytes_per_second: 6_000_000,
        loss_every: 50,
    };
    carries_over_a_bad_link(netem, quality, 50_000);
}

/// Makes the link bad by `tc(8)`, or, where the kernel cannot do that, by a proxy.
fn carries_over_a_bad_link(discipline: &str, quality: Quality, count: u64) {
    let (here, there) = Machine::pair();
    let mut tc = here.command(Path::new("tc"));
    tc.args("qdisc add dev eth10-77-1 root".split(' '));
    tc.args(discipline.split(' '));
    let (_proxy, listen) = if tc.output().unwrap().status.success() {
        (None, THERE)
    } else {
        eprintln!("this kernel has no {discipline}: a proxy does that");
        (Some(bad_link(&there, quality)), BEHIND_PROXY)
    };
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let _theirs = Bridge::start(&there, &format!("--subscribe orders --listen {listen}"));
    let _ours = Bridge::start(&here, &format!("--publish orders --connect {THERE}"));
    thread::scope(|scope| {
        scope.spawn(|| send(&mut sender, 0..count));
        expect(&mut receiver, 0..count);
    });
}

#[test]
fn connections_that_are_cut_again_and_again_lose_nothing_and_repeat_nothing() {
    let (here, there) = Machine::pair();
    let quality = Quality {
        delay: Duration::from_millis(20),
        bytes_per_second: 1_000_000,
        loss_every: 1000,
    };
    let proxy = bad_link(&there, quality);
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let _theirs = Bridge::start(
        &there,
        &format!("--subscribe orders --listen {BEHIND_PROXY}"),
    );
    let ours = format!("--publish orders --connect {THERE} --log debug");
    let ours = Bridge::start(&here, &ours);
    thread::scope(|scope| {
        scope.spawn(|| send(&mut sender, 0..250_000));
        for part in 0..5 {
            // The link is slower than the sender, so that something is under way at each cut.
            expect(&mut receiver, part * 40_000..(part + 1) * 40_000);
            wait_until(|| proxy.cut() > 0, || "a connection".to_owned());
        }
        expect(&mut receiver, 200_000..250_000);
    });
    ours.expect("sending again");
}

/// The bridge on the other machine behind a proxy there, which others connect to.
const BEHIND_PROXY: &str = "tcp/127.0.0.1:7448";

fn bad_link(there: &Machine, quality: Quality) -> Proxy {
    Proxy::start(there, "10.77.1.2:7447", "127.0.0.1:7448", quality)
}

#[test]
fn a_cut_link_never_blocks_the_sender_of_a_lossy_object() {
    let (here, there) = Machine::pair();
    let open = || {
        Ring::options()
            .drop_oldest(true)
            .open("ticks", CAPACITY)
            .unwrap()
    };
    let mut sender = here.run(|| open().sender().unwrap());
    let mut receiver = there.run(|| open().receiver().unwrap());
    let (ours, _theirs) = Bridge::both(&here, &there, "ticks", "");
    ours.expect("carrying to another bridge");
    here.set_link("10.77.1", "down");
    for number in 0..500_000_u64 {
        sender.try_send(&number.to_le_bytes()).unwrap(); // never EAGAIN
    }
    here.set_link("10.77.1", "up");
    let (mut last, mut message) = (None, [0; 8]);
    while last != Some(499_999) {
        receiver.recv_timeout(&mut message, PATIENCE).unwrap();
        let number = Some(u64::from_le_bytes(message));
        assert!(number > last, "{number:?} after {last:?}");
        last = number;
    }
}

#[test]
fn a_lossless_ring_blocks_its_sender_when_nothing_is_carried() {
    let (here, _there) = Machine::pair();
    let mut sender = sender(&here, "orders");
    let ours = Bridge::start(&here, "--publish orders --connect tcp/10.77.1.2:7447");
    ours.expect("publishing");
    let full = (0..).find_map(|_| sender.try_send(&[0; 100]).err());
    assert_eq!(full.unwrap().kind(), ErrorKind::WouldBlock);
    let late = sender.send_timeout(&[0; 100], Duration::from_millis(500));
    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_lossless_ring_sheds_and_counts_when_that_is_asked_for() {
    let (here, _there) = Machine::pair();
    let mut sender = sender(&here, "orders");
    let options = "--publish orders --connect tcp/10.77.1.2:7447 --when-full shed --metrics";
    let _ours = Bridge::start(&here, options);
    (0..10_000).for_each(|_| sender.send_timeout(&[0; 100], PATIENCE).unwrap());
    expect_counter(&here, "shed", |shed| shed > 9000);
}

#[test]
fn a_link_that_is_cut_does_not_block_the_sender_if_messages_are_shed() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (_ours, _theirs) = Bridge::both(&here, &there, "orders", "--when-full shed");
    send(&mut sender, 0..10);
    expect(&mut receiver, 0..10);
    here.set_link("10.77.1", "down");
    // The kernel gives the connection up after four seconds. No send waits for that.
    for _ in 0..100_000 {
        sender
            .send_timeout(&[0; 100], Duration::from_secs(2))
            .unwrap();
    }
    expect_counter(&here, "shed", |shed| shed > 80_000);
}

#[test]
fn a_link_that_is_cut_for_good_does_not_hold_up_other_machines() {
    let (here, there) = Machine::pair();
    let other = Machine::new("other");
    here.connect(&other, "10.77.2");
    let open = || Broadcast::open("news", CAPACITY).unwrap();
    let mut publisher = here.run(|| open().publisher().unwrap());
    let mut subscriber = other.run(|| open().subscribe().unwrap());
    let options = "--peer-timeout 1 --connect tcp/10.77.2.2:7447";
    let (ours, _theirs) = Bridge::both(&here, &there, "news", options);
    let _others = Bridge::start(&other, "--subscribe news --listen tcp/10.77.2.2:7447");
    for machine in ["there", "other"] {
        ours.expect(&format!(
            "carrying to another bridge object=\"news\" peer=\"{machine}\""
        ));
    }
    here.set_link("10.77.1", "down");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut publish = |_| publisher.publish_timeout(&[0; 1000], PATIENCE).unwrap();
            (0..20_000).for_each(&mut publish);
        });
        for _ in 0..20_000 {
            subscriber.recv_timeout(&mut [0; 1000], PATIENCE).unwrap();
        }
    });
}

#[test]
fn a_link_that_is_cut_does_not_keep_the_newest_value_from_other_machines() {
    let (here, there) = Machine::pair();
    let other = Machine::new("other");
    here.connect(&other, "10.77.2");
    let open = || Latest::<u64>::open("position").unwrap();
    let (mut publisher, value) = (here.run(|| open().publisher().unwrap()), other.run(open));
    let options = "--peer-timeout 1000 --connect tcp/10.77.2.2:7447";
    let (ours, _theirs) = Bridge::both(&here, &there, "position", options);
    let _others = Bridge::start(&other, "--subscribe position --listen tcp/10.77.2.2:7447");
    expect_counter(&here, "peers", |peers| peers == 2);
    here.set_link("10.77.1", "down");
    for number in 0..20 {
        publisher.publish(number).unwrap();
        wait_until(|| value.read().unwrap() == Some(number), || ours.log());
    }
    here.set_link("10.77.1", "up");
    let theirs = there.run(open);
    wait_until(|| theirs.read().unwrap() == Some(19), || ours.log());
}

#[test]
fn a_machine_that_returns_after_it_was_dropped_gets_a_broadcast_again() {
    let (here, there) = Machine::pair();
    let open = || Broadcast::open("news", CAPACITY).unwrap();
    let mut publisher = here.run(|| open().publisher().unwrap());
    let mut subscriber = there.run(|| open().subscribe().unwrap());
    let mut publish = |number: usize| {
        let message = [&number.to_ne_bytes()[..], &[0; 992]].concat();
        publisher.publish_timeout(&message, PATIENCE).unwrap();
    };
    let (ours, _theirs) = Bridge::both(&here, &there, "news", "--peer-timeout 1");
    ours.expect("carrying to another bridge");
    here.set_link("10.77.1", "down");
    (0..10_000).for_each(&mut publish);
    ours.expect("dropped a bridge that was silent");
    here.set_link("10.77.1", "up");
    let is_there = || ours.log().matches("carrying to another bridge").count() == 2;
    wait_until(is_there, || "the other machine".to_owned());
    thread::scope(|scope| {
        scope.spawn(|| (10_000..20_000).for_each(&mut publish)); // many windows
        let mut message = [0; 1000];
        while message[..8] != 19_999_usize.to_ne_bytes() {
            subscriber.recv_timeout(&mut message, PATIENCE).unwrap();
        }
    });
}

#[test]
fn a_machine_that_is_away_for_good_does_not_hold_a_broadcast_up() {
    let (here, there) = Machine::pair();
    let mut publisher = here.run(|| Broadcast::open("news", 4096).unwrap().publisher().unwrap());
    let (ours, theirs) = Bridge::both(&here, &there, "news", "--peer-timeout 1");
    ours.expect("carrying to another bridge");
    theirs.kill();
    for _ in 0..10_000 {
        publisher.publish_timeout(&[0; 1000], PATIENCE).unwrap();
    }
    ours.expect("dropped a bridge that was silent");
}

#[test]
fn a_slow_receiver_holds_the_sender_up_and_memory_does_not_grow() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (ours, _theirs) = Bridge::both(&here, &there, "orders", "--window 128K");
    ours.expect("carrying to another bridge");
    let mut sent = 0;
    // Two rings of 64 KiB and a window hold a few thousand messages. Then the sender has to wait.
    while sender
        .send_timeout(&u64::to_le_bytes(sent), Duration::from_secs(1))
        .is_ok()
    {
        sent += 1;
        assert!(sent < 20_000, "nothing holds the sender up");
    }
    expect(&mut receiver, 0..sent);
}

#[test]
fn short_packets_that_wait_take_little_memory_on_both_machines() {
    const PACKETS: usize = 4000;
    let (here, there) = Machine::pair();
    let open = || Ring::open("orders", CAPACITY).unwrap();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (ours, theirs) = Bridge::both(&here, &there, "orders", "");
    let fill = |sender: &mut shmkey::Sender, len| sender.send_timeout(&vec![1; len], PATIENCE);
    (0..3).for_each(|_| fill(&mut sender, 30_000).unwrap()); // two have room in the other ring
    expect_counter(&here, "lag", |lag| lag == 1);
    let before = [&ours, &theirs].map(Bridge::memory);
    let ring = here.run(open);
    for _ in 0..PACKETS {
        fill(&mut sender, 1).unwrap();
        wait_until(|| ring.used() == 0, || "the bridge".to_owned()); // a packet for each message
    }
    expect_counter(&here, "lag", |lag| lag == 1 + PACKETS as u64);
    for (bridge, before) in [&ours, &theirs].into_iter().zip(before) {
        let more = bridge.memory().saturating_sub(before);
        assert!(more < 16 << 20, "{more} bytes for {PACKETS} packets");
    }
    let mut message = Vec::new();
    (0..3 + PACKETS).for_each(|_| _ = receiver.recv_vec_timeout(&mut message, PATIENCE).unwrap());
}
