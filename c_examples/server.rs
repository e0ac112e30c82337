//! Leaves a message, waits until a client has read it, and removes the segment.

mod support;

use shmkey::{Error, ErrorKind, Key, Place, Receiver, Ring, Segment, Sender};
use std::{
    io::{self, Write},
    process::{self, ExitCode},
    sync::Arc,
};
use support::StopSignals;

/// Two rings in one segment: one for the message at its start, and one for the client's answer. The client uses the
/// same numbers.
const CAPACITY: usize = 1024;
const ANSWERS: usize = 4096;
const SIZE: usize = 8192;

const MESSAGE: &str = "Hello from the other side!";

fn main() -> ExitCode {
    support::end("server", run())
}

fn run() -> support::Outcome {
    let signals = StopSignals::hold();
    let (segment, mut messages, mut answers) = loop {
        let (segment, messages, answers) = open()?;
        if segment.status()?.cpid == process::id() as i32 {
            break (segment, messages, answers);
        }
        // A killed server has left this segment, with its messages and those of its client.
        segment.remove()?;
    };
    // There is room, so sending does not wait.
    messages.try_send(MESSAGE.as_bytes())?;

    let answered = say_so().map(|()| {
        let mut answer = [0; CAPACITY];
        signals.unless(|time| answers.recv_timeout(&mut answer, time))
    });
    drop((messages, answers));
    segment.remove()?;
    match answered? {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("stopped by a signal before a client came".into()),
        Err(error) => Err(match error.kind() {
            ErrorKind::PeerDied => {
                "the client was killed before it answered; start server and client again".into()
            }
            ErrorKind::Closed => {
                "the client ended without an answer; start server and client again".into()
            }
            _ => error.into(),
        }),
    }
}

/// Opens both rings as the server, which fails while another server is live.
fn open() -> Result<(Segment, Sender, Receiver), Error> {
    let segment = Segment::options()
        .create(true)
        .size(SIZE)
        .open(Key::from_path(".", i32::from(b'C'))?)?;
    let memory = Arc::new(support::attach(&segment)?);
    let messages = Ring::open(Place::within(Arc::clone(&memory), 0), CAPACITY)?;
    let answers = Ring::open(Place::within(memory, ANSWERS), CAPACITY)?;
    Ok((segment, messages.sender()?, answers.receiver()?))
}

fn say_so() -> io::Result<()> {
    let mut out = io::stdout();
    write!(
        out,
        "Data written in memory: {MESSAGE}\nWaiting for client...\n"
    )?;
    out.flush()
}
