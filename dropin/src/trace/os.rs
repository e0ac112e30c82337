//! What tracing needs of the operating system beyond what the library does: all of it may be called
//! in signal handlers.
//!
//! A program, or another library that is preloaded, can have functions of its own under libc's names,
//! which may make traced calls themselves. So the kernel is asked directly, for the time, too: libc's
//! `clock_gettime` is faster, but a mark that this thread is in it, for the calls of such a function, would be
//! a thread-local variable. Where this library is loaded by `dlopen`, a thread's first use of one allocates.

use crate::sys::Errno;
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

/// A clock in nanoseconds. One that the kernel does not have says 0.
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

/// The second since 1970 in which a process started that started so many clock ticks after boot.
pub(super) fn second_of(start: u64) -> i64 {
    // SAFETY: sysconf takes a number and has no other effect.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    let boot = nanoseconds(libc::CLOCK_REALTIME).saturating_sub(nanoseconds(libc::CLOCK_BOOTTIME));
    (boot / 1_000_000_000 + start / ticks) as i64
}

/// Whether this program has rights that whoever started it may not have: then the environment is not
/// to be followed.
pub(super) fn is_privileged() -> bool {
    // SAFETY: getauxval takes a number and reads what the kernel gave this process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// A variable of the environment.
///
/// # Safety
/// Nobody may change the environment at the same time; the answer is valid until somebody does.
pub(super) unsafe fn variable<'a>(name: &CStr) -> Option<&'a [u8]> {
    // SAFETY: the name is a C string, and the caller sees to the rest.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: an answer that is not NULL is a C string.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes())
}

/// Whether to wait for somebody who reads, should the file be a FIFO.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    Allowed,
    Never,
}

/// Opens a file to append to.
pub(super) fn open_to_append(path: &CStr, waiting: Waiting) -> Result<c_int, Errno> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY;
    let (at, mode) = (libc::AT_FDCWD, 0o666);
    let open = |more: c_int| {
        // SAFETY: the path is a C string.
        check(unsafe { libc::syscall(libc::SYS_openat, at, path.as_ptr(), flags | more, mode) })
    };
    if waiting == Waiting::Allowed {
        return open(0);
    }
    let fd = open(libc::O_NONBLOCK)?;
    // Lines are to be written whole, also by waiting. SAFETY: it touches no memory.
    unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFL, libc::O_APPEND) };
    Ok(fd)
}

/// Another descriptor for the same file, with a high number that programs do not come upon, and not
/// for programs that this one starts.
pub(super) fn duplicate_high(fd: c_int) -> Result<c_int, Errno> {
    let mut answer = Err(Errno(libc::EMFILE));
    // As high as the limit on open files allows.
    for lowest in [1000, 200, 50, 3] {
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
    // SAFETY: the caller opened it, and nobody else knows of it.
    unsafe { libc::syscall(libc::SYS_close, fd) };
}

/// A number that tells an open file from others: of its device and its number on it. `None` if the
/// descriptor is closed.
pub(super) fn identity(fd: c_int) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: there is room for one stat.
    check(unsafe { libc::syscall(libc::SYS_fstat, fd, stat.as_mut_ptr()) }).ok()?;
    // SAFETY: the call succeeded, so it is filled.
    let stat = unsafe { stat.assume_init() };
    Some(identity_of(stat.st_dev, stat.st_ino))
}

/// The same for a device and a number on it.
pub(super) fn identity_of(device: u64, inode: u64) -> u64 {
    device.rotate_left(40) ^ inode
}

/// Writes once. No signal comes of it, whatever happened to the other end of a pipe or to the limit
/// on file sizes: the program is not to die of being watched.
pub(super) fn write_quietly(fd: c_int, bytes: &[u8]) -> Result<(), Errno> {
    // The kernel's sets, where a signal is the bit below its number.
    const SIZE: usize = size_of::<u64>();
    let bit = |signal: c_int| 1_u64 << (signal - 1);
    let set = bit(libc::SIGPIPE) | bit(libc::SIGXFSZ);
    let (mut before, mut pending) = (0_u64, 0_u64);
    // SAFETY: three sets of that size, which are ours.
    unsafe {
        let (set, before) = (&raw const set, &raw mut before);
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, set, before, SIZE);
        libc::syscall(libc::SYS_rt_sigpending, &raw mut pending, SIZE);
    }
    let written = loop {
        // SAFETY: the kernel reads the bytes.
        let written =
            check(unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) });
        match written {
            Err(Errno(libc::EINTR)) => {}
            answer => break answer.map(drop),
        }
    };
    let raised = match written {
        Err(Errno(libc::EPIPE)) => pending & bit(libc::SIGPIPE) == 0,
        Err(Errno(libc::EFBIG)) => pending & bit(libc::SIGXFSZ) == 0,
        _ => false,
    };
    let no_time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the sets are ours, and the wait takes no time: it takes back the signal that the write
    // has just sent this thread.
    unsafe {
        if raised {
            let (info, time) = (ptr::null_mut::<libc::siginfo_t>(), &raw const no_time);
            libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, info, time, SIZE);
        }
        let (how, none) = (libc::SIG_SETMASK, ptr::null_mut::<u64>());
        libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const before, none, SIZE);
    }
    written
}
