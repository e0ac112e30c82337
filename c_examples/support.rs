//! What several of these programs share: explaining a failure, reading arguments and a line, and stopping at a signal.

#![allow(dead_code)] // each program uses a part

use shmkey::{Attachment, Error, ErrorKind, Segment, Status};
use std::{
    env, error,
    ffi::{OsStr, OsString},
    io::{self, BufRead, Write},
    mem,
    os::unix::ffi::OsStrExt,
    process::{self, ExitCode},
    ptr,
    str::FromStr,
    time::Duration,
};

/// Why a program failed, as one sentence.
pub type Outcome = Result<(), Box<dyn error::Error>>;

/// Ends a program, with the reason on stderr if it has failed.
pub fn end(program: &str, outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the bytes of a C string at the start of a segment, which need not end with a NUL.
pub fn read_c_string(memory: &Attachment) -> Result<Vec<u8>, Error> {
    let mut text = vec![0; memory.size()?];
    memory.read_at(0, &mut text)?;
    let end = text.iter().position(|&byte| byte == 0);
    text.truncate(end.unwrap_or(text.len()));
    Ok(text)
}

/// Removes the segment if no process has it attached any more. If two processes detach it at once, both try, and one
/// succeeds.
pub fn remove_if_last(segment: &Segment) {
    if segment.status().is_ok_and(|status| status.nattch == 0) {
        let _ = segment.remove();
    }
}

/// Removes the segment, after a failure, if this process has created it and no process has it attached.
pub fn remove_if_mine(segment: &Segment) {
    let mine = |status: &Status| status.cpid == process::id() as i32 && status.nattch == 0;
    if segment.status().as_ref().is_ok_and(mine) {
        let _ = segment.remove();
    }
}

/// Attaches a segment. If that fails and this process has created the segment, removes it.
pub fn attach(segment: &Segment) -> Result<Attachment, Error> {
    let attached = segment.attach();
    if attached.is_err() {
        remove_if_mine(segment);
    }
    attached
}

/// How long a program waits before it checks whether a stop signal has come.
pub const SLICE: Duration = Duration::from_millis(200);

/// SIGINT, SIGTERM and SIGHUP, which are blocked until [`StopSignals::pause`] takes them or this is
/// dropped, so that they interrupt no operation.
pub struct StopSignals(libc::sigset_t);

impl StopSignals {
    /// Blocks the signals. A child inherits this.
    pub fn hold() -> StopSignals {
        // SAFETY: a set of zeroes is made empty before it is used, and these functions only write
        // that set.
        unsafe {
            let mut signals = mem::zeroed();
            libc::sigemptyset(&mut signals);
            libc::sigaddset(&mut signals, libc::SIGINT);
            libc::sigaddset(&mut signals, libc::SIGTERM);
            libc::sigaddset(&mut signals, libc::SIGHUP);
            libc::pthread_sigmask(libc::SIG_BLOCK, &signals, ptr::null_mut());
            StopSignals(signals)
        }
    }

    /// Calls `wait` until it does not time out. Signals do not end a wait, unless its handle allows that. So
    /// this waits for a `SLICE` at a time, and checks in between whether a signal has come; then returns `None`.
    pub fn unless<T>(
        &self,
        mut wait: impl FnMut(Duration) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        loop {
            match wait(SLICE) {
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    if self.pause(Duration::ZERO) {
                        return Ok(None);
                    }
                }
                ended => return ended.map(Some),
            }
        }
    }

    /// Sleeps. Returns true as soon as one of the signals has come, false when the time is over.
    pub fn pause(&self, time: Duration) -> bool {
        let time = libc::timespec {
            tv_sec: time.as_secs() as libc::time_t,
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: both pointers point to initialised values, and NULL asks for no details of the signal.
        unsafe { libc::sigtimedwait(&self.0, ptr::null_mut(), &time) > 0 }
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        // SAFETY: the set was made by `hold`.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &self.0, ptr::null_mut()) };
    }
}

/// Reads the arguments `[COUNT [INTERVAL]]` of the programs that repeat something: by default without end, at
/// this interval.
pub fn repeat_arguments(interval: Duration) -> Option<(u64, Duration)> {
    let mut arguments = env::args_os().skip(1);
    let count = match arguments.next() {
        Some(count) => number(&count, "0123456789")?,
        None => u64::MAX,
    };
    let interval = match arguments.next() {
        Some(interval) => number(&interval, "0123456789.")
            .filter(|&seconds| seconds <= 1e6)
            .map(Duration::from_secs_f64)?,
        None => interval,
    };
    match arguments.next() {
        Some(_) => None,
        None => Some((count, interval)),
    }
}

/// The arguments of the programs that write a record.
pub struct RecordArguments {
    pub id: i32,
    pub temperature: f64,
    /// Ends with a NUL.
    pub name: [u8; 32],
    pub key_file: OsString,
}

pub const RECORD_USAGE: &str = "write_struct [ID TEMPERATURE NAME [KEY_FILE]]
  ID           a whole number of 32 bits
  TEMPERATURE  a number
  NAME         at most 31 bytes
  KEY_FILE     a file that exists, /tmp/shmfile by default";

pub fn record_arguments() -> Option<RecordArguments> {
    let given: Vec<OsString> = env::args_os().skip(1).collect();
    let (id, temperature, name) = match &given[..] {
        [] => (7, 21.5, &b"thermometer"[..]),
        [id, temperature, name, rest @ ..] if rest.len() < 2 => (
            number(id, "0123456789-")?,
            number(temperature, "0123456789.-").filter(|t: &f64| t.is_finite())?,
            name.as_bytes(),
        ),
        _ => return None,
    };
    let mut arguments = RecordArguments {
        id,
        temperature,
        name: [0; 32],
        key_file: given
            .get(3)
            .cloned()
            .unwrap_or_else(|| "/tmp/shmfile".into()),
    };
    arguments.name[..31]
        .get_mut(..name.len())?
        .copy_from_slice(name);
    Some(arguments)
}

/// Asks for a line, and reads it.
pub fn ask_for_line() -> Result<Vec<u8>, Box<dyn error::Error>> {
    let mut out = io::stdout();
    write!(out, "Write Data: ")?;
    out.flush()?;
    let mut line = Vec::new();
    if io::stdin().lock().read_until(b'\n', &mut line)? == 0 {
        return Err("there is no line to read".into());
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(line)
}

/// Reads a number that consists of these digits, and may begin with a minus sign if that is one of them.
pub fn number<T: FromStr>(text: &OsStr, digits: &str) -> Option<T> {
    let text = text.to_str()?;
    let unsigned = match digits.strip_suffix('-') {
        Some(_) => text.strip_prefix('-').unwrap_or(text),
        None => text,
    };
    let plain = unsigned.chars().all(|c| c != '-' && digits.contains(c));
    text.parse().ok().filter(|_| plain)
}

/// Ends a program whose arguments are wrong.
pub fn usage(text: &str) -> ExitCode {
    eprintln!("usage: {text}");
    ExitCode::from(2)
}

/// Calls `fork(2)`. Returns `None` in the child, and the child's process id in the parent.
pub fn fork() -> io::Result<Option<libc::pid_t>> {
    // SAFETY: these programs have one thread, so the child is a whole copy.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Some(child)),
    }
}

/// Waits for a child. Fails if the child failed.
pub fn wait_for(child: libc::pid_t) -> io::Result<()> {
    let mut status = 0;
    // SAFETY: the status is ours to write.
    match unsafe { libc::waitpid(child, &mut status, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ if status == 0 => Ok(()),
        _ => Err(io::Error::other("the child failed")),
    }
}
