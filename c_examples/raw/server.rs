//! Leaves a message, waits until a client has read it, and removes the segment.

#[path = "../support.rs"]
mod support;

use shmkey::{Attachment, Key, Segment};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{Ordering, fence},
    time::Duration,
};
use support::StopSignals;

const MESSAGE: &str = "Hello from the other side!";

fn main() -> ExitCode {
    support::end("server", run())
}

fn run() -> support::Outcome {
    let signals = StopSignals::hold();
    let segment = Segment::options()
        .create(true)
        .size(1024)
        .open(Key::from_path(".", i32::from(b'C'))?)?;
    let shared = support::attach(&segment)?;

    // The first byte is stored last, so a client that reads it can read the others, too.
    shared.write_at(1, &[&MESSAGE.as_bytes()[1..], b"\0"].concat())?;
    fence(Ordering::Release);
    shared.write_at(0, &MESSAGE.as_bytes()[..1])?;
    let read_by_client = wait_for_client(&shared, &signals);
    shared.detach()?;
    segment.remove()?;
    if read_by_client? {
        Ok(())
    } else {
        Err("stopped by a signal before a client came".into())
    }
}

/// Waits until a client has read the message. Returns false if the program is asked to stop.
fn wait_for_client(
    shared: &Attachment,
    signals: &StopSignals,
) -> Result<bool, Box<dyn std::error::Error>> {
    let mut out = io::stdout();
    write!(
        out,
        "Data written in memory: {MESSAGE}\nWaiting for client...\n"
    )?;
    out.flush()?;
    // The client answers by a star in the first byte. A plain segment gives no way to wait for that but to poll.
    loop {
        let mut first = [0];
        shared.read_at(0, &mut first)?;
        if first == *b"*" {
            return Ok(true);
        }
        if signals.pause(Duration::from_millis(1)) {
            return Ok(false);
        }
    }
}
