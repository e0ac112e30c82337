//! `shmkey trace`: runs a program with the drop-in preloaded and tracing on, and tells how it ended
//! and what it left behind, also when it was killed.

mod program;
mod report;

use clap::Args;
use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::unix::{ffi::OsStrExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
    sync::atomic::{
        AtomicI32,
        Ordering::{Acquire, Release},
    },
    time::SystemTime,
};

/// What `shmkey trace` is told.
#[derive(Args, Debug)]
pub struct TraceOptions {
    /// Write JSON, one object a line
    #[arg(long)]
    json: bool,

    /// Append to FILE, and not to standard error; %p in it becomes each process' id
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_names = ["PROGRAM", "ARGS"],
        value_hint = clap::ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

// As env(1), nohup(1) and timeout(1) say it.
const NOT_POSSIBLE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Why nothing was traced: the exit status, and words.
struct Refusal(u8, String);

/// Runs the program. The answer is its exit status, 128 and the signal that has killed it, or, if it
/// did not even start, 125 to 127.
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
            eprintln!("shmkey: {why}");
            ExitCode::from(code)
        }
    }
}

fn traced(options: &TraceOptions) -> Result<ExitStatus, Refusal> {
    let (name, arguments) = options.command.split_first().ok_or(Refusal(
        NOT_POSSIBLE,
        "there is no program to be traced".into(),
    ))?;
    let path = program::find(name)?;
    program::expect_traceable(&path)?;
    let dropin = dropin()?;

    let mut command = Command::new(name);
    command
        .args(arguments)
        .env("LD_PRELOAD", preload(&dropin)?)
        .env("SHMKEY_TRACE_REPORTER", std::process::id().to_string())
        .env(
            "SHMKEY_TRACE_FORMAT",
            if options.json { "json" } else { "text" },
        );
    let output = match &options.output {
        // Absolute, so that no name is mistaken for one of the words that the drop-in knows.
        Some(file) => Some(
            std::path::absolute(file)
                .map_err(|error| Refusal(NOT_POSSIBLE, format!("{}: {error}", file.display())))?,
        ),
        None => None,
    };
    command.env(
        "SHMKEY_TRACE",
        output
            .as_ref()
            .map_or(OsStr::new("stderr"), |file| file.as_os_str()),
    );

    let before = SystemTime::now();
    pass_signals_on();
    let mut child = command.spawn().map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            _ => NOT_RUNNABLE,
        };
        Refusal(code, format!("{}: {error}", path.display()))
    })?;
    // Release: nothing is handed over but the number itself; as `pass_on` acquires it.
    CHILD.store(child.id() as i32, Release);
    let status = child
        .wait()
        .map_err(|error| Refusal(NOT_POSSIBLE, format!("{}: {error}", path.display())))?;
    CHILD.store(0, Release);

    let report = report::Report::new(child.id() as i32, before, status);
    report.write(options.json, output.as_deref());
    Ok(status)
}

/// Where the drop-in is: beside this program, or where it is installed in relation to it.
fn dropin() -> Result<PathBuf, Refusal> {
    const NAME: &str = "libshmkey_dropin.so";
    if let Some(path) = env::var_os("SHMKEY_DROPIN") {
        let path = PathBuf::from(path);
        return match path.is_file() {
            true => Ok(std::path::absolute(&path).unwrap_or(path)),
            false => Err(Refusal(
                NOT_POSSIBLE,
                format!(
                    "SHMKEY_DROPIN is {}, and there is no such file",
                    path.display()
                ),
            )),
        };
    }
    let this = env::current_exe()
        .map_err(|error| Refusal(NOT_POSSIBLE, format!("where am I? {error}")))?;
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
                    "{NAME}, which does the tracing, is not beside {} nor in ../lib, {multiarch} or ../lib/shmkey from there; \
                     build it (cargo build --release), or say where it is in SHMKEY_DROPIN",
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
                "{}: the dynamic linker takes no path with a space or a colon in it; link or copy the file elsewhere, and say \
                 where in SHMKEY_DROPIN",
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

/// The program that runs; 0 if none does.
static CHILD: AtomicI32 = AtomicI32::new(0);

/// Lets the program decide what becomes of signals that are to end us: those of the keyboard reach
/// it by themselves, the others are passed on. Handlers, unlike ignored signals, are not inherited
/// by the program.
fn pass_signals_on() {
    extern "C" fn wait(_: libc::c_int) {}
    extern "C" fn pass_on(signal: libc::c_int) {
        // Acquire: as where it is stored.
        let child = CHILD.load(Acquire);
        if child > 0 {
            // SAFETY: kill takes two numbers, and may be called in a signal handler.
            unsafe { libc::kill(child, signal) };
        }
    }
    for (signal, handler) in [
        (libc::SIGINT, wait as extern "C" fn(libc::c_int)),
        (libc::SIGQUIT, wait),
        (libc::SIGTERM, pass_on),
        (libc::SIGHUP, pass_on),
    ] {
        // SAFETY: both handlers do nothing that a signal handler may not do; one that was ignored
        // stays so, as nohup(1) wants it.
        unsafe {
            if libc::signal(signal, handler as libc::sighandler_t) == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_IGN);
            }
        }
    }
}
