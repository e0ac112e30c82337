//! Publishes CIEPLO and ZIMNO in turn, one a second, without end: sender [COUNT [INTERVAL]]

mod support;

use shmkey::{Error, Latest, Place};
use std::{
    process::{self, ExitCode},
    time::Duration,
};
use support::StopSignals;

/// Of a message with its NUL; the same as in the receiver.
const SIZE: usize = 32;

const MESSAGES: [&[u8]; 2] = [b"CIEPLO", b"ZIMNO"];

fn main() -> ExitCode {
    match support::repeat_arguments(Duration::from_secs(1)) {
        Some((count, interval)) => support::end("sender", run(count, interval)),
        None => support::usage("sender [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let place = Place::path(".", i32::from(b'S'))?;
    let latest = Latest::open(place.layout("message"))?;
    let segment = latest.segment();

    let published = publish(&latest, count, interval, &signals);

    // The last process removes the segment. But a message that no receiver has read stays.
    let receiver_came = segment.status()?.lpid != process::id() as i32;
    drop(latest);
    match published {
        Ok(stopped) if stopped || receiver_came => support::remove_if_last(&segment),
        Ok(_) => {}
        Err(_) => support::remove_if_mine(&segment),
    }
    Ok(published.map(drop)?)
}

/// Whether it was asked to stop.
fn publish(
    latest: &Latest<[u8; SIZE]>,
    count: u64,
    interval: Duration,
    signals: &StopSignals,
) -> Result<bool, Error> {
    let mut publisher = latest.publisher()?;
    for (_, text) in (0..count).zip(MESSAGES.iter().cycle()) {
        let mut message = [0; SIZE];
        message[..text.len()].copy_from_slice(text);
        publisher.publish(message)?;
        if signals.pause(interval) {
            return Ok(true);
        }
    }
    Ok(false)
}
