//! What bridges refuse, and the messages that report it.

use super::{
    bridge::{
        Bridge, CAPACITY, PATIENCE, THERE, collect, expect, expect_counter, receiver, send, sender,
        wait_until,
    },
    machines::Machine,
};
use shmkey::{Broadcast, Condvar, Key, Latest, Mutex, Place, Ring, RwLock, Segment};
use shmkey_bridge::{
    description::Description,
    offer::Offer,
    wire::{HEADER, Header, What},
};
use std::{
    env,
    io::Write,
    process::{Child, Stdio},
    sync::Arc,
};

/// A hostile program on a machine, which is connected to a bridge.
struct Hostile {
    child: Child,
    output: Arc<std::sync::Mutex<String>>,
}

impl Hostile {
    fn start(machine: &Machine, arguments: &[&str]) -> Hostile {
        let tests = env::current_exe().unwrap();
        let program = tests
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("examples/packets");
        let mut command = machine.command(&program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = collect(child.stdout.take().unwrap());
        Hostile { child, output }
    }

    /// Waits until it prints a line with this text. Returns its output.
    fn expect(&self, text: &str) -> String {
        let output = || self.output.lock().unwrap().clone();
        let has_text = || output().lines().any(|line| line.contains(text));
        wait_until(has_text, || format!("{text:?} in:\n{}", output()));
        output()
    }

    fn put(&self, key: &str, packet: &[u8]) {
        let digits: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.child.stdin.as_ref().unwrap(), "{key} {digits}").unwrap();
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn hostile_packets_are_refused_by_name_and_change_nothing() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (_ours, theirs) = Bridge::both(&here, &there, "orders", "");
    theirs.expect("delivering what another bridge publishes");
    send(&mut sender, 0..10);
    let hostile = Hostile::start(&here, &[THERE]);
    for (sent, (packet, why)) in (1..).zip(hostile_packets(&here)) {
        hostile.put("shmkey/1/orders/from/0000000000000007", &packet);
        theirs.expect(why);
        expect_counter(&there, "refused", |count| count == sent);
    }
    expect(&mut receiver, 0..10);
    send(&mut sender, 10..20);
    expect(&mut receiver, 10..20);
}

/// Returns packets under the key of the instance 7, and why each is refused.
fn hostile_packets(machine: &Machine) -> [(Vec<u8>, &'static str); 8] {
    let with_body = |what, body: &[u8]| {
        let mut header = Header::new(what, 7);
        header.other = 1;
        header.with_body(body)
    };
    // A payload of this size has no room for such a message.
    let too_long = offer(7, machine, |what| what.capacity = 1 << 40);
    let foreign = Header::new(What::Messages, 8).with_body(b"");
    [
        (vec![], "it is not a packet of a bridge"),
        (b"shmBxyz".to_vec(), "its header is cut off"),
        (
            with_body(What::Offer, b"short"),
            "its description is malformed",
        ),
        (too_long, "its description is malformed"),
        (with_body(What::Messages, b"x"), "its lengths are cut off"),
        (
            with_body(What::Messages, &[1; 9]),
            "do not match the length of the packet",
        ),
        (with_body(What::Want, b""), "does not come from a publisher"),
        (foreign, "under the key of another bridge"),
    ]
}

/// Returns the packet of an offer of the object "orders" of a machine, with a change.
fn offer(instance: u64, machine: &Machine, change: impl Fn(&mut Description)) -> Vec<u8> {
    let what = machine.run(|| Description::of("orders"));
    let mut what = what.unwrap().unwrap();
    change(&mut what);
    let header = Header::new(What::Offer, instance);
    let (to, name) = (0, "evil".to_owned());
    let offer = Offer {
        header,
        what,
        to,
        name,
    };
    offer.packet()
}

#[test]
fn a_part_of_a_value_of_another_length_is_refused_and_changes_nothing() {
    let (here, there) = Machine::pair();
    let open = || Latest::<u64>::open("orders").unwrap();
    let (mut publisher, value) = (here.run(|| open().publisher().unwrap()), there.run(open));
    let (_ours, theirs) = Bridge::both(&here, &there, "orders", "");
    let delivering = "delivering what another bridge publishes";
    theirs.expect(delivering);
    let hostile = Hostile::start(&here, &[THERE]);
    let key = "shmkey/1/orders/from/0000000000000007";
    hostile.put(key, &offer(7, &here, |_| ()));
    theirs.expect(&format!("{delivering} object=\"orders\" peer=\"evil\""));
    let mut part = Header::new(What::Part, 7);
    part.third = 1;
    hostile.put(key, &part.with_body(b"x"));
    theirs.expect("it has a message of a length that this latest value does not allow");
    publisher.publish(9).unwrap();
    let mut seen = 0;
    assert_eq!(value.wait_newer_timeout(&mut seen, PATIENCE).unwrap(), 9);
    assert_eq!(
        theirs.log().matches(delivering).count(),
        2,
        "{}",
        theirs.log()
    );
}

#[test]
fn hostile_wants_are_refused_by_name_and_free_nothing() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (ours, _theirs) = Bridge::both(&here, &there, "orders", "--listen tcp/0.0.0.0:7448");
    ours.expect("carrying to another bridge");
    let hostile = Hostile::start(&there, &["tcp/10.77.1.1:7448", "offer"]);
    let mut want = Header::new(What::Want, 7);
    (want.number, want.other) = (1000, 1000);
    let key = format!("shmkey/1/orders/to/{}", hostile.expect("").trim());
    for (packet, why) in [
        (
            want.with_body(b"evil"),
            "it expects message 1000 and has delivered those before 1000, but 0 is the next",
        ),
        (
            Header::new(What::Want, 7).with_body(b"evil"),
            "only one bridge at a time may subscribe, and there does",
        ),
        (
            Header::new(What::Offer, 7).with_body(b""),
            "does not come from a subscriber",
        ),
        (vec![0xff; HEADER], "it is not a packet of a bridge"),
    ] {
        hostile.put(&key, &packet);
        ours.expect(why);
    }
    send(&mut sender, 0..20);
    expect(&mut receiver, 0..20);
}

#[test]
fn a_packet_that_comes_again_and_again_is_logged_once_and_then_counted() {
    let (here, there) = Machine::pair();
    let (_sender, _receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (_ours, theirs) = Bridge::both(&here, &there, "orders", "");
    theirs.expect("delivering what another bridge publishes");
    let hostile = Hostile::start(&here, &[THERE]);
    let key = "shmkey/1/orders/from/0000000000000007";
    (0..50).for_each(|_| hostile.put(key, b"shmBxyz"));
    hostile.put(key, b"the last one");
    theirs.expect("it is not a packet of a bridge");
    let lines = |text: &str| theirs.log().matches(text).count();
    assert_eq!(lines("its header is cut off"), 1);
    theirs.expect("repeated=49");
    assert_eq!(lines("its header is cut off"), 2);
}

#[test]
fn a_difference_of_the_objects_is_an_error_on_both_sides_and_named() {
    let ring = |options: shmkey::RingOptions, layout: &str, capacity| {
        let place = Place::named("orders").layout(layout);
        drop(options.open(place, capacity).unwrap());
    };
    let broadcast = || drop(Broadcast::open("orders", CAPACITY).unwrap());
    let layout = || ring(Ring::options(), "trade", CAPACITY);
    let capacity = || ring(Ring::options(), "order", 1000);
    let many = || ring(Ring::options().many_senders(true), "order", CAPACITY);
    let fingerprint = || {
        ring(Ring::options(), "order", CAPACITY);
        let segment = Segment::open(Key::from_name("orders").unwrap()).unwrap();
        segment.attach().unwrap().write_at(72, &[0x11; 8]).unwrap();
    };
    let ones = "\"1111111111111111\"";
    let cases: [(&str, [&str; 2], Create); 5] = [
        ("the kind of object", ["\"ring", "\"broad"], &broadcast),
        ("the layout name", ["\"order\"", "\"trade\""], &layout),
        ("the capacity", ["65536", "1000"], &capacity),
        ("the set of options", ["\"none", "\"many"], &many),
        ("the fingerprint of the layout", ["\"", ones], &fingerprint),
    ];
    for (what, [one, other], create) in cases {
        let (here, there) = Machine::pair();
        here.run(|| ring(Ring::options(), "order", CAPACITY));
        there.run(create);
        let (ours, theirs) = Bridge::both(&here, &there, "orders", "");
        expect_mismatch([(&here, &ours), (&there, &theirs)], what, [one, other]);
    }
}

/// Waits until both bridges have named and counted a difference. Each value begins with the text here.
fn expect_mismatch(sides: [(&Machine, &Bridge); 2], what: &str, [one, other]: [&str; 2]) {
    let reports = [
        "the other bridge refuses the object: there refuses it",
        "refused the object of another bridge",
    ];
    for (((machine, bridge), report), here) in sides.into_iter().zip(reports).zip([one, other]) {
        bridge.expect_error(&format!("{report}: {what} differs: {here}"));
        expect_counter(machine, "mismatches", |count| count == 1);
        expect_counter(machine, "messages", |count| count == 0);
    }
}

#[test]
fn another_byte_order_is_an_error_of_both_bridges_and_named() {
    let (here, there) = Machine::pair();
    let mut sender = sender(&here, "orders");
    send(&mut sender, 0..10);
    let bridge = |machine, option, address| {
        Bridge::start(
            machine,
            &format!("--{option} orders --listen {address} --metrics"),
        )
    };
    let ours = bridge(&here, "publish", "tcp/10.77.1.1:7447");
    let theirs = bridge(&there, "subscribe", THERE);
    let _relay = Hostile::start(&here, &["tcp/10.77.1.1:7447", "relay", THERE]);
    let orders = [
        "\"big-endian\" here, \"little-endian\" there",
        "\"little-endian\" here, \"big-endian\" there",
    ];
    expect_mismatch(
        [(&here, &ours), (&there, &theirs)],
        "the byte order",
        orders,
    );
    assert_eq!(there.run(|| Description::of("orders")), Ok(None)); // no object was created
}

#[test]
fn another_byte_order_or_fingerprint_is_an_error_on_both_sides_and_named() {
    let (here, there) = Machine::pair();
    let theirs = Bridge::start(&there, &format!("--subscribe orders --listen {THERE}"));
    here.run(|| drop(Ring::open("orders", CAPACITY).unwrap()));
    let hostile = Hostile::start(&here, &[THERE, "answers"]);
    for (at, (refused, answer, change)) in CHANGES.into_iter().enumerate() {
        let instance = at as u64 + 7;
        let offer = offer(instance, &here, change);
        hostile.put(&format!("shmkey/1/orders/from/{instance:016x}"), &offer);
        theirs.expect_error(&format!("refused the object of another bridge: {refused}"));
        hostile.expect(&format!("there refuses it: {answer}"));
    }
    assert_eq!(there.run(|| Description::of("orders")), Ok(None)); // no object was created
}

#[test]
fn locks_are_refused_with_the_reason() {
    let (here, _there) = Machine::pair();
    here.run(|| {
        Mutex::open("a", 0_u64).map(drop).unwrap();
        RwLock::open("b", 0_u64).map(drop).unwrap();
        Condvar::open("c").map(drop).unwrap();
    });
    for (name, kind) in [
        ("a", "mutex"),
        ("b", "reader-writer lock"),
        ("c", "condition variable"),
    ] {
        let bridge = Bridge::start(&here, &format!("--publish {name} --listen tcp/127.0.0.1:0"));
        bridge.expect(&format!(
            "\"{name}\" is a {kind}, and locks are not carried: while the link is cut"
        ));
        assert_eq!(bridge.ended().code(), Some(2));
    }
}

#[test]
fn a_second_machine_that_wants_a_ring_is_refused_by_name() {
    let (here, there) = Machine::pair();
    let (mut sender, mut receiver) = (sender(&here, "orders"), receiver(&there, "orders"));
    let (ours, theirs) = Bridge::both(&here, &there, "orders", "--listen tcp/0.0.0.0:7448");
    ours.expect("carrying to another bridge");
    let second = Machine::new("second");
    second.connect(&here, "10.77.2");
    let late = Bridge::start(&second, "--subscribe orders --connect tcp/10.77.2.2:7448");
    let why = "only one bridge at a time may subscribe, and there does";
    late.expect(&format!("the other bridge refuses this one: {why}"));
    ours.expect(&format!("a request of second: {why}"));
    send(&mut sender, 0..1000);
    expect(&mut receiver, 0..1000);
    // The second machine has none of these, and gets the others as soon as the first one has ended.
    assert_eq!(
        second.run(|| Ring::open("orders", CAPACITY).unwrap().used()),
        0
    );
    assert!(theirs.terminate().success());
    send(&mut sender, 1000..2000);
    expect(&mut self::receiver(&second, "orders"), 1000..2000);
}

#[test]
fn a_role_that_a_process_has_already_is_named() {
    let (here, there) = Machine::pair();
    let _receiver = receiver(&here, "orders");
    let _publisher = there.run(|| Latest::<u64>::open("value").unwrap().publisher().unwrap());
    let ours = Bridge::start(&here, &format!("--publish orders --connect {THERE}"));
    ours.expect("EBUSY");
}

/// Creates the object of the other machine.
type Create<'a> = &'a (dyn Fn() + Sync);

/// A change of the description that a hostile program offers.
type Change = fn(&mut Description);

/// How the bridge that subscribes says it, and what it answers.
const CHANGES: [(&str, &str, Change); 4] = [
    (
        "the byte order differs: \"little-endian\" here, \"big-endian\" there",
        "the byte order differs: \"big-endian\" here, \"little-endian\" there",
        |what| what.order = 2,
    ),
    (
        "the width of a pointer differs: 64 here, 32 there",
        "the width of a pointer differs: 32 here, 64 there",
        |what| what.width = 32,
    ),
    (
        "the fingerprint of the layout differs",
        "the fingerprint of the layout differs",
        |what| what.fingerprint ^= 1,
    ),
    (
        "it takes 1099511627776 bytes, and --max-size allows 67108864",
        "it takes 1099511627776 bytes, and --max-size allows 67108864",
        |what| what.size = 1 << 40,
    ),
];
