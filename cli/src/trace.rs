//! `shmkey trace`: runs a program with the drop-in preloaded and tracing on, and tells how it ended
//! and what it left behind, also when it was killed.

mod notes;
mod output;
mod program;
mod report;
mod signals;

use crate::output::complain;
use clap::Args;
use notes::Notes;
use output::Output;
use std::{
    env,
    ffi::OsString,
    io,
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
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

// As in env(1), nohup(1) and timeout(1).
const NOT_POSSIBLE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Why nothing was traced: the exit status, and a sentence.
struct Refusal(u8, String);

/// Runs the program. Returns its exit status, 128 plus the signal that killed it, or 125 to 127 if it did not start.
pub fn run(options: &TraceOptions) -> ExitCode {
    match traced(options) {
        Ok(status) => {
            let code = status
                .code()
                .or(status.signal().map(|signal| 128 + signal))
                .and_then(|code| u8::try_from(code).ok());
            code.map_or(ExitCode::FAILURE, ExitCode::from)
        }
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
        .ok_or(Refusal(NOT_POSSIBLE, "there is no program to trace".into()))?;
    let path = program::find(name)?;
    program::expect_traceable(&path)?;
    let dropin = dropin()?;

    let output = Output::open(options.output.as_deref())?;
    let notes = Notes::new().map_err(|error| {
        Refusal(
            NOT_POSSIBLE,
            format!("cannot open a socket for the reports of traced programs: {error}"),
        )
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
    let mut child = signals::start(&mut command).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_RUNNABLE,
        };
        Refusal(code, format!("{}: {error}", path.display()))
    })?;
    let status = child
        .wait()
        .map_err(|error| Refusal(NOT_POSSIBLE, format!("{}: {error}", path.display())))?;
    signals::ended();

    let report = report::Report::new(child.id() as i32, &before, status, notes.read());
    report.write(options.json, output);
    Ok(status)
}

/// Where the drop-in is: beside this program, or where it is installed in relation to it.
fn dropin() -> Result<PathBuf, Refusal> {
    const NAME: &str = "libshmkey_dropin.so";
    if let Some(path) = env::var_os("SHMKEY_DROPIN") {
        let path = PathBuf::from(path);
        if !path.is_file() {
            let path = path.display();
            let why = format!("SHMKEY_DROPIN is {path}, which is not a file");
            return Err(Refusal(NOT_POSSIBLE, why));
        }
        return Ok(std::path::absolute(&path).unwrap_or(path));
    }
    let this = env::current_exe().map_err(|error| {
        Refusal(
            NOT_POSSIBLE,
            format!("cannot find the path of shmkey itself: {error}"),
        )
    })?;
    let beside = this.parent().unwrap_or(Path::new("/"));
    let multiarch = format!("../lib/{}-linux-gnu", env::consts::ARCH);
    let places = [".", "../lib", &multiarch, "../lib/shmkey"].map(|place| beside.join(place));
    let found = places
        .iter()
        .map(|place| place.join(NAME))
        .find(|path| path.is_file());
    found
        .and_then(|path| path.canonicalize().ok())
        .ok_or_else(|| {
            Refusal(
                NOT_POSSIBLE,
                format!(
                    "{NAME}, which does the tracing, is not beside {} nor in ../lib, {multiarch} \
                     or ../lib/shmkey from there; build it (cargo build --release), or say where \
                     it is in SHMKEY_DROPIN",
                    this.display()
                ),
            )
        })
}

/// The drop-in before whatever else is to be preloaded.
fn preload(dropin: &Path) -> Result<OsString, Refusal> {
    if dropin
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b" :\t\n".contains(byte))
    {
        return Err(Refusal(
            NOT_POSSIBLE,
            format!(
                "{}: the dynamic linker takes no path with a space or a colon in it; link or copy \
                 the file elsewhere, and say where in SHMKEY_DROPIN",
                dropin.display()
            ),
        ));
    }
    let mut list = dropin.as_os_str().to_owned();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        list.push(":");
        list.push(others);
    }
    Ok(list)
}
