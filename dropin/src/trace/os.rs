//! What tracing needs of the operating system beyond what the library does: all of it may be called
//! in signal handlers, and none of it goes through a function that the program could have replaced.

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
    unsafe { libc::clock_gettime(clock, &raw mut time) };
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

pub(super) fn thread_id() -> c_int {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as c_int }
}

pub(super) fn parent_id() -> c_int {
    // SAFETY: getppid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_getppid) as c_int }
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

/// Opens a file to append to.
pub(super) fn open_to_append(path: &CStr) -> Result<c_int, Errno> {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC | libc::O_NOCTTY;
    let (at, mode) = (libc::AT_FDCWD, 0o666);
    // SAFETY: the path is a C string.
    check(unsafe { libc::syscall(libc::SYS_openat, at, path.as_ptr(), flags, mode) })
}

/// Opens a directory to list it.
pub(super) fn open_directory(path: &CStr) -> Result<c_int, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let at = libc::AT_FDCWD;
    // SAFETY: the path is a C string.
    check(unsafe { libc::syscall(libc::SYS_openat, at, path.as_ptr(), flags, 0) })
}

/// The next entries of a directory, as many as fit; how many bytes they have, 0 at the end.
pub(super) fn read_directory(fd: c_int, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel writes at most the buffer's length into it.
    check(unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) })
        .map(|len| len as usize)
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
    Some(stat.st_dev.rotate_left(40) ^ stat.st_ino)
}

/// Writes once. No signal comes of it, whatever happened to the other end of a pipe or to the limit
/// on file sizes: the program is not to die of being watched.
pub(super) fn write_quietly(fd: c_int, bytes: &[u8]) -> Result<(), Errno> {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut pending = MaybeUninit::<libc::sigset_t>::zeroed();
    let set = set.as_mut_ptr();
    // SAFETY: three sets that are ours; all functions here may be called in signal handlers.
    let was_pending = unsafe {
        libc::sigemptyset(set);
        libc::sigaddset(set, libc::SIGPIPE);
        libc::sigaddset(set, libc::SIGXFSZ);
        libc::pthread_sigmask(libc::SIG_BLOCK, set, before.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        [libc::SIGPIPE, libc::SIGXFSZ]
            .map(|signal| libc::sigismember(pending.as_ptr(), signal) == 1)
    };
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
        Err(Errno(libc::EPIPE)) => !was_pending[0],
        Err(Errno(libc::EFBIG)) => !was_pending[1],
        _ => false,
    };
    // SAFETY: the sets are ours, and the wait takes no time: it takes back the signal that the write
    // has just sent this thread. Not by libc's function, at which a thread can be cancelled; the
    // kernel's set is the first 8 bytes of libc's.
    unsafe {
        if raised {
            let no_time = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            let (info, time) = (ptr::null_mut::<libc::siginfo_t>(), &raw const no_time);
            libc::syscall(libc::SYS_rt_sigtimedwait, set, info, time, 8_usize);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
    }
    written
}
