//! `futex(2)` between processes: sleeps until another process changes a word, and wakes sleepers.

use super::errno::{Errno, check};
use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// Sleeps while `word` is `expected`, at most for `time`. Returns when the thread is woken, the word differs, or a
/// signal arrives, and sometimes for no reason: the caller must read the word again. Returns whether a signal handler
/// has ended the sleep, also one that was installed with `SA_RESTART`.
///
/// The word may be mapped read-only.
#[expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the kernel checks the address"
)]
pub fn wait(word: *const AtomicU32, expected: u32, time: Duration) -> bool {
    let time = timespec(time);
    // SAFETY: the kernel reads the word and the time, and checks the word's address.
    let slept = check(unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAIT,
            expected,
            ptr::from_ref(&time),
        )
    });
    slept == Err(Errno(libc::EINTR))
}

/// Sleeps as [`wait`] does, while `word` is `expected` and `own`, a word of this process alone, is `own_expected`.
/// Returns `None`, without a sleep, if the kernel cannot do that (before Linux 5.16) or a seccomp filter forbids it.
///
/// A signal handler that was installed with `SA_RESTART` does not end the sleep.
pub fn wait_for_either(
    word: *const AtomicU32,
    expected: u32,
    own: &AtomicU32,
    own_expected: u32,
    time: Duration,
) -> Option<bool> {
    static MISSING: AtomicBool = AtomicBool::new(false);
    // Relaxed: orders nothing.
    if MISSING.load(Relaxed) {
        return None;
    }
    let waiter = |word: *const AtomicU32, expected: u32, flags| Waiter {
        expected: expected.into(),
        address: word.addr() as u64,
        flags,
        reserved: 0,
    };
    let waiters = [
        waiter(word, expected, FUTEX2_SIZE_U32),
        waiter(own, own_expected, FUTEX2_SIZE_U32 | FUTEX2_PRIVATE),
    ];
    let end = timespec(super::Instant::now().checked_add(time)?.since_boot());
    // SAFETY: the kernel reads the words, the waiters and the time, and checks the words' addresses.
    let slept = check(unsafe {
        libc::syscall(
            SYS_FUTEX_WAITV,
            waiters.as_ptr(),
            waiters.len() as u32,
            0,
            ptr::from_ref(&end),
            libc::CLOCK_MONOTONIC,
        )
    });
    match slept {
        // What filters return for a system call that they do not know.
        Err(Errno(libc::ENOSYS | libc::EPERM | libc::EACCES)) => {
            MISSING.store(true, Relaxed);
            None
        }
        slept => Some(slept == Err(Errno(libc::EINTR))),
    }
}

/// `struct futex_waitv`.
#[repr(C)]
struct Waiter {
    expected: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// The same on all architectures.
const SYS_FUTEX_WAITV: libc::c_long = 449;
const FUTEX2_SIZE_U32: u32 = 2;
const FUTEX2_PRIVATE: u32 = 128;

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Wakes up to `count` threads that sleep on `word`. Returns their number.
#[expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the kernel checks the address"
)]
pub fn wake(word: *const AtomicU32, count: u32) -> u32 {
    // SAFETY: waking reads and writes nothing of this process.
    let woken = check(unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, count) });
    woken.map_or(0, |woken| woken as u32)
}

/// Wakes all threads of this process that sleep on `own`. Does not change errno: a signal handler may call it.
pub fn wake_own(own: &AtomicU32) {
    let errno = Errno::last();
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: as in `wake`.
    unsafe { libc::syscall(libc::SYS_futex, own, operation, i32::MAX) };
    errno.set();
}
