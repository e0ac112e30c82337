//! Reads once a second what the sender stored, without end: receiver [COUNT [INTERVAL]]

#[path = "../support.rs"]
mod support;

use shmkey::{Attachment, Key, Segment};
use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use support::StopSignals;

fn main() -> ExitCode {
    match support::repeat_arguments(Duration::from_secs(1)) {
        Some((count, interval)) => support::end("receiver", run(count, interval)),
        None => support::usage("receiver [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let segment = Segment::options()
        .create(true)
        .size(1024)
        .open(Key::from_path(".", i32::from(b'S'))?)?;
    let shared = support::attach(&segment)?;

    let looked = look(&shared, count, interval, &signals);
    shared.detach()?;
    support::remove_if_last(&segment);
    Ok(looked?)
}

fn look(
    shared: &Attachment,
    count: u64,
    interval: Duration,
    signals: &StopSignals,
) -> io::Result<()> {
    let mut out = io::stdout();
    for _ in 0..count {
        // Eight bytes are loaded at once, as the sender stores them.
        let message = first_word(shared).load(Ordering::Acquire).to_ne_bytes();
        match message.split(|&byte| byte == 0).next() {
            Some(b"CIEPLO") => writeln!(out, "Received: CIEPLO")?,
            Some(b"ZIMNO") => writeln!(out, "Received: ZIMNO")?,
            _ => writeln!(out, "Error: Invalid message")?,
        }
        if signals.pause(interval) {
            break;
        }
    }
    Ok(())
}

fn first_word(shared: &Attachment) -> &AtomicU64 {
    // SAFETY: the segment has at least 1024 bytes, its address is page-aligned, it is attached for
    // writing as long as `shared` is borrowed, and this program touches those eight bytes in no
    // other way.
    unsafe { AtomicU64::from_ptr(shared.as_ptr().cast()) }
}
