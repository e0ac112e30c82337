//! What `SHMKEY_TRACE` asks for: a line for each call, with its arguments in words, its result and
//! how long it took, and for a failure its cause and what to do; when the process ends, what it has
//! left behind.
//!
//! | variable | value | meaning |
//! |---|---|---|
//! | `SHMKEY_TRACE` | unset, empty, `0` | no trace |
//! | | `1`, `stderr` | to standard error, while it is what it was when the program started |
//! | | a path, with a `/` in it | appended to that file; `%p` in it is the process's id |
//! | `SHMKEY_TRACE_FORMAT` | `text` | lines for people; what is meant by anything but `json`, too |
//! | | `json` | each line a JSON object |
//! | `SHMKEY_TRACE_REPORTER` | three numbers | where to send `shmkey trace` what it needs beside the trace: see `notes` |
//!
//! Programs that the program starts are traced, too. A program with privileges that its caller
//! may not have (set-user-id) is not.
//!
//! In JSON, a line with `"event":"call"` has `time` (seconds since 1970), `pid`, `tid`, `call`,
//! `arguments` (numbers, as C has them), `words` (the same for people), `result`, `result_words`,
//! `errno` and `errno_name` (`null` on success), `explanation` (of a failure), `note` (about a
//! success) and `duration_ns`. At the end come `"event":"attached"` for each attachment that was not
//! detached, `"event":"left"` for each segment that was left, `"event":"lost"` with `lines` where lines
//! could not be written, and one `"event":"exit"`
//! with their numbers (`null` if the segments cannot be listed). `shmkey-trace(1)` lists all fields.
//!
//! A call that is traced keeps the kernel's result and errno to the letter. It allocates and locks
//! nothing, so it may be made in signal handlers and after `fork`. It needs about 6 KiB of stack, and
//! for the longest lines 9 KiB (a build without optimization twice as much), which a signal stack of
//! `sysconf(_SC_SIGSTKSZ)` bytes has. It reads files below `/proc`, asks the kernel for the time and writes,
//! which a sandbox has to allow.
//! Without a trace, a call reads one number more.

mod line;
mod notes;
mod origins;
mod os;
mod report;
mod reporter;
mod sink;
mod users;
mod words;

use crate::{
    backend::{self, Occupant},
    explain::{self, Call, Cause, ModeDoubt, names},
    sys::{self, Errno},
    sysv,
};
use core::{
    ffi::{c_char, c_int, c_void},
    fmt,
    mem::MaybeUninit,
    slice,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use line::{Duration, Json, OrNull, Time};
use origins::{Doubt, Origin};
use words::{Numbers, Outcome, Words};

/// Returns whether calls are traced. If so, the backend is chosen here, so that a call's stack is not that of the choice
/// and of the trace together.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    sink::is_on() && {
        backend::chosen();
        true
    }
}

/// # Safety
/// As [`sysv::ftok`].
#[cold]
pub(crate) unsafe fn ftok(path: *const c_char, proj_id: c_int) -> libc::key_t {
    // SAFETY: the caller keeps the contract.
    let watched = Watched::new(|| unsafe { sysv::ftok(path, proj_id) });
    let mut buffer = [0; 1024];
    let path = read_string(path, &mut buffer);
    let result = watched.errno.map_or(Ok(watched.result), Err);
    let origin = path.and_then(|path| Origin::new(path, proj_id, result));
    let doubt = origin.as_ref().and_then(origins::remember);
    watched.tell(Call::Ftok { path, proj_id }, None, doubt.as_ref())
}

#[cold]
pub(crate) fn shmget(key: libc::key_t, size: usize, flags: c_int) -> c_int {
    let watched = Watched::new(|| sysv::shmget(key, size, flags));
    if watched.errno.is_none() && (key == libc::IPC_PRIVATE || flags & libc::IPC_CREAT != 0) {
        notes::opened(watched.result);
    }
    let doubt = origins::shared(key);
    watched.tell(Call::Get { key, size, flags }, None, doubt.as_ref())
}

/// # Safety
/// As [`sysv::shmat`].
#[cold]
pub(crate) unsafe fn shmat(id: c_int, addr: *const c_void, flags: c_int) -> *mut c_void {
    // SAFETY: the caller keeps the contract.
    let watched = Watched::new(|| unsafe { sysv::shmat(id, addr, flags) } as isize);
    let address = addr as usize;
    watched.tell(Call::Attach { id, address, flags }, None, None) as *mut c_void
}

/// # Safety
/// As [`sysv::shmdt`].
#[cold]
pub(crate) unsafe fn shmdt(addr: *const c_void) -> c_int {
    // SAFETY: the caller keeps the contract.
    let watched = Watched::new(|| unsafe { sysv::shmdt(addr) });
    let address = addr as usize;
    watched.tell(Call::Detach { address }, None, None)
}

/// # Safety
/// As [`sysv::shmctl`].
#[cold]
pub(crate) unsafe fn shmctl(id: c_int, command: c_int, buf: *mut libc::shmid_ds) -> c_int {
    // SAFETY: the caller keeps the contract.
    let watched = Watched::new(|| unsafe { sysv::shmctl(id, command, buf) });
    let status = (command == libc::IPC_STAT && watched.errno.is_none())
        .then(|| read_status(buf))
        .flatten();
    let call = Call::Control {
        id,
        command,
        buffer: buf as usize,
    };
    watched.tell(call, status, None)
}

/// A call that was made.
struct Watched<T> {
    result: T,
    /// The number that the call failed with.
    errno: Option<Errno>,
    /// What the program finds in errno: that number, or what was there before.
    after: Errno,
    began: u64,
    took: u64,
}

impl<T: Copy + PartialEq + TryInto<i64> + From<i8>> Watched<T> {
    fn new(call: impl FnOnce() -> T) -> Watched<T> {
        let before = Errno::last();
        let began = os::nanoseconds(libc::CLOCK_REALTIME);
        let start = os::nanoseconds(libc::CLOCK_MONOTONIC);
        // The clocks are read without a trace in errno, but no manual page promises that.
        before.set();
        let result = call();
        let after = Errno::last();
        let took = os::nanoseconds(libc::CLOCK_MONOTONIC).saturating_sub(start);
        Watched {
            result,
            errno: (result == T::from(-1)).then_some(after),
            after,
            began,
            took,
        }
    }

    /// Writes the line, and leaves errno as the call did.
    fn tell(self, call: Call<'_>, status: Option<libc::shmid_ds>, doubt: Option<&Doubt>) -> T {
        let result = self.result.try_into().unwrap_or(-1);
        report::called();
        let explanation = self
            .errno
            .map(|errno| Explanation::new(call, errno, doubt, self.began));
        let note = match self.errno {
            Some(_) => None,
            None => Note::new(call, result, doubt),
        };
        let event = Event {
            call,
            errno: self.errno,
            explanation: explanation.as_ref(),
            note: note.as_ref(),
            outcome: Outcome {
                call,
                result,
                status,
            },
            began: self.began,
            took: self.took,
        };
        event.write();
        self.after.set();
        self.result
    }
}

/// A failure's cause, and where its key comes from.
struct Explanation<'a> {
    cause: Cause,
    origin: Option<Origin>,
    doubt: Option<&'a Doubt>,
}

impl<'a> Explanation<'a> {
    /// Looks for the cause. `time` is when the call began, in nanoseconds.
    fn new(call: Call<'_>, errno: Errno, doubt: Option<&'a Doubt>, time: u64) -> Explanation<'a> {
        let origin = match call {
            Call::Get { key, .. } if errno == Errno(libc::ENOENT) => origins::of(key),
            _ => None,
        };
        let cause = match explain::why(call, errno) {
            Cause::NoKey(no_key) if is_repeated(no_key.key(), time) => Cause::NoKey(no_key.brief()),
            cause => cause,
        };
        Explanation {
            cause,
            origin,
            doubt,
        }
    }
}

/// Returns whether the last key without a segment was this one, in the same second: a program that polls
/// for a segment must not be slowed by a search of all processes each time.
fn is_repeated(key: c_int, time: u64) -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let this = (time / 1_000_000_000) << 32 | u64::from(key as u32);
    // Relaxed: the number says nothing of other memory.
    LAST.swap(this, Relaxed) == this
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.text(&names::SYSTEM_V).fmt(f)?;
        // Both name the file.
        match (&self.doubt, &self.origin) {
            (Some(doubt), _) => write!(f, "; {doubt}"),
            (None, Some(origin)) => origin.fmt(f),
            (None, None) => Ok(()),
        }
    }
}

/// What is to be said of a call that succeeded: one of these at least.
struct Note<'a> {
    argument: Option<&'static str>,
    mode: Option<ModeDoubt>,
    doubt: Option<&'a Doubt>,
}

impl<'a> Note<'a> {
    fn new(call: Call<'_>, result: i64, doubt: Option<&'a Doubt>) -> Option<Note<'a>> {
        let argument = match call {
            Call::Ftok { proj_id, .. } if proj_id & 0xff == 0 => Some(
                "only the low 8 bits of the project count, and all of them are 0 here; use 1 to 255 or a letter",
            ),
            Call::Get { key: -1, .. } => Some(
                "the key 0xffffffff is the number -1, which ftok returns when it fails; programs that do not look at its result \
                 meet here by mistake",
            ),
            _ => None,
        };
        let mode = match call {
            Call::Get { key, flags, .. }
                if key == libc::IPC_PRIVATE || flags & libc::IPC_CREAT != 0 =>
            {
                ModeDoubt::of(flags as u32).filter(|_| has_mode_of(result as c_int, flags))
            }
            _ => None,
        };
        (argument.is_some() || mode.is_some() || doubt.is_some()).then_some(Note {
            argument,
            mode,
            doubt,
        })
    }
}

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.mode.map(|mode| mode.text(&names::SYSTEM_V));
        let parts: [Option<&dyn fmt::Display>; 3] = [
            self.argument.as_ref().map(|part| part as _),
            mode.as_ref().map(|part| part as _),
            self.doubt.as_ref().map(|part| part as _),
        ];
        for (index, part) in parts.into_iter().flatten().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            part.fmt(f)?;
        }
        Ok(())
    }
}

/// Returns whether a segment has the mode that these flags create one with; an older one may differ.
fn has_mode_of(id: c_int, flags: c_int) -> bool {
    match backend::find(id) {
        Ok(Occupant::Holds(record)) => {
            (u32::from(record.shm_perm.mode) ^ flags as u32) & 0o777 == 0
        }
        _ => false,
    }
}

struct Event<'a> {
    call: Call<'a>,
    errno: Option<Errno>,
    explanation: Option<&'a Explanation<'a>>,
    note: Option<&'a Note<'a>>,
    outcome: Outcome<'a>,
    began: u64,
    took: u64,
}

impl Event<'_> {
    fn write(&self) {
        sink::write(&|line, json| {
            if json {
                self.json(line)
            } else {
                self.text(line)
            }
        });
    }

    /// Writes `shmkey[4242] shmget(key 0x4102002f, 1024 bytes, create, mode 0600) = id 7 (3.1 µs)`
    fn text(&self, line: &mut dyn fmt::Write) -> fmt::Result {
        let (pid, name, took) = (sys::process_id(), self.call.name(), Duration(self.took));
        write!(line, "shmkey[{pid}] {name}({})", Words(self.call))?;
        match (self.explanation, self.errno) {
            (Some(explanation), Some(errno)) => {
                write!(line, " failed ({took}): {errno}: {explanation}")
            }
            _ => {
                write!(line, " = {} ({took})", self.outcome)?;
                match self.note {
                    Some(note) => write!(line, "; note: {note}"),
                    None => Ok(()),
                }
            }
        }
    }

    fn json(&self, line: &mut dyn fmt::Write) -> fmt::Result {
        let failed = self.errno.is_some();
        write!(
            line,
            r#"{{"event":"call","time":{},"pid":{},"tid":{},"call":"{}","arguments":{},"words":{},"#,
            Time(self.began),
            sys::process_id(),
            sys::thread_id(),
            self.call.name(),
            Numbers(self.call),
            Json(Words(self.call)),
        )?;
        write!(
            line,
            r#""result":{},"result_words":{},"errno":{},"errno_name":{},"#,
            self.outcome.result,
            OrNull((!failed).then_some(Json(&self.outcome))),
            OrNull(self.errno.map(|errno| errno.0)),
            OrNull(self.errno.and_then(Errno::name).map(Json)),
        )?;
        write!(
            line,
            r#""explanation":{},"note":{},"duration_ns":{}}}"#,
            OrNull(self.explanation.map(Json)),
            OrNull(self.note.map(Json)),
            self.took,
        )
    }
}

/// Returns the string that a pointer of the program leads to, cut to the buffer; `None` if the pointer is
/// invalid. The kernel reads it, a page at a time, so that no byte behind its end is touched.
fn read_string(string: *const c_char, buffer: &mut [u8; 1024]) -> Option<&[u8]> {
    const PAGE: usize = 4096;
    let mut len = 0;
    while len < buffer.len() {
        let from = string.cast::<u8>().wrapping_add(len);
        let piece = (PAGE - from as usize % PAGE).min(buffer.len() - len);
        let read = sys::read_foreign(from, &mut buffer[len..len + piece]).ok()?;
        match buffer[len..len + read].iter().position(|&byte| byte == 0) {
            Some(end) => return Some(&buffer[..len + end]),
            None if read < piece => return None,
            None => len += read,
        }
    }
    Some(buffer)
}

/// Returns what the kernel has written for the program; another thread may have changed it since.
fn read_status(from: *const libc::shmid_ds) -> Option<libc::shmid_ds> {
    let mut status = MaybeUninit::<libc::shmid_ds>::zeroed();
    let len = size_of::<libc::shmid_ds>();
    // SAFETY: these are the bytes of `status`, all of which are zero, and no other code has them.
    let bytes = unsafe { slice::from_raw_parts_mut(status.as_mut_ptr().cast::<u8>(), len) };
    match sys::read_foreign(from.cast(), bytes) {
        // SAFETY: a C structure of integers: any bytes are valid.
        Ok(read) if read == len => Some(unsafe { status.assume_init() }),
        _ => None,
    }
}
