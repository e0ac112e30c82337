//! Prints what other programs send to the ring NAME, until Ctrl-C or SIGTERM: collector NAME. The signal handler
//! cancels the wait, so a signal that arrives just before a wait is not lost.

mod support;

use shmkey::{Canceller, ErrorKind, Receiver, Ring};
use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    sync::OnceLock,
};

const CAPACITY: usize = 4096;

static STOP: OnceLock<Canceller> = OnceLock::new();

extern "C" fn on_stop(_: i32) {
    if let Some(stop) = STOP.get() {
        stop.cancel();
    }
}

fn main() -> ExitCode {
    support::end("collector", run())
}

fn run() -> support::Outcome {
    let name = env::args().nth(1).ok_or("usage: collector NAME")?;
    let ring = Ring::options().many_senders(true).open(&*name, CAPACITY)?;
    let mut receiver = ring.receiver()?;
    // Senders may come and go.
    receiver.set_keep_waiting(true);
    STOP.get_or_init(|| receiver.canceller());
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler calls only `cancel`, which is safe in a signal handler.
        unsafe { libc::signal(signal, on_stop as *const () as usize) };
    }
    let ended = print_lines(&mut receiver);
    ring.remove()?;
    ended?;
    writeln!(io::stdout(), "The collector has ended.")?;
    Ok(())
}

/// Prints lines until the wait is cancelled.
fn print_lines(receiver: &mut Receiver) -> support::Outcome {
    let mut line = Vec::new();
    loop {
        match receiver.recv_vec(&mut line) {
            Ok(_) => writeln!(io::stdout(), "{}", String::from_utf8_lossy(&line))?,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
