//! Reads a line and sends it to the reader, which waits for it or comes later.

mod support;

use shmkey::{Place, Ring};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use support::StopSignals;

/// For the lines that were not read yet; the same as in the reader.
const CAPACITY: usize = 8192;

fn main() -> ExitCode {
    support::end("writer", run())
}

fn run() -> support::Outcome {
    let line = support::ask_for_line()?;

    // Created only now, with the stop signals blocked: a program that is stopped at the prompt leaves no segment, and
    // one that is stopped later leaves no partial text.
    let signals = StopSignals::hold();
    let ring = Ring::open(Place::path("shmfile", 115)?, CAPACITY)?;
    let segment = ring.segment();
    let sent = ring
        .sender()
        .and_then(|mut sender| signals.unless(|time| sender.send_timeout(&line, time)));
    drop(ring);
    match sent {
        Ok(Some(())) => {}
        Ok(None) => {
            return Err(
                "stopped by a signal before there was room for the line; start a reader".into(),
            );
        }
        Err(error) => {
            support::remove_if_mine(&segment);
            return Err(error.into());
        }
    }
    drop(signals);
    Ok(io::stdout().write_all(&[b"Data written in memory: ", &line[..], b"\n"].concat())?)
}
