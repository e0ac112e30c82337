//! Stores CIEPLO and ZIMNO in turn, one a second, without end: sender [COUNT [INTERVAL]]

#[path = "../support.rs"]
mod support;

use shmkey::{Attachment, Key, Segment};
use std::{
    process::{self, ExitCode},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use support::StopSignals;

fn main() -> ExitCode {
    match support::repeat_arguments(Duration::from_secs(1)) {
        Some((count, interval)) => support::end("sender", run(count, interval)),
        None => support::usage("sender [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let segment = Segment::options()
        .create(true)
        .size(1024)
        .open(Key::from_path(".", i32::from(b'S'))?)?;
    let shared = support::attach(&segment)?;

    let mut stopped = false;
    for message in [*b"CIEPLO\0\0", *b"ZIMNO\0\0\0"]
        .into_iter()
        .cycle()
        .zip(0..count)
        .map(|(m, _)| m)
    {
        // Both messages fit into eight bytes, and those are stored at once: no process sees half
        // of one.
        first_word(&shared).store(u64::from_ne_bytes(message), Ordering::Release);
        stopped = signals.pause(interval);
        if stopped {
            break;
        }
    }

    // The last process removes the segment. But a message that no receiver has read stays.
    let receiver_came = segment.status()?.lpid != process::id() as i32;
    shared.detach()?;
    if stopped || receiver_came {
        support::remove_if_last(&segment);
    }
    Ok(())
}

fn first_word(shared: &Attachment) -> &AtomicU64 {
    // SAFETY: the segment has 1024 bytes, its address is page-aligned, it is attached for writing
    // as long as `shared` is borrowed, and this program touches those eight bytes in no other way.
    unsafe { AtomicU64::from_ptr(shared.as_ptr().cast()) }
}
