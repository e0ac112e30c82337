//! Takes jobs and prints them, until no more will come. Several workers share the jobs:
//! worker [COUNT [INTERVAL]]

mod queue;
mod support;

use queue::Queue;
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use support::StopSignals;

fn main() -> ExitCode {
    // By default there is no interval: it waits only for jobs.
    match support::repeat_arguments(Duration::ZERO) {
        Some((count, interval)) => support::end("worker", run(count, interval)),
        None => support::usage("worker [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let queue = Queue::open()?;
    let worked = work(&queue, count, interval, &signals);
    queue.close();
    worked
}

fn work(queue: &Queue, count: u64, interval: Duration, signals: &StopSignals) -> support::Outcome {
    for _ in 0..count {
        let Some(mut guard) = queue.lock_when(queue::has_job_or_end, signals)? else {
            break;
        };
        if queue::all_are_taken(&guard.get()) {
            break;
        }
        let job = guard.update(|[_, taken, _]| {
            *taken += 1;
            *taken
        });
        drop(guard);
        queue.changed.notify_all();
        writeln!(io::stdout(), "Job {job}")?;
        if signals.pause(interval) {
            break;
        }
    }
    Ok(())
}
