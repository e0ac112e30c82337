//! Reads the sender's newest message once a second, without end: receiver [COUNT [INTERVAL]]

mod support;

use shmkey::{Latest, Place};
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use support::StopSignals;

/// The same as in the sender.
const SIZE: usize = 32;

fn main() -> ExitCode {
    match support::repeat_arguments(Duration::from_secs(1)) {
        Some((count, interval)) => support::end("receiver", run(count, interval)),
        None => support::usage("receiver [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let place = Place::path(".", i32::from(b'S'))?;
    let latest = Latest::open(place.layout("message"))?;
    let segment = latest.segment();

    let looked = look(&latest, count, interval, &signals);
    drop(latest);
    support::remove_if_last(&segment);
    looked
}

fn look(
    latest: &Latest<[u8; SIZE]>,
    count: u64,
    interval: Duration,
    signals: &StopSignals,
) -> support::Outcome {
    let mut out = io::stdout();
    for _ in 0..count {
        let newest = match latest.read()? {
            Some(newest) => Some(newest),
            // The first time, it may have to wait for a message; from then on there always is one.
            None => signals.unless(|time| latest.wait_newer_timeout(&mut 0, time))?,
        };
        let Some(message) = newest else {
            break;
        };
        match message.split(|&byte| byte == 0).next() {
            Some(b"CIEPLO") => writeln!(out, "Received: CIEPLO")?,
            Some(b"ZIMNO") => writeln!(out, "Received: ZIMNO")?,
            _ => writeln!(out, "Error: Invalid message")?,
        }
        if signals.pause(interval) {
            break;
        }
    }
    Ok(())
}
