//! Prints the newest structure of write_struct, or COUNT of them as they come, and removes the
//! segment: read_struct [KEY_FILE [COUNT]]

mod record;
mod support;

use record::{RECORD_LAYOUT, Record};
use shmkey::{Latest, Place, Pod};
use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};
use support::StopSignals;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let count = match arguments.get(1) {
        Some(count) => support::number(count, "0123456789"),
        None => Some(1),
    };
    match count {
        Some(count) if arguments.len() < 3 => {
            let key_file = arguments.into_iter().next();
            let key_file = key_file.unwrap_or_else(|| "/tmp/shmfile".into());
            support::end("read_struct", run(key_file, count))
        }
        _ => support::usage("read_struct [KEY_FILE [COUNT]]"),
    }
}

fn run(key_file: OsString, count: u64) -> support::Outcome {
    let signals = StopSignals::hold();
    let place = Place::path(key_file, i32::from(b'R'))?;
    // An object of another size or layout is an error before any of it is read.
    let latest = Latest::<Pod<Record>>::open(place.create(false).layout(RECORD_LAYOUT))?;

    let mut seen = 0;
    for _ in 0..count {
        let Some(Pod(record)) =
            signals.unless(|time| latest.wait_newer_timeout(&mut seen, time))?
        else {
            latest.remove()?;
            return Err(
                "stopped by a signal before there were as many structures as asked for".into(),
            );
        };
        io::stdout().write_all(&record.lines())?;
    }
    Ok(latest.remove()?)
}
