//! `shmkey trace`: runs a program with the drop-in preloaded and tracing on, and reports how the program ended and
//! which segments it left behind, even if it was killed.

mod notes;
mod output;
mod program;
mod report;

use crate::{
    child::{self, NOT_POSSIBLE, NOT_RUNNABLE},
    output::{complain, of_file, reason},
};
use clap::Args;
use notes::Notes;
use output::Output;
use std::{
    env,
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

/// The options of `shmkey trace`.
#[derive(Args, Debug)]
pub struct TraceOptions {
    /// Write JSON: one object for each event, described in shmkey-trace(1)
    #[arg(long)]
    json: bool,

    /// Append to FILE instead of standard error; %p in FILE stands for the process id
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_names = ["PROGRAM", "ARGS"],
        add = crate::complete::programs()
    )]
    command: Vec<OsString>,
}

/// Why nothing was traced: the exit status, and a sentence.
struct Refusal(u8, String);

fn not_possible(why: impl Into<String>) -> Refusal {
    Refusal(NOT_POSSIBLE, why.into())
}

/// Runs the program. Returns its exit status, 128 plus the signal that killed it, or 125 to 127 if it did not start.
pub fn run(options: &TraceOptions) -> ExitCode {
    match traced(options) {
        Ok(status) => child::exit_code(status),
        Err(Refusal(code, why)) => {
            complain(why);
            ExitCode::from(code)
        }
    }
}

fn traced(options: &TraceOptions) -> Result<ExitStatus, Refusal> {
    let (name, arguments) = options
        .command
        .split_first()
        .ok_or_else(|| not_possible("there is no program to trace"))?;
    let path = child::find(name).map_err(|(code, why)| Refusal(code, why))?;
    program::expect_traceable(&path)?;
    let dropin = dropin()?;

    let output = Output::open(options.output.as_deref())?;
    let notes = Notes::new().map_err(|error| {
        not_possible(format!(
            "cannot open a socket for the reports of traced programs: {}",
            reason(&error)
        ))
    })?;

    let mut command = Command::new(name);
    command
        .args(arguments)
        .env("LD_PRELOAD", preload(&dropin)?)
        .env("SHMKEY_TRACE", output.variable())
        .env("SHMKEY_TRACE_REPORTER", notes.address())
        .env(
            "SHMKEY_TRACE_FORMAT",
            if options.json { "json" } else { "text" },
        );

    let before = report::Before::look();
    let mut program = child::start(&mut command)
        .map_err(|error| Refusal(child::code_of(&error), of_file(&path, &error)))?;
    let status = program
        .wait()
        .map_err(|error| not_possible(of_file(&path, &error)))?;
    child::ended();

    let report = report::Report::new(program.id() as i32, &before, status, notes.read());
    report.write(options.json, output);
    Ok(status)
}

/// Returns the path of the drop-in: beside this program, or where packages install it.
fn dropin() -> Result<PathBuf, Refusal> {
    const NAME: &str = "libshmkey_dropin.so";
    if let Some(path) = env::var_os("SHMKEY_DROPIN") {
        let path = PathBuf::from(path);
        if !path.is_file() {
            let path = path.display();
            return Err(not_possible(format!(
                "SHMKEY_DROPIN is {path}, which is not a file"
            )));
        }
        return Ok(std::path::absolute(&path).unwrap_or(path));
    }
    let this = env::current_exe();
    let this = this.map_err(|error| {
        let why = reason(&error);
        not_possible(format!("cannot find the path of shmkey itself: {why}"))
    })?;
    let beside = this.parent().unwrap_or(Path::new("/"));
    let multiarch = format!("../lib/{}-linux-gnu", env::consts::ARCH);
    let places = [".", "../lib", &multiarch, "../lib/shmkey"].map(|place| beside.join(place));
    let mut places = places.iter().map(|place| place.join(NAME));
    let found = places.find(|path| path.is_file());
    let found = found.and_then(|path| path.canonicalize().ok());
    found.ok_or_else(|| {
        not_possible(format!(
            "{NAME}, which does the tracing, is neither beside {} nor in ../lib, {multiarch} or \
             ../lib/shmkey from there; build it (cargo build --release), or set SHMKEY_DROPIN to \
             its path",
            this.display()
        ))
    })
}

/// Returns LD_PRELOAD: the drop-in, and then the libraries that the variable names already.
fn preload(dropin: &Path) -> Result<OsString, Refusal> {
    let mut bytes = dropin.as_os_str().as_bytes().iter();
    if bytes.any(|byte| b" :\t\n".contains(byte)) {
        return Err(not_possible(format!(
            "{}: the dynamic linker takes no path with a space or a colon; copy the file to \
             another path, and set SHMKEY_DROPIN to it",
            dropin.display()
        )));
    }
    let mut list = dropin.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        list.push(":");
        list.push(others);
    }
    Ok(list)
}
