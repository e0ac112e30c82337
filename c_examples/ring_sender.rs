//! Sends CIEPLO and ZIMNO in turn, one a second, for ever, none of them in vain:
//! ring_sender [COUNT [INTERVAL]]

mod support;

use shmkey::{Error, Place, Ring};
use std::{process::ExitCode, time::Duration};
use support::StopSignals;

/// For some 60 messages that are not received yet; the receiver says the same.
const CAPACITY: usize = 4096;

const MESSAGES: [&[u8]; 2] = [b"CIEPLO", b"ZIMNO"];

fn main() -> ExitCode {
    match support::repeat_arguments(Duration::from_secs(1)) {
        Some((count, interval)) => support::end("ring_sender", run(count, interval)),
        None => support::usage("ring_sender [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let ring = Ring::open(Place::path(".", i32::from(b'Q'))?, CAPACITY)?;
    let segment = ring.segment();

    let sent = send(&ring, count, interval, &signals);

    // The last one out removes the segment; but what was not received stays.
    let all_received = ring.used() == 0;
    drop(ring);
    if !matches!(sent, Ok(false)) || all_received {
        support::remove_if_last(&segment);
    }
    Ok(sent.map(drop)?)
}

/// Whether it was asked to stop.
fn send(ring: &Ring, count: u64, interval: Duration, signals: &StopSignals) -> Result<bool, Error> {
    let mut sender = ring.sender()?;
    for (_, message) in (0..count).zip(MESSAGES.iter().cycle()) {
        // When there is no room, it waits for the receiver.
        let sent = signals.unless(|time| sender.send_timeout(message, time))?;
        if sent.is_none() || signals.pause(interval) {
            return Ok(true);
        }
    }
    Ok(false)
}
