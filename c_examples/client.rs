//! Reads the server's message, and notifies the server that it has.

mod support;

use shmkey::{ErrorKind, Key, Place, Ring, Segment};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};
use support::StopSignals;

/// The same as in the server.
const CAPACITY: usize = 1024;
const ANSWERS: usize = 4096;
const SIZE: usize = 8192;

fn main() -> ExitCode {
    support::end("client", run())
}

fn run() -> support::Outcome {
    let signals = StopSignals::hold();
    // The segment is the server's. The first process that opens a ring in it creates the ring, so no
    // process finds half of one.
    let segment = Segment::options()
        .size(SIZE)
        .open(Key::from_path(".", i32::from(b'C'))?)?;
    let memory = Arc::new(segment.attach()?);
    let messages = Ring::open(Place::within(Arc::clone(&memory), 0), CAPACITY)?;
    let answers = Ring::open(Place::within(memory, ANSWERS), CAPACITY)?;
    // Either call fails while another client is live. From now on the server is notified if this process dies.
    let mut messages = messages.receiver()?;
    let mut answers = answers.sender()?;

    let message =
        match signals.unless(|time| messages.peek_timeout(time).map(|found| found.to_vec())) {
            Ok(Some(message)) => message,
            Ok(None) => return Err("stopped by a signal before there was a message".into()),
            Err(error) => {
                return Err(match error.kind() {
                    ErrorKind::Closed => "another client has read the message already".into(),
                    ErrorKind::PeerDied => {
                        segment.remove()?; // no other process will
                        "the server was killed before it sent its message; start it again".into()
                    }
                    _ => error.into(),
                });
            }
        };
    io::stdout().write_all(&[b"Data read from memory: ", &message[..], b"\n"].concat())?;
    messages.try_peek()?.release()?;
    answers.try_send(b"*")?;

    // The server ends when it has the answer, and removes the segment. If the server is dead, this program removes it.
    match signals.unless(|time| messages.peek_timeout(time).map(drop)) {
        Err(error) if error.kind() == ErrorKind::PeerDied => {
            segment.remove()?;
            Err("the server was killed before it saw the answer".into())
        }
        _ => Ok(()),
    }
}
