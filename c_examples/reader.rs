//! Prints the lines that writers have sent, waiting for the first, and removes the segment.

mod support;

use shmkey::{ErrorKind, Place, Ring};
use std::{
    io::{self, Write},
    process::ExitCode,
};
use support::StopSignals;

/// The same as in the writer.
const CAPACITY: usize = 8192;

fn main() -> ExitCode {
    support::end("reader", run())
}

fn run() -> support::Outcome {
    let signals = StopSignals::hold();
    let ring = Ring::open(Place::path("shmfile", 115)?, CAPACITY)?;
    let segment = ring.segment();
    let mut receiver = ring.receiver()?;

    let ended = loop {
        match signals.unless(|time| receiver.peek_timeout(time).map(|line| line.to_vec())) {
            Ok(Some(line)) => {
                let text = [b"Data read from memory: ", &line[..], b"\n"].concat();
                io::stdout().write_all(&text)?;
                // Released only now, after it was printed: if this process is killed before, the next reader gets the
                // line.
                receiver.try_peek()?.release()?;
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };

    drop((receiver, ring));
    let Some(error) = ended else {
        support::remove_if_last(&segment);
        return Err("stopped by a signal before a line came".into());
    };
    match error.kind() {
        // The writer has ended, and all was read.
        ErrorKind::Closed => Ok(segment.remove()?),
        ErrorKind::PeerDied => {
            segment.remove()?;
            Err("the writer was killed; all that it had sent was read".into())
        }
        _ => Err(error.into()),
    }
}
