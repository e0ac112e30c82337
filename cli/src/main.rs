//! `shmkey`: the System V shared memory segments of this machine, listed and removed.

mod trace;

use clap::Parser;
use shmkey::{Error, Segment, Status};
use std::{env, fmt::Write as _, io, io::Write as _, process::ExitCode};

const USAGE: &str = "\
usage: shmkey [list]
       shmkey remove ID...
       shmkey trace [--json] [--output FILE] PROGRAM [ARGUMENTS...]

  list        show all segments: what ipcs -m shows, and who created them
  remove ID   remove segments by id; their memory goes when the last process detaches it
  trace       run a program, and tell each shared memory call it makes, why those that fail do so,
              and what it leaves behind
";

#[derive(Parser)]
#[command(name = "shmkey trace")]
struct Trace {
    #[command(flatten)]
    options: trace::TraceOptions,
}

fn main() -> ExitCode {
    if env::args_os().nth(1).is_some_and(|word| word == "trace") {
        return trace::run(&Trace::parse_from(env::args_os().skip(1)).options);
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["list"] => list(),
        ["remove", ref ids @ ..] if !ids.is_empty() => remove(ids),
        ["--help" | "-h" | "help"] => {
            print(USAGE);
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Writes to stdout. A reader that has gone away is no reason to complain.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn fail(error: &Error) -> ExitCode {
    eprintln!("shmkey: {error}");
    ExitCode::FAILURE
}

fn list() -> ExitCode {
    let segments = match Segment::list() {
        Ok(segments) => segments,
        Err(error) => return fail(&error),
    };
    let mut table = format!(
        "{:<10}  {:>10}  {:>8}  {:>5}  {:>14}  {:>6}  {:>8}  {}\n",
        "key", "id", "owner", "mode", "bytes", "nattch", "creator", "state"
    );
    for Status {
        key,
        id,
        uid,
        mode,
        size,
        nattch,
        cpid,
        removed,
        locked,
        ..
    } in segments
    {
        let state = match (removed, locked) {
            (true, true) => "removed locked",
            (true, false) => "removed",
            (false, true) => "locked",
            (false, false) => "",
        };
        let key = key.to_string();
        let line = format!(
            "{key:<10}  {id:>10}  {uid:>8}  {mode:>5o}  {size:>14}  {nattch:>6}  {cpid:>8}  {state}"
        );
        // Writing into a string does not fail.
        let _ = writeln!(table, "{}", line.trim_end());
    }
    print(&table);
    ExitCode::SUCCESS
}

/// Removes all that can be removed, and says what could not.
fn remove(ids: &[&str]) -> ExitCode {
    let mut outcome = ExitCode::SUCCESS;
    for id in ids {
        match id.parse() {
            Ok(id) => {
                if let Err(error) = Segment::from_id(id).remove() {
                    outcome = fail(&error);
                }
            }
            Err(_) => {
                eprintln!("shmkey: \"{id}\" is no id; an id is a number, as shmkey list shows it");
                outcome = ExitCode::FAILURE;
            }
        }
    }
    outcome
}
