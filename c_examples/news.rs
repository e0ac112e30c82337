//! Publishes a headline every second, without end. It begins when there are three readers; each of them receives every
//! headline: news [COUNT [INTERVAL]]

mod support;

use shmkey::{Broadcast, Error, Place};
use std::{process::ExitCode, time::Duration};
use support::StopSignals;

/// The same as in the readers.
const CAPACITY: usize = 1024;

const READERS: usize = 3;

fn main() -> ExitCode {
    match support::repeat_arguments(Duration::from_secs(1)) {
        Some((count, interval)) => support::end("news", run(count, interval)),
        None => support::usage("news [COUNT [INTERVAL_IN_SECONDS]]"),
    }
}

fn run(count: u64, interval: Duration) -> support::Outcome {
    let signals = StopSignals::hold();
    let news = Broadcast::open(Place::path(".", i32::from(b'N'))?, CAPACITY)?;
    let segment = news.segment();

    let published = publish(&news, count, interval, &signals);
    drop(news);
    support::remove_if_last(&segment);
    Ok(published?)
}

fn publish(
    news: &Broadcast,
    count: u64,
    interval: Duration,
    signals: &StopSignals,
) -> Result<(), Error> {
    let mut publisher = news.publisher()?;
    // A reader receives what is published after it has subscribed.
    while news.subscribers() < READERS {
        if signals.pause(Duration::from_millis(10)) {
            return Ok(());
        }
    }
    for number in 1..=count {
        let headline = format!("Headline {number}");
        // When there is no room, this waits for the slowest reader, and drops it if it has died.
        let publish = |time| publisher.publish_timeout(headline.as_bytes(), time);
        if signals.unless(publish)?.is_none() || signals.pause(interval) {
            break;
        }
    }
    Ok(())
}
