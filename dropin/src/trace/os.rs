//! What tracing needs of the operating system beyond what the library does: all of it may be called
//! in signal handlers.
//!
//! A program, or another library that is preloaded, can have functions of its own under libc's names,
//! which may make traced calls themselves. So the kernel is asked directly, for the time, too: libc's
//! `clock_gettime` is faster, but a mark that this thread is in it, for the calls of such a function, would be
//! a thread-local variable. Where this library is loaded by `dlopen`, a thread's first use of one allocates.

use crate::sys::{self, Errno, Path};
use core::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
    ptr,
};

fn check(result: libc::c_long) -> Result<c_int, Errno> {
    match result {
        -1 => Err(Errno::last()),
        value => Ok(value as c_int),
    }
}

/// Returns the time of a clock in nanoseconds; 0 for one that the kernel does not have.
pub(super) fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: there is room for one timespec.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// Converts a process's start time from clock ticks after boot to seconds since 1970.
pub(super) fn second_of(start: u64) -> i64 {
    // SAFETY: sysconf takes a number and has no other effect.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    let boot = nanoseconds(libc::CLOCK_REALTIME).saturating_sub(nanoseconds(libc::CLOCK_BOOTTIME));
    (boot / 1_000_000_000 + start / ticks) as i64
}

/// Returns whether this program has rights that its caller may not have. Such a program ignores the
/// environment.
pub(super) fn is_privileged() -> bool {
    // SAFETY: getauxval takes a number and reads what the kernel gave this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Returns a variable of the environment.
///
/// # Safety
/// No other thread may change the environment at the same time; the answer is valid until one does.
pub(super) unsafe fn variable<'a>(name: &CStr) -> Option<&'a [u8]> {
    // SAFETY: the name is a C string, and the caller sees to the rest.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: an answer that is not NULL is a C string.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes())
}

/// Whether to wait until a process reads, should the file be a FIFO.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Allowed,
    Never,
}

/// Opens a file to append to.
pub(super) fn open_to_append(path: &CStr, waiting: Waiting) -> Result<c_int, Errno> {
    let create = libc::O_APPEND | libc::O_CREAT;
    open(
        path,
        match waiting {
            Waiting::Allowed => create,
            Waiting::Never => create | libc::O_NONBLOCK,
        },
    )
}

fn open(path: &CStr, more: c_int) -> Result<c_int, Errno> {
    let flags = libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOCTTY | more;
    let (at, mode) = (libc::AT_FDCWD, 0o666);
    // SAFETY: the path is a C string.
    check(unsafe { libc::syscall(libc::SYS_openat, at, path.as_ptr(), flags, mode) })
}

/// Duplicates a descriptor to a high number, which programs rarely use, and which exec closes.
pub(super) fn duplicate_high(fd: c_int) -> Result<c_int, Errno> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: there is room for one rlimit.
    unsafe { libc::syscall(libc::SYS_getrlimit, libc::RLIMIT_NOFILE, &raw mut limit) };
    // Below a low limit it is the last number: the program gets those that it gets without a trace.
    let last = limit.rlim_cur.clamp(1, 1 << 20) as c_int - 1;
    let mut answer = Err(Errno(libc::EMFILE));
    for lowest in [1000.min(last), 200.min(last)] {
        // SAFETY: duplicating a descriptor touches no memory.
        answer =
            check(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_DUPFD_CLOEXEC, lowest) });
        if answer.is_ok() {
            break;
        }
    }
    answer
}

/// Lets the number `to`, which is ours, stand for what `from` is.
pub(super) fn replace(from: c_int, to: c_int) -> Result<(), Errno> {
    // SAFETY: `to` is a descriptor that tracing opened, and `from` another.
    check(unsafe { libc::syscall(libc::SYS_dup3, from, to, libc::O_CLOEXEC) }).map(drop)
}

/// Closes a descriptor that tracing opened.
pub(super) fn close(fd: c_int) {
    // SAFETY: the caller opened it, and no other code knows of it.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// What is behind a descriptor.
#[derive(Clone, Copy)]
pub(super) struct Opened {
    /// A number that tells it from other files: of its device and its number on it.
    pub identity: u64,
    kind: FileKind,
}

#[derive(Clone, Copy)]
enum FileKind {
    Pipe,
    Socket,
    Terminal,
    /// What never waits until a process reads, such as a file on a disk.
    Other,
}

impl Opened {
    /// Looks at a descriptor. `None` if it is closed.
    pub fn of(fd: c_int) -> Option<Opened> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: there is room for one stat.
        check(unsafe { libc::syscall(libc::SYS_fstat, fd, stat.as_mut_ptr()) }).ok()?;
        // SAFETY: the call succeeded, so it is filled.
        let stat = unsafe { stat.assume_init() };
        Some(Opened {
            identity: identity_of(stat.st_dev, stat.st_ino),
            kind: match stat.st_mode & libc::S_IFMT {
                libc::S_IFIFO => FileKind::Pipe,
                libc::S_IFSOCK => FileKind::Socket,
                libc::S_IFCHR if is_terminal(fd) => FileKind::Terminal,
                _ => FileKind::Other,
            },
        })
    }

    /// Returns whether a process can be at its other end, which notices that a descriptor stays open.
    pub fn has_other_end(&self) -> bool {
        !matches!(self.kind, FileKind::Other)
    }
}

/// Returns the same number for a device and a number on it.
pub(super) fn identity_of(device: u64, inode: u64) -> u64 {
    device.rotate_left(40) ^ inode
}

fn is_terminal(fd: c_int) -> bool {
    let mut size = MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: there is room for one winsize.
    let answer = unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::TIOCGWINSZ, size.as_mut_ptr()) };
    answer == 0
}

/// Waits until a descriptor takes bytes, and at most as long as `left` says, from which it takes what
/// it has waited. Signals are handled while it waits. Returns whether it takes bytes now.
pub(super) fn wait_to_write(fd: c_int, left: &mut libc::timespec) -> bool {
    let mut poll = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    let no_set = ptr::null::<u64>();
    loop {
        // SAFETY: there is one descriptor to look at, and the kernel writes to the time, which is the
        // caller's.
        let answer = check(unsafe {
            libc::syscall(
                libc::SYS_ppoll,
                &raw mut poll,
                1,
                &raw mut *left,
                no_set,
                SET,
            )
        });
        match answer {
            Err(Errno(libc::EINTR)) => {}
            answer => return answer == Ok(1),
        }
    }
}

/// Size of the kernel's sets of signals, where a signal is the bit below its number.
const SET: usize = size_of::<u64>();

/// Calls a function that waits for no process, and lets no signal handler run in this thread
/// in that time: one that does not return (`longjmp`) would leave behind what the function had taken.
pub(super) fn undisturbed<T>(what: impl FnOnce() -> T) -> T {
    let (all, mut before) = (u64::MAX, 0_u64);
    // SAFETY: two sets, which are ours.
    unsafe {
        let (all, before) = (&raw const all, &raw mut before);
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, all, before, SET);
    }
    let answer = what();
    // SAFETY: the set is ours.
    unsafe {
        let (how, none) = (libc::SIG_SETMASK, ptr::null_mut::<u64>());
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const before, none, SET);
    }
    answer
}

/// Writes once, without waiting until a process reads. `EAGAIN` if that would be needed. Returns how
/// many bytes were written.
///
/// No signal comes of it, whatever happened to the other end of a pipe or to the limit on file sizes,
/// and a terminal does not stop a job in the background: the program must not stop or die of being traced.
pub(super) fn write(fd: c_int, opened: Opened, bytes: &[u8]) -> Result<usize, Errno> {
    let written = undisturbed(|| match opened.kind {
        FileKind::Other => write_to(fd, bytes),
        FileKind::Terminal => write_reopened(fd, opened, bytes),
        FileKind::Pipe => match write_nowait(fd, bytes) {
            // The kernel is older than 6.4, or a filter does not know the call.
            Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM | libc::EINVAL)) => {
                write_reopened(fd, opened, bytes)
            }
            answer => answer,
        },
        FileKind::Socket => {
            let (flags, none) = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, ptr::null::<u8>());
            let (from, len) = (bytes.as_ptr(), bytes.len());
            // SAFETY: the kernel reads the bytes; there is no address.
            check(unsafe { libc::syscall(libc::SYS_sendto, fd, from, len, flags, none, 0) })
        }
    });
    written.map(|len| len as usize)
}

/// Calls a function that writes, while all signals are blocked, and takes the signal that the kernel has sent
/// to this thread for it: not one that the program had pending before, nor one that is pending for the process.
fn without_signal(write: impl FnOnce() -> Result<c_int, Errno>) -> Result<c_int, Errno> {
    let signals = bit(libc::SIGPIPE) | bit(libc::SIGXFSZ);
    let before = pending_here(signals);
    let written = write();
    if matches!(written, Err(Errno(libc::EPIPE | libc::EFBIG))) {
        let raised = pending_here(signals) & !before;
        if raised != 0 {
            let (now, info) = (NO_TIME, ptr::null_mut::<libc::siginfo_t>());
            // The kernel gives a signal of the thread before one of the process. SAFETY: the set and the time
            // are ours, and it takes no time.
            unsafe {
                let (raised, now) = (&raw const raised, &raw const now);
                libc::syscall(libc::SYS_rt_sigtimedwait, raised, info, now, SET);
            }
        }
    }
    written
}

/// Returns those of some signals that are pending for this thread alone. Where `/proc` does not tell, also those
/// that are pending for the process.
fn pending_here(signals: u64) -> u64 {
    let mut pending = 0_u64;
    // SAFETY: the set is ours.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut pending, SET) };
    match pending & signals {
        0 => 0,
        both => both & sys::pending_for_thread().unwrap_or(both),
    }
}

/// Sends a datagram to a socket of the abstract namespace, whose name has any first byte here. It waits for a
/// reader that is behind, and at most 100 ms. What cannot be sent is lost.
pub(super) fn send_to_abstract(name: &CStr, bytes: &[u8]) {
    // SAFETY: a structure of integers, for which zeroes are valid.
    let mut address: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let Some(rest) = name.to_bytes().get(1..) else {
        return;
    };
    for (to, from) in address.sun_path[1..].iter_mut().zip(rest) {
        *to = *from as libc::c_char;
    }
    let len = size_of::<libc::sa_family_t>() + 1 + rest.len().min(address.sun_path.len() - 1);
    let most = libc::timeval {
        tv_sec: 0,
        tv_usec: 100_000,
    };
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    undisturbed(|| {
        // SAFETY: a new descriptor.
        let socket = check(unsafe { libc::syscall(libc::SYS_socket, libc::AF_UNIX, kind, 0) });
        if let Ok(fd) = socket {
            let (level, option) = (libc::SOL_SOCKET, libc::SO_SNDTIMEO);
            let (to, from) = (&raw const address, bytes.as_ptr());
            let (most, size) = (&raw const most, size_of::<libc::timeval>());
            // SAFETY: the kernel reads the time, the bytes and the address, which are as long as the call says.
            unsafe {
                libc::syscall(libc::SYS_setsockopt, fd, level, option, most, size);
                let flags = libc::MSG_NOSIGNAL;
                libc::syscall(libc::SYS_sendto, fd, from, bytes.len(), flags, to, len);
            }
            close(fd);
        }
    });
}

const NO_TIME: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

fn write_to(fd: c_int, bytes: &[u8]) -> Result<c_int, Errno> {
    let (number, from, len) = (libc::SYS_write, bytes.as_ptr(), bytes.len());
    // SAFETY: the kernel reads the bytes.
    without_signal(|| check(unsafe { libc::syscall(number, fd, from, len) }))
}

fn write_nowait(fd: c_int, bytes: &[u8]) -> Result<c_int, Errno> {
    let piece = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let (number, piece) = (libc::SYS_pwritev2, &raw const piece);
    without_signal(|| {
        // At the file's own position, which is -1 in both halves. SAFETY: the kernel reads the bytes of one piece.
        check(unsafe { libc::syscall(number, fd, piece, 1, -1_i64, -1_i64, libc::RWF_NOWAIT) })
    })
}

/// Writes by a descriptor of our own, which does not wait: O_NONBLOCK on the program's would be seen
/// by all who share it.
fn write_reopened(fd: c_int, opened: Opened, bytes: &[u8]) -> Result<c_int, Errno> {
    let path = Path::new(format_args!("/proc/thread-self/fd/{fd}"));
    match path.map(|path| open(path.as_c_str(), libc::O_NONBLOCK)) {
        Some(Ok(own)) => {
            // What `/dev/tty` leads to depends on when it is opened.
            let same = !matches!(opened.kind, FileKind::Terminal) || terminal(own) == terminal(fd);
            let written = same.then(|| write_to(own, bytes));
            close(own);
            written.unwrap_or_else(|| write_if_ready(fd, bytes))
        }
        // Nothing reads a FIFO.
        Some(Err(Errno(libc::ENXIO))) if matches!(opened.kind, FileKind::Pipe) => {
            Err(Errno(libc::EPIPE))
        }
        // There is no /proc, the file belongs to another user, or this process has left the terminal
        // that `/dev/tty` led to.
        _ => write_if_ready(fd, bytes),
    }
}

/// Writes if there is room now, which another writer can take.
fn write_if_ready(fd: c_int, bytes: &[u8]) -> Result<c_int, Errno> {
    if wait_to_write(fd, &mut { NO_TIME }) {
        write_to(fd, bytes)
    } else {
        Err(Errno(libc::EAGAIN))
    }
}

/// Returns the device of the terminal that a descriptor leads to, by whatever name it was opened.
fn terminal(fd: c_int) -> Option<u32> {
    let mut device = 0_u32;
    // SAFETY: there is room for the number of a device.
    let answer = unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::TIOCGDEV, &raw mut device) };
    (answer == 0).then_some(device)
}
