//! A child waits until its parent has written a text, and prints it.

mod support;

use shmkey::{ErrorKind, Key, Place, Segment, Semaphore};
use std::{
    io::{self, Write},
    os::unix::process::parent_id,
    process::{self, ExitCode},
    sync::Arc,
};
use support::{SLICE, StopSignals, fork, read_c_string, wait_for};

/// The text, and behind it a semaphore.
const WRITTEN: usize = 1024;
const SIZE: usize = 2048;

fn main() -> ExitCode {
    support::end("parent_child", run())
}

fn run() -> support::Outcome {
    // A child inherits what its parent has attached and opened, so no key is needed. The segment is removed at once, so
    // the kernel destroys it when the last process ends, even if that is killed.
    let signals = StopSignals::hold();
    let segment = Segment::options().size(SIZE).open(Key::PRIVATE)?;
    let shared = Arc::new(support::attach(&segment)?);
    let written = Semaphore::open(Place::within(Arc::clone(&shared), WRITTEN), 0);
    segment.remove()?;
    let written = written?;
    drop(signals);

    let parent = process::id();
    let mut out = io::stdout();
    match fork()? {
        None => {
            // Waits without limit, as long as the parent is live.
            while let Err(error) = written.wait_timeout(SLICE) {
                if error.kind() != ErrorKind::TimedOut {
                    return Err(error.into());
                }
                if parent_id() != parent {
                    return Err("the parent died before it had written".into());
                }
            }
            let text = read_c_string(&shared)?;
            out.write_all(&[b"Child reads: ", &text[..], b"\n"].concat())?;
        }
        Some(child) => {
            writeln!(out, "Parent writes message")?;
            shared.write_at(0, b"Hello from parent via shared memory\0")?;
            written.post()?;
            wait_for(child)?;
        }
    }
    Ok(())
}
