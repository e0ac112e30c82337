//! A parent writes for its child.

mod support;

use shmkey::{Key, Segment};
use std::{
    io::{self, Read, Write},
    process::ExitCode,
};
use support::{StopSignals, fork, read_c_string, wait_for};

fn main() -> ExitCode {
    support::end("parent_child", run())
}

fn run() -> support::Outcome {
    // Attached before the fork, nobody needs the key any more: removed, it goes with the last
    // process, however that one ends.
    let signals = StopSignals::hold();
    let segment = Segment::options()
        .create(true)
        .size(1024)
        .open(Key::from_path("shmfile", 65)?)?;
    let shared = support::attach(&segment)?;
    segment.remove()?;
    drop(signals);

    // The child waits until the parent has written, however long that takes.
    let (mut written, mut tell) = io::pipe()?;
    let mut out = io::stdout();
    match fork()? {
        None => {
            drop(tell); // else this process would wait for itself, should the parent die
            written.read_exact(&mut [0])?;
            let text = read_c_string(&shared)?;
            out.write_all(&[b"Child reads: ", &text[..], b"\n"].concat())?;
        }
        Some(child) => {
            writeln!(out, "Parent writes message")?;
            shared.write_at(0, b"Hello from parent via shared memory\0")?;
            tell.write_all(&[1])?;
            wait_for(child)?;
        }
    }
    Ok(shared.detach()?)
}
