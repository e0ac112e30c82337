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

/// What the manual page says beyond the options.
pub const MORE: &str = "\
A line is one call: its arguments in words, its result, its time; of one that failed the cause, from
facts looked up at that moment, and what to do. At the end come the attachments that were not
detached, and the segments that the program and what it started have created and left, also where
these were killed. What shmkey trace itself adds at the end is given up where it cannot be written
within a second, because a pipe or a terminal is full: the exit status is the program's all the same.

All programs that the program starts are traced, except static ones that are not linked with the
drop-in, those of another kind of processor, and those that run with rights of their own
(set-user-id). If no call was traced at all, the last line says so. Calls that a program makes through
the library shmkey itself (libshmkey.so, libshmkey.a, the Rust crate) are not traced, because it makes
system calls directly; the last line says so, too. The segments of a process that
still runs, such as a daemon, are not counted as left.

Signals are passed on: INT, QUIT, TERM, HUP, USR1, USR2, ALRM, WINCH and CONT. A sandbox has
to allow the program to open files below /proc, and to write.

What a traced program may notice of its trace, with this command or without (SHMKEY_TRACE):

A call takes longer, and about 6 KiB of stack, 9 KiB where the line is very long. A signal stack of
sysconf(_SC_SIGSTKSZ) bytes and a thread of sysconf(_SC_THREAD_STACK_MIN) are large enough; of the old
SIGSTKSZ, 8 KiB, the kernel itself takes more than 3 KiB on some processors. A call returns what it
returns untraced, with the same errno. Where standard error, or a FIFO, terminal or socket that the
trace goes to, is full, the program waits up to a second for a process to read, and then no longer until
one has read. Such lines are lost; the next line that can be written says how many, and the last line
says how many were in all. A program that starts with a FIFO as its trace file waits until
the FIFO is opened to be read.

No descriptor is kept for standard error: lines go to descriptor 2 as long as it leads to what it led
to when the program started. The same holds for descriptors 2 and 1 where -o names the pipe or terminal
that they lead to, such as /dev/stderr. Where another thread replaces descriptor 2 during a traced
call, that call's line can go to the new file. Any other trace file (-o) takes a descriptor, 1000 or
the next one free, or, where the limit on open files is lower, the last; programs that count
/proc/self/fd see it. During a call, files below /proc are open under the lowest free descriptors, and
so is a terminal that is written to; a child that another thread forks then inherits them until exec.

Each program that the program starts (exec) opens the trace file by its name; where it may not, because
the user was changed, or there is no such file below another root directory, it says so in one line on
standard error, and is not traced. The same process goes on to write to the file that it has opened,
and opens it anew only where it has closed the descriptor, or with %p after fork; what it cannot write
then is lost, and counted.

While a line is written, which is not waited for, all signals are blocked in that thread; handlers run
afterwards. A handler that leaves a traced call by longjmp finds the signal mask as it was, and may
leave a file of /proc open. A write to a pipe that is no longer read, or beyond the limit on file
sizes, and a terminal with tostop raise no signal: the line is lost, or appears all the same. (Where
SIGPIPE or SIGXFSZ is blocked and pending for the process, and /proc cannot be read, it becomes pending
for the thread, too.) A pipe that is no longer read ends the trace. On Linux before 6.4, a pipe of
another user that several processes write to can still make the program wait.

The program has LD_PRELOAD, SHMKEY_TRACE, SHMKEY_TRACE_FORMAT and SHMKEY_TRACE_REPORTER in its
environment, libshmkey_dropin.so among its mappings, and shmkey as its parent. What this command
reports beyond the trace is sent to a socket of its own, which takes a descriptor for a moment at the
first call of a process and whenever it creates or leaves a segment: a program with a network namespace
of its own cannot tell, and the last line says that no call was traced. A program that cannot read
/proc, as after chroot, tells itself what it leaves.

Environment: SHMKEY_DROPIN is the file libshmkey_dropin.so, should it be in an unusual place.

Exit status: that of the program; 128 and the signal's number if it was killed; 125 if it cannot be
traced, 126 if it cannot be run, 127 if there is no such program.

Example:

  shmkey trace -o trace.%p ./server --port 80

JSON: an object a line. All have event, time (seconds since 1970) and pid.

call: tid, call, arguments (an object of numbers as C has them; of ftok path, the first 240 bytes and
  \u{2026} if there are more), words (the same for people), result, result_words (null on failure), errno
  and errno_name (null on success), explanation (of a failure), note (about a success; or null),
  duration_ns.

attached: id, address of an attachment that was not detached.

left: id, key, bytes, mode of a segment that was left, attached_by_others (how many times it is
  attached), remedy.

lost: lines, how many lines could not be written: of a process since its last line, and from shmkey
  trace itself of all in all.

exit: attachments (how many were not detached; null from shmkey trace itself, which cannot tell),
  segments (how many were left; null if they cannot be listed), status and signal (how it ended;
  null from the process itself), called (whether any call was traced), library (whether a process has
  the library shmkey in it, whose calls are not traced; null from the process itself).";

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
            complain(why);
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

    let output = Output::open(options.output.as_deref())?;
    let notes = Notes::new().map_err(|error| {
        Refusal(
            NOT_POSSIBLE,
            format!("what is traced cannot be noted: {error}"),
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
