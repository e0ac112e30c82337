//! Sends CIEPLO and ZIMNO in turn, one a second, without end; none of them is lost:
//! ring_sender [COUNT [INTERVAL]]

mod support;

use shmkey::{Error, Place, Ring, Segment};
use std::{process::ExitCode, time::Duration};
use support::StopSignals;

/// For about 60 messages that are not received yet; the same as in the receiver.
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

    // The last process removes the segment. But messages that were not received stay.
    drop(ring);
    if !matches!(sent, Ok(false)) || is_left_empty(&segment) {
        support::remove_if_last(&segment);
    }
    Ok(sent.map(drop)?)
}

/// Returns whether no process has the ring open, and all messages are received.
fn is_left_empty(segment: &Segment) -> bool {
    // Another process still has it open, and will be the last one.
    let is_left = segment.status().is_ok_and(|status| status.nattch == 0);
    let ring = || Ring::open(Place::within(segment.attach()?.into(), 0), 0);
    is_left && ring().is_ok_and(|ring| ring.used() == 0)
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
