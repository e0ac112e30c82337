//! A hostile program for the tests, which puts packets under keys: `packets ADDRESS [offer|answers]`. Each line of its
//! input is a key and a packet in hexadecimal digits. With the argument `offer`, it first waits for an offer of the
//! object "orders", and prints the instance of the bridge that offers it. With `answers`, it prints what bridges answer.
//!
//! `packets ADDRESS relay ADDRESS` carries the packets of "orders" from the bridge at the first address to that at the
//! second one, and the answers back. It changes the byte order in each offer.

use shmkey_bridge::wire::{HEADER, What};
use std::{env, io, thread, time::Duration};
use zenoh::{Config, Session, Wait, sample::Sample};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let session = session(&arguments[1]);
    match arguments.get(2).map(String::as_str) {
        Some("relay") => relay(&session, &self::session(&arguments[3])),
        how => put(&session, how),
    }
}

fn session(address: &str) -> Session {
    let mut config = Config::default();
    let endpoint = format!("[{address:?}]");
    for (key, value) in [
        ("scouting/multicast/enabled", "false"),
        ("listen/endpoints", "[]"),
        ("connect/endpoints", &endpoint),
    ] {
        config.insert_json5(key, value).unwrap();
    }
    zenoh::open(config).wait().unwrap()
}

/// Carries packets, until the end of the input.
fn relay(one: &Session, other: &Session) {
    let carry = |from: &Session, to: &Session, keys: &str| {
        let to = to.clone();
        let subscriber = from.declare_subscriber(keys.to_owned());
        let subscriber = subscriber.callback(move |sample| {
            let mut packet = sample.payload().to_bytes().into_owned();
            if packet.get(5) == Some(&(What::Offer as u8)) {
                packet[HEADER + 1] ^= 3; // little-endian is 1, and big-endian is 2
            }
            to.put(sample.key_expr(), packet).wait().unwrap();
        });
        subscriber.wait().unwrap()
    };
    let _offers = carry(one, other, "shmkey/1/orders/from/*");
    let _answers = carry(other, one, "shmkey/1/orders/to/*");
    io::stdin().lines().for_each(drop);
}

/// Puts the packets of the input.
fn put(session: &Session, how: Option<&str>) {
    if how == Some("offer") {
        let offers = session
            .declare_subscriber("shmkey/1/orders/from/*")
            .wait()
            .unwrap();
        let offer = offers.recv().unwrap();
        println!("{}", offer.key_expr().as_str().rsplit('/').next().unwrap());
    }
    let print = |sample: Sample| {
        let packet = sample.payload().to_bytes();
        let body = packet.get(HEADER..).unwrap_or_default();
        println!("{}", String::from_utf8_lossy(body));
    };
    let _answers = (how == Some("answers")).then(|| {
        let answers = session.declare_subscriber("shmkey/1/orders/to/*");
        answers.callback(print).wait().unwrap()
    });
    for line in io::stdin().lines().map_while(Result::ok) {
        let (key, digits) = line.split_once(' ').unwrap();
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let packet: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        let publisher = session.declare_publisher(key.to_owned()).wait().unwrap();
        // Waits until Zenoh knows that the bridge subscribes.
        while !publisher.matching_status().wait().unwrap().matching() {
            thread::sleep(Duration::from_millis(10));
        }
        publisher.put(packet).wait().unwrap();
    }
}
