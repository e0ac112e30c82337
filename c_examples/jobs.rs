//! Adds a job for the workers every second, without end; after COUNT jobs, waits until the last one is taken:
//! jobs [COUNT [INTERVAL]]

mod queue;
mod support;

use queue::Queue;
use std::{process::ExitCode, time::Duration};
use support::StopSignals;

fn main() -> ExitCode {
    match support::repeat_arguments(Duration::from_secs(1)) {
        Some((count, interval)) => support::end("jobs", run(count, interval)),
        None => support::usage("jobs [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let queue = Queue::open()?;
    let given = give(&queue, count, interval, &signals);
    queue.close();
    given
}

fn give(queue: &Queue, count: u64, interval: Duration, signals: &StopSignals) -> support::Outcome {
    for _ in 0..count {
        let Some(mut guard) = queue.lock_when(queue::has_room, signals)? else {
            return Ok(());
        };
        guard.update(|[added, _, _]| *added += 1);
        drop(guard);
        queue.changed.notify_all();
        if signals.pause(interval) {
            return Ok(());
        }
    }
    if let Some(mut guard) = queue.lock_when(queue::all_are_taken, signals)? {
        guard.update(|[_, _, end]| *end = 1);
        drop(guard);
        queue.changed.notify_all();
    }
    Ok(())
}
