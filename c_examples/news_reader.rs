//! Prints every headline that is published from now on, until the publisher ends: news_reader [COUNT [INTERVAL]]

mod support;

use shmkey::{Broadcast, ErrorKind, Place};
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};
use support::StopSignals;

/// The same as in the publisher; no headline is longer.
const CAPACITY: usize = 1024;

fn main() -> ExitCode {
    // By default there is no interval: it waits only for the publisher.
    match support::repeat_arguments(Duration::ZERO) {
        Some((count, interval)) => support::end("news_reader", run(count, interval)),
        None => support::usage("news_reader [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let news = Broadcast::open(Place::path(".", i32::from(b'N'))?, CAPACITY)?;
    let segment = news.segment();

    let read = read(&news, count, interval, &signals);
    drop(news);
    support::remove_if_last(&segment);
    read
}

fn read(
    news: &Broadcast,
    count: u64,
    interval: Duration,
    signals: &StopSignals,
) -> support::Outcome {
    let mut reader = news.subscribe()?;
    let mut out = io::stdout();
    let mut headline = Vec::new();
    for _ in 0..count {
        match signals.unless(|time| reader.recv_vec_timeout(&mut headline, time)) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => match error.kind() {
                ErrorKind::Closed => break,
                ErrorKind::PeerDied => {
                    return Err(
                        "the publisher was killed; all that it had published was received".into(),
                    );
                }
                _ => return Err(error.into()),
            },
        }
        writeln!(out, "Read: {}", String::from_utf8_lossy(&headline))?;
        if signals.pause(interval) {
            break;
        }
    }
    Ok(())
}
