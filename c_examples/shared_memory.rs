//! A parent and its child share a private segment.

mod support;

use shmkey::{Key, Segment};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use support::{StopSignals, fork, read_c_string, wait_for};

fn main() -> ExitCode {
    support::end("shared_memory", run())
}

fn run() -> support::Outcome {
    // The segment is removed as soon as it is attached, so the kernel destroys it when the last process ends, even if
    // that is killed.
    let signals = StopSignals::hold();
    let segment = Segment::options().size(4096).open(Key::PRIVATE)?;
    let shared = support::attach(&segment)?;
    segment.remove()?;
    drop(signals);

    match fork()? {
        None => {
            shared.write_at(0, b"Hello from child!\0")?;
            say(b"Child wrote: ", &read_c_string(&shared)?)?;
        }
        Some(child) => {
            wait_for(child)?;
            say(b"Parent read: ", &read_c_string(&shared)?)?;
        }
    }
    Ok(shared.detach()?)
}

fn say(what: &[u8], text: &[u8]) -> io::Result<()> {
    io::stdout().write_all(&[what, text, b"\n"].concat())
}
