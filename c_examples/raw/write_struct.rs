//! Leaves a whole structure in a segment: write_struct [ID TEMPERATURE NAME [KEY_FILE]]

mod record;
#[path = "../support.rs"]
mod support;

use record::Record;
use shmkey::{Key, Segment};
use std::process::ExitCode;
use support::{RECORD_USAGE, RecordArguments, StopSignals};

fn main() -> ExitCode {
    match support::record_arguments() {
        Some(arguments) => support::end("write_struct", run(arguments)),
        None => support::usage(RECORD_USAGE),
    }
}

fn run(arguments: RecordArguments) -> support::Outcome {
    let record = Record {
        id: arguments.id,
        temperature: arguments.temperature,
        name: arguments.name,
    };
    let signals = StopSignals::hold();
    let segment = Segment::options()
        .create(true)
        .size(Record::SIZE)
        .open(Key::from_path(arguments.key_file, i32::from(b'R'))?)?;
    let shared = support::attach(&segment)?;
    shared.write_at(0, &record.to_bytes())?;
    drop(signals);
    Ok(shared.detach()?)
}
