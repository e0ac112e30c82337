//! Where the lines go, and whether there are any.
//!
//! The environment is read once, before `main`. Lines for standard error are written to descriptor 2,
//! while it is what it was: a duplicate would hold open a pipe that a daemon has closed. So are those for
//! a pipe or terminal that is given by a path and is standard error or output, too. The descriptor
//! of a trace file gets a high number and is not passed on to other programs. Either is known by the
//! file behind it: a program may close descriptors, and give the number to a file of its own, which must
//! not get our lines. Then a trace file is opened again; standard error gets no lines until it is back.
//!
//! A line that cannot be written is lost, and counted: see [`write`].

use super::{
    line::{LONGEST, Line, Time, USUAL},
    os::{self, Opened, Waiting},
    reporter::Reporter,
};
use crate::sys::{self, Errno};
use core::{
    cell::UnsafeCell,
    ffi::{CStr, c_int},
    fmt::{self, Write as _},
    sync::atomic::{
        AtomicBool, AtomicI32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// The descriptor, or [`OFF`].
static DESCRIPTOR: AtomicI32 = AtomicI32::new(OFF);
const OFF: c_int = -1;
/// The identity of the file behind it.
static FILE: AtomicU64 = AtomicU64::new(0);
/// The process that it was opened for.
static OPENED_BY: AtomicI32 = AtomicI32::new(0);

/// What the environment asks for.
struct Settings {
    json: bool,
    /// `SHMKEY_TRACE` if it is a path, made absolute, with a NUL behind it; empty for a standard descriptor.
    path: [u8; PATH],
    /// The path has a `%p` in it: each process has a file of its own.
    per_process: bool,
    /// The command that traces this program, and receives notes.
    reporter: Option<Reporter>,
    /// This process, if the command has started it: then it tells what this one has left behind.
    reported: c_int,
}

/// Longest path, with its NUL.
const PATH: usize = 4096;

struct Shared(UnsafeCell<Settings>);

// SAFETY: it is written by `start` alone, once, before DESCRIPTOR says that there is something to
// read.
unsafe impl Sync for Shared {}

static SETTINGS: Shared = Shared(UnsafeCell::new(Settings {
    json: false,
    path: [0; PATH],
    per_process: false,
    reporter: None,
    reported: 0,
}));

/// Returns whether there is a trace.
#[inline(always)]
pub(super) fn is_on() -> bool {
    // Relaxed: who goes on to write takes the rest from `settings`, which acquires it.
    DESCRIPTOR.load(Relaxed) != OFF
}

fn settings() -> Option<&'static Settings> {
    // Acquire: `start` has released what it had written before.
    if DESCRIPTOR.load(Acquire) == OFF {
        return None;
    }
    // SAFETY: so it is written, and will not be again.
    Some(unsafe { &*SETTINGS.0.get() })
}

/// Returns the receiver of notes beside the trace, if there is one.
pub(super) fn reporter() -> Option<Reporter> {
    settings()?.reporter
}

/// Returns whether this process's parent, `shmkey trace`, reports what it has left behind: that command has
/// started this process itself, and sees the same segments.
pub(super) fn parent_reports() -> bool {
    settings().is_some_and(|settings| {
        settings.reported == sys::process_id()
            && settings
                .reporter
                .is_some_and(|reporter| reporter.shares_namespace())
    })
}

/// Has `start` called when the library is loaded. Here, and not where it is called from, so that a
/// linker takes both out of a static library or none.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    if os::is_privileged() {
        return;
    }
    // SAFETY: the program has not begun; no thread changes the environment.
    let (wanted, format, reporter) = unsafe {
        (
            os::variable(c"SHMKEY_TRACE"),
            os::variable(c"SHMKEY_TRACE_FORMAT"),
            os::variable(c"SHMKEY_TRACE_REPORTER"),
        )
    };
    let wanted = match wanted {
        None | Some(b"" | b"0") => return,
        Some(wanted) => wanted,
    };
    // SAFETY: no thread reads it before DESCRIPTOR says so, and this function runs once.
    let settings = unsafe { &mut *SETTINGS.0.get() };
    settings.json = format == Some(b"json");
    settings.reporter = reporter.and_then(Reporter::parse);
    if settings.reporter.map(|reporter| reporter.process) == Some(sys::parent_id()) {
        settings.reported = sys::process_id();
    }
    if !matches!(wanted, b"1" | b"stderr") {
        if !wanted.contains(&b'/') {
            return complain(wanted, "it has to be 1, stderr, or a path with a / in it");
        }
        settings.per_process = wanted.windows(2).any(|pair| pair == b"%p");
        if make_absolute(wanted, &mut settings.path).is_none() {
            return complain(wanted, "ENAMETOOLONG");
        }
    }
    match open(settings, Waiting::Allowed) {
        Ok(fd) => adopt(standard_instead(fd, settings)),
        Err(errno) => complain(wanted, errno),
    }
}

/// Returns the standard descriptor that a path leads to, such as `/dev/stderr`, in place of the one that was
/// opened, which would hold open a pipe that the program has closed.
fn standard_instead(fd: c_int, settings: &mut Settings) -> c_int {
    let same = |standard: &c_int| {
        let there = Opened::of(*standard).filter(Opened::has_other_end);
        there.is_some_and(|there| {
            Opened::of(fd).is_some_and(|opened| opened.identity == there.identity)
        })
    };
    match [libc::STDERR_FILENO, libc::STDOUT_FILENO]
        .iter()
        .find(|standard| same(standard))
    {
        Some(&standard) if settings.path[0] != 0 => {
            settings.path[0] = 0;
            os::close(fd);
            standard
        }
        _ => fd,
    }
}

/// Makes a path that stays the same when the program changes its directory.
fn make_absolute(path: &[u8], absolute: &mut [u8; PATH]) -> Option<()> {
    let mut len = 0;
    if !path.starts_with(b"/") {
        len = sys::read_link(c"/proc/self/cwd", &mut absolute[..PATH - 1])
            .ok()?
            .len();
        absolute[len] = b'/';
        len += 1;
    }
    let end = len.checked_add(path.len()).filter(|&end| end < PATH)?;
    absolute[len..end].copy_from_slice(path);
    Some(())
}

/// Writes to standard error why there is no trace: the one message that no program asks for.
fn complain(wanted: &[u8], why: impl fmt::Display) {
    let mut line = Line::<USUAL>::new();
    let path = crate::explain::ShownPath(wanted);
    let _ = write!(line, "shmkey: cannot trace to {path}: {why}");
    if let Some(opened) = Opened::of(libc::STDERR_FILENO) {
        let _ = os::write(libc::STDERR_FILENO, opened, line.finish());
    }
}

/// Opens what the settings say, a trace file under a high number.
fn open(settings: &Settings, waiting: Waiting) -> Result<c_int, Errno> {
    if settings.path[0] == 0 {
        return Ok(libc::STDERR_FILENO);
    }
    let low = if settings.per_process {
        os::open_to_append(with_process_id(&settings.path, &mut [0; PATH])?, waiting)?
    } else {
        let path = CStr::from_bytes_until_nul(&settings.path);
        os::open_to_append(path.map_err(|_| Errno(libc::ENAMETOOLONG))?, waiting)?
    };
    let high = os::duplicate_high(low);
    os::close(low);
    high
}

/// Returns the path with this process's id for each `%p`.
#[inline(never)] // so that its room on the stack is taken only where it is needed
fn with_process_id<'a>(path: &[u8; PATH], room: &'a mut [u8; PATH]) -> Result<&'a CStr, Errno> {
    struct Path<'a>(&'a mut [u8; PATH], usize);
    impl Path<'_> {
        fn push(&mut self, bytes: &[u8]) -> Option<()> {
            let end = self.1 + bytes.len();
            self.0[..PATH - 1]
                .get_mut(self.1..end)?
                .copy_from_slice(bytes);
            self.1 = end;
            Some(())
        }
    }
    impl core::fmt::Write for Path<'_> {
        fn write_str(&mut self, text: &str) -> core::fmt::Result {
            self.push(text.as_bytes()).ok_or(core::fmt::Error)
        }
    }
    let too_long = Errno(libc::ENAMETOOLONG);
    let mut expanded = Path(room, 0);
    let mut rest = &path[..path.iter().position(|&byte| byte == 0).unwrap_or(PATH)];
    while let Some(at) = rest.windows(2).position(|pair| pair == b"%p") {
        expanded.push(&rest[..at]).ok_or(too_long)?;
        write!(expanded, "{}", sys::process_id()).map_err(|_| too_long)?;
        rest = &rest[at + 2..];
    }
    expanded.push(rest).ok_or(too_long)?;
    CStr::from_bytes_until_nul(room).map_err(|_| too_long)
}

/// Makes a descriptor the one that lines are written to, unless it is closed.
fn adopt(fd: c_int) {
    let Some(opened) = Opened::of(fd) else {
        return;
    };
    // Relaxed: the descriptor's store releases both.
    FILE.store(opened.identity, Relaxed);
    OPENED_BY.store(sys::process_id(), Relaxed);
    // Release: who sees the descriptor sees the settings and the two above.
    DESCRIPTOR.store(fd, Release);
}

/// Returns the descriptor and what is behind it. `None` if the program has closed or replaced it.
fn current() -> Option<(c_int, Opened)> {
    // Acquire: as in `settings`.
    let fd = DESCRIPTOR.load(Acquire);
    let opened = Opened::of(fd).filter(|opened| opened.identity == FILE.load(Relaxed));
    opened.map(|opened| (fd, opened))
}

/// Opens the trace file again if the program has closed or replaced its descriptor, or if this process needs
/// a file of its own. Returns whether lines can be written.
fn make_good(settings: &Settings) -> bool {
    let forked = settings.per_process && OPENED_BY.load(Relaxed) != sys::process_id();
    if current().is_some() && !forked {
        return true;
    }
    settings.path[0] != 0 && os::undisturbed(|| reopen(settings)).is_some()
}

/// Threads that come here at the same time may open the file once each; each descriptor leads to the
/// same file, and one that is not kept stays open until the process ends.
#[inline(never)] // so that its room on the stack is free again while others are in use
fn reopen(settings: &Settings) -> Option<()> {
    let own = open(settings, Waiting::Never).ok()?;
    // Acquire: as in `settings`.
    let fd = DESCRIPTOR.load(Acquire);
    let there = Opened::of(fd).map(|opened| opened.identity);
    if there == Opened::of(own).map(|opened| opened.identity) {
        // A child that shares this process's memory (vfork) has adopted a file of its own.
        os::close(own);
        adopt(fd);
    } else if there != Some(FILE.load(Relaxed)) {
        adopt(own);
    } else if os::replace(own, fd).is_ok() {
        // In a child that has a file of its own, the number stays and leads there.
        os::close(own);
        adopt(fd);
    } else {
        // The number is beyond a limit that was lowered.
        os::close(fd);
        adopt(own);
    }
    Some(())
}

/// How many lines were lost since one was last written.
static LOST: AtomicU64 = AtomicU64::new(0);
/// How many lines this process has lost.
static LOST_IN_ALL: AtomicU64 = AtomicU64::new(0);
/// A line was cut off: what comes next begins with the end of that line.
static CUT: AtomicBool = AtomicBool::new(false);
/// The time ran out for a line. Those that follow are given none until the file has room again by `ppoll`:
/// a short line may fit into the last page of a pipe that no process reads.
static STALLED: AtomicBool = AtomicBool::new(false);

/// Writes a line that `what` puts together, given whether it is to be JSON: in one piece, so that lines of
/// several threads and processes do not mix. Where there is too little room for it, `what` is called once
/// more.
///
/// Where a pipe, a terminal or a socket is full, it waits at most a second for a process to read, and after that
/// waits for no line until a process has read. A line that cannot be written is lost. The next line that can be
/// written is preceded by one that says how many were lost.
pub(super) fn write(what: &dyn Fn(&mut dyn fmt::Write, bool) -> fmt::Result) {
    let Some(settings) = settings() else {
        return;
    };
    // Before there is a line: it needs much room on the stack, too.
    if !make_good(settings) {
        return lose();
    }
    // Half a line would be worse than none, and half an object of JSON is none.
    if write_in::<USUAL>(settings.json, what).is_err() {
        let _ = write_in::<LONGEST>(settings.json, what);
    }
}

/// Fails if the line does not fit.
#[inline(never)] // so that its room on the stack is taken only where it is needed
fn write_in<const ROOM: usize>(
    json: bool,
    what: &dyn Fn(&mut dyn fmt::Write, bool) -> fmt::Result,
) -> fmt::Result {
    let mut line = Line::<ROOM>::new();
    what(&mut line, json)?;
    let line = line.finish();
    match current() {
        Some((fd, opened)) if tell_lost(fd, opened, json) && deliver(fd, opened, line) => {}
        _ => lose(),
    }
    Ok(())
}

fn lose() {
    LOST.fetch_add(1, Relaxed);
    LOST_IN_ALL.fetch_add(1, Relaxed);
}

/// Forgets the lines that another process has lost, which has forked this one.
pub(super) fn begin() {
    LOST.store(0, Relaxed);
    LOST_IN_ALL.store(0, Relaxed);
}

/// Says how many lines are lost, when the process ends.
pub(super) fn end() {
    if let Some(settings) = settings()
        && LOST.load(Relaxed) > 0
        && make_good(settings)
        && let Some((fd, opened)) = current()
    {
        tell_lost(fd, opened, settings.json);
    }
    match LOST_IN_ALL.load(Relaxed) {
        0 => {}
        all => {
            if let Some(reporter) = reporter() {
                reporter.send_lost(all);
            }
        }
    }
}

/// Writes how many lines are lost, if any. Returns whether nothing is left to be said.
fn tell_lost(fd: c_int, opened: Opened, json: bool) -> bool {
    // Relaxed, here and below: the numbers say nothing of other memory.
    let lost = match LOST.load(Relaxed) {
        0 => 0,
        _ => LOST.swap(0, Relaxed),
    };
    if lost == 0 || write_lost(fd, opened, json, lost) {
        return true;
    }
    LOST.fetch_add(lost, Relaxed);
    false
}

#[inline(never)] // so that its room on the stack is free again while others are in use
fn write_lost(fd: c_int, opened: Opened, json: bool, lost: u64) -> bool {
    let mut line = Line::<160>::new();
    let pid = sys::process_id();
    // Both fit.
    let _ = if json {
        let time = Time(os::nanoseconds(libc::CLOCK_REALTIME));
        write!(
            line,
            r#"{{"event":"lost","time":{time},"pid":{pid},"lines":{lost}}}"#
        )
    } else {
        let lines = if lost == 1 { "line" } else { "lines" };
        write!(
            line,
            "shmkey[{pid}] has lost {lost} {lines} of its trace here: they could not be written"
        )
    };
    deliver(fd, opened, line.finish())
}

/// Writes a line. Returns whether all of it is written.
fn deliver(fd: c_int, opened: Opened, line: &[u8]) -> bool {
    let mut rest = line;
    let mut left = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // Relaxed, here and below: it says nothing of other memory.
    if !STALLED.load(Relaxed) || os::wait_to_write(fd, &mut left) {
        STALLED.store(false, Relaxed);
        left.tv_sec = 1;
    }
    // A cut line gets its end, and what follows is a line of its own.
    if CUT.load(Relaxed) && os::write(fd, opened, b"\n") == Ok(1) {
        CUT.store(false, Relaxed);
    }
    // A terminal may say that it takes bytes, and take none.
    for _ in 0..100 {
        match os::write(fd, opened, rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(Errno(libc::EAGAIN)) => {}
            Err(Errno(libc::EPIPE)) => {
                // Nothing reads this any more. Relaxed: it says no more than that there is nothing to do.
                DESCRIPTOR.store(OFF, Relaxed);
                return false;
            }
            Err(_) => break,
        }
        if rest.is_empty() {
            return true;
        }
        if !os::wait_to_write(fd, &mut left) {
            STALLED.store(true, Relaxed);
            break;
        }
    }
    if rest.len() < line.len() {
        CUT.store(true, Relaxed);
    }
    false
}
