//! Reads a line and sends it to the reader, which waits for it or comes later.

mod support;

use shmkey::{Place, Ring};
use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
};
use support::StopSignals;

/// For the lines that were not read yet; the reader says the same.
const CAPACITY: usize = 8192;

fn main() -> ExitCode {
    support::end("writer", run())
}

fn run() -> support::Outcome {
    let mut out = io::stdout();
    write!(out, "Write Data: ")?;
    out.flush()?;

    let mut line = Vec::new();
    if io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
        return Err("there is no line to read".into());
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }

    // Only now: a program that is ended at the prompt leaves nothing behind, and one that is ended
    // later no half of a text.
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
            return Err("told to stop before there was room for the line; start a reader".into());
        }
        Err(error) => {
            support::remove_if_mine(&segment);
            return Err(error.into());
        }
    }
    drop(signals);
    Ok(out.write_all(&[b"Data written in memory: ", &line[..], b"\n"].concat())?)
}
