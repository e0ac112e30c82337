//! Reads the server's message, and notifies the server that it has.

#[path = "../support.rs"]
mod support;

use shmkey::{Key, Segment};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{Ordering, fence},
    time::Duration,
};
use support::StopSignals;

fn main() -> ExitCode {
    support::end("client", run())
}

fn run() -> support::Outcome {
    let segment = Segment::open(Key::from_path(".", i32::from(b'C'))?)?;
    let shared = segment.attach()?;
    let signals = StopSignals::hold();

    // A server that has just created the segment writes at once; its first byte comes last.
    let mut first = [0];
    let mut rounds = 0;
    loop {
        shared.read_at(0, &mut first)?;
        fence(Ordering::Acquire);
        if first != [0] {
            break;
        }
        rounds += 1;
        if rounds > 5000 || signals.pause(Duration::from_millis(1)) {
            return Err("there is a segment, but no server has written into it".into());
        }
    }
    if first == *b"*" {
        return Err("another client has read the message already".into());
    }

    let text = support::read_c_string(&shared)?;
    io::stdout().write_all(&[b"Data read from memory: ", &text[..], b"\n"].concat())?;
    shared.write_at(0, b"*")?;
    Ok(shared.detach()?)
}
