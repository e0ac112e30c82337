//! Reads a line and leaves it in a segment for the reader.

#[path = "../support.rs"]
mod support;

use shmkey::{Key, Segment};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use support::StopSignals;

const SIZE: usize = 1024;

fn main() -> ExitCode {
    support::end("writer", run())
}

fn run() -> support::Outcome {
    let line = support::ask_for_line()?;
    if line.contains(&0) {
        return Err("the line has a NUL byte in it, which would end it for the reader".into());
    }
    if line.len() > SIZE {
        let reason = format!(
            "the line has {} bytes, and the segment holds {SIZE}",
            line.len()
        );
        return Err(reason.into());
    }

    // Created only now, with the stop signals blocked: a program that is stopped at the prompt leaves no segment, and
    // one that is stopped later leaves no partial text.
    let signals = StopSignals::hold();
    let segment = Segment::options()
        .create(true)
        .size(SIZE)
        .open(Key::from_path("shmfile", 115)?)?;
    let shared = support::attach(&segment)?;
    shared.write_at(0, &line)?;
    if line.len() < SIZE {
        shared.write_at(line.len(), b"\0")?;
    }
    drop(signals);
    io::stdout().write_all(&[b"Data written in memory: ", &line[..], b"\n"].concat())?;
    Ok(shared.detach()?)
}
