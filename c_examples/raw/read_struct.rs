//! Prints the structure that write_struct left, and removes the segment: read_struct [KEY_FILE]

mod record;
#[path = "../support.rs"]
mod support;

use record::Record;
use shmkey::{Key, Segment};
use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let key_file = arguments.next().unwrap_or_else(|| "/tmp/shmfile".into());
    match arguments.next() {
        Some(_) => support::usage("read_struct [KEY_FILE]"),
        None => support::end("read_struct", run(key_file)),
    }
}

fn run(key_file: OsString) -> support::Outcome {
    // With this size, a segment that is too small for the structure is an error before anything is
    // read.
    let segment = Segment::options()
        .size(Record::SIZE)
        .open(Key::from_path(key_file, i32::from(b'R'))?)?;
    let shared = segment.attach()?;
    let mut bytes = [0; Record::SIZE];
    shared.read_at(0, &mut bytes)?;
    let record = Record::from_bytes(&bytes);

    let name = record
        .name
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default();
    let mut text = format!(
        "id: {}\ntemperature: {}\nname: ",
        record.id,
        as_c_prints(record.temperature)
    )
    .into_bytes();
    text.extend_from_slice(name);
    text.push(b'\n');
    io::stdout().write_all(&text)?;
    shared.detach()?;
    Ok(segment.remove()?)
}

/// A number with six decimals, as C's `%.6f` writes it, which distinguishes `nan` and `-nan`.
fn as_c_prints(number: f64) -> String {
    match (number.is_nan(), number.is_sign_negative()) {
        (true, true) => "-nan".into(),
        (true, false) => "nan".into(),
        _ => format!("{number:.6}"),
    }
}
