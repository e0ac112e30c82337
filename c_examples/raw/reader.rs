//! Prints the line that the writer left, and removes the segment.

#[path = "../support.rs"]
mod support;

use shmkey::{Key, Segment};
use std::{
    io::{self, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    support::end("reader", run())
}

fn run() -> support::Outcome {
    let segment = Segment::open(Key::from_path("shmfile", 115)?)?;
    let shared = segment.attach()?;
    let text = support::read_c_string(&shared)?;
    io::stdout().write_all(&[b"Data read from memory: ", &text[..], b"\n"].concat())?;
    shared.detach()?;
    Ok(segment.remove()?)
}
