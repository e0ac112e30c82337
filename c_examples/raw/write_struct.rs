//! Leaves a whole structure in a segment: write_struct [ID TEMPERATURE NAME [KEY_FILE]]

mod record;
#[path = "../support.rs"]
mod support;

use record::Record;
use shmkey::{Key, Segment};
use std::{env, ffi::OsString, os::unix::ffi::OsStrExt, process::ExitCode};
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
        id: 7,
        temperature: 21.5,
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
    let segment = Segment::options()
        .create(true)
        .size(Record::SIZE)
        .open(Key::from_path(key_file, i32::from(b'R'))?)?;
    let shared = support::attach(&segment)?;
    shared.write_at(0, &record.to_bytes())?;
    drop(signals);
    Ok(shared.detach()?)
}
