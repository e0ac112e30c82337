//! Publishes a whole structure as the newest one: write_struct [ID TEMPERATURE NAME [KEY_FILE]]

mod record;
mod support;

use record::{RECORD_LAYOUT, Record};
use shmkey::{Latest, Place, Pod};
use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};
use support::{RECORD_USAGE, RecordArguments, StopSignals};

fn main() -> ExitCode {
    match support::record_arguments() {
        Some(arguments) => support::end("write_struct", run(arguments)),
        None => support::usage(RECORD_USAGE),
    }
}

fn run(arguments: RecordArguments) -> support::Outcome {
    let record = Record {
        taken: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as i64),
        serial: 18_000_000_000_000_000_000,
        temperature: arguments.temperature,
        place: record::Place {
            latitude: 52.520_008,
            longitude: 13.404_954,
        },
        id: arguments.id,
        pressure: 101_325,
        humidity: 0.625,
        altitude: -28,
        wind: 315,
        earlier: [2125, 1990, -40],
        trend: -1,
        battery: 200,
        name: arguments.name,
    };
    let signals = StopSignals::hold();
    let place = Place::path(arguments.key_file, i32::from(b'R'))?;
    let latest = Latest::open(place.layout(RECORD_LAYOUT))?;
    let segment = latest.segment();
    let published = latest
        .publisher()
        .and_then(|mut publisher| publisher.publish(Pod(record)));
    drop(latest);
    if published.is_err() {
        support::remove_if_mine(&segment);
    }
    drop(signals);
    Ok(published?)
}
