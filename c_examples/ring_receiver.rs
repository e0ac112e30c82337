//! Prints every message of the sender when it comes, until the sender ends:
//! ring_receiver [COUNT [INTERVAL]]

mod support;

use shmkey::{ErrorKind, Place, Ring};
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use support::StopSignals;

/// The same as in the sender; no message is longer.
const CAPACITY: usize = 4096;

fn main() -> ExitCode {
    // By default there is no interval: it waits only for the sender.
    match support::repeat_arguments(Duration::ZERO) {
        Some((count, interval)) => support::end("ring_receiver", run(count, interval)),
        None => support::usage("ring_receiver [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let ring = Ring::open(Place::path(".", i32::from(b'Q'))?, CAPACITY)?;
    let segment = ring.segment();

    let received = receive(&ring, count, interval, &signals);
    drop(ring);
    support::remove_if_last(&segment);
    received
}

fn receive(ring: &Ring, count: u64, interval: Duration, signals: &StopSignals) -> support::Outcome {
    let mut receiver = ring.receiver()?;
    let mut out = io::stdout();
    let mut message = [0; CAPACITY];
    for _ in 0..count {
        let len = match signals.unless(|time| receiver.recv_timeout(&mut message, time)) {
            Ok(Some(len)) => len,
            Ok(None) => break,
            Err(error) => match error.kind() {
                ErrorKind::Closed => break,
                ErrorKind::PeerDied => {
                    return Err("the sender was killed; all that it had sent was received".into());
                }
                _ => return Err(error.into()),
            },
        };
        match &message[..len] {
            b"CIEPLO" => writeln!(out, "Received: CIEPLO")?,
            b"ZIMNO" => writeln!(out, "Received: ZIMNO")?,
            _ => writeln!(out, "Error: Invalid message")?,
        }
        if signals.pause(interval) {
            break;
        }
    }
    Ok(())
}
