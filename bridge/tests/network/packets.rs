//! A hostile program for the tests, which puts packets under keys: `packets ADDRESS [offer|answers]`. Each line of its
//! input is a key and a packet in hexadecimal digits. With the argument `offer`, it first waits for an offer of the
//! object "orders", and prints the instance of the bridge that offers it. With `answers`, it prints what bridges answer.

use shmkey_bridge::wire::HEADER;
use std::{env, io, thread, time::Duration};
use zenoh::{Config, Wait, sample::Sample};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let mut config = Config::default();
    let endpoint = format!("[{:?}]", arguments[1]);
    for (key, value) in [
        ("scouting/multicast/enabled", "false"),
        ("listen/endpoints", "[]"),
        ("connect/endpoints", &endpoint),
    ] {
        config.insert_json5(key, value).unwrap();
    }
    let session = zenoh::open(config).wait().unwrap();
    if arguments.get(2).is_some_and(|argument| argument == "offer") {
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
    let is_printed = arguments
        .get(2)
        .is_some_and(|argument| argument == "answers");
    let _answers = is_printed.then(|| {
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
