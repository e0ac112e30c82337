//! Publishes a whole structure as the newest one: write_struct [ID TEMPERATURE NAME [KEY_FILE]]

mod record;
mod support;

use record::{RECORD_LAYOUT, Record};
use shmkey::{Latest, Place, Pod};
use std::{
    env,
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};
use support::{StopSignals, number};

const USAGE: &str = "write_struct [ID TEMPERATURE NAME [KEY_FILE]]
  ID           a whole number of 32 bits
  TEMPERATURE  a number
  NAME         at most 31 bytes
  KEY_FILE     a file that exists, /tmp/shmfile by default";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match parse(&arguments) {
        Some((record, key_file)) => support::end("write_struct", run(record, key_file)),
        None => support::usage(USAGE),
    }
}

fn parse(arguments: &[OsString]) -> Option<(Record, OsString)> {
    let mut record = Record {
        taken: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() as i64),
        serial: 18_000_000_000_000_000_000,
        temperature: 21.5,
        place: record::Place {
            latitude: 52.520_008,
            longitude: 13.404_954,
        },
        id: 7,
        pressure: 101_325,
        humidity: 0.625,
        altitude: -28,
        wind: 315,
        earlier: [2125, 1990, -40],
        trend: -1,
        battery: 200,
        name: [0; 32],
    };
    let mut name: &[u8] = b"thermometer";
    match arguments {
        [] => {}
        [id, temperature, given, rest @ ..] if rest.len() < 2 => {
            record.id = number(id, "0123456789-")?;
            record.temperature =
                number(temperature, "0123456789.-").filter(|t: &f64| t.is_finite())?;
            name = given.as_bytes();
        }
        _ => return None,
    }
    if name.len() >= record.name.len() {
        return None;
    }
    record.name[..name.len()].copy_from_slice(name);
    let key_file = arguments.get(3).cloned();
    Some((record, key_file.unwrap_or_else(|| "/tmp/shmfile".into())))
}

fn run(record: Record, key_file: OsString) -> support::Outcome {
    let signals = StopSignals::hold();
    let place = Place::path(key_file, i32::from(b'R'))?;
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
