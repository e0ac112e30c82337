//! `futex(2)` between processes: sleeps until another process changes a word, and wakes sleepers.

use super::errno::{Errno, check};
use core::{ptr, sync::atomic::AtomicU32, time::Duration};

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
    let time = libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
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

/// Wakes up to `count` threads that sleep on `word`. Returns their number. Does not change errno.
#[expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the kernel checks the address"
)]
pub fn wake(word: *const AtomicU32, count: u32) -> u32 {
    let errno = Errno::last();
    // SAFETY: waking reads and writes nothing of this process.
    let woken = check(unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, count) });
    // It fails under a filter that forbids it, and if a hostile thread waits there by `FUTEX_LOCK_PI`.
    if woken.is_err() {
        errno.set();
    }
    woken.map_or(0, |woken| woken as u32)
}

/// Sleeps while `own` is `expected`, at most for `time`, until a thread of this process wakes it.
pub fn wait_own(own: &AtomicU32, expected: u32, time: Duration) {
    let time = libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: as in `wait`.
    unsafe { libc::syscall(libc::SYS_futex, own, operation, expected, &raw const time) };
}

/// Wakes all threads of this process that sleep on `own`. Does not change errno: a signal handler may call it.
pub fn wake_own(own: &AtomicU32) {
    let errno = Errno::last();
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: as in `wake`.
    unsafe { libc::syscall(libc::SYS_futex, own, operation, i32::MAX) };
    errno.set();
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_that_fails_does_not_change_errno() {
        Errno(libc::EDOM).set();
        // The kernel refuses an address that is not aligned.
        assert_eq!(wake(ptr::without_provenance(1), 1), 0);
        assert_eq!(Errno::last(), Errno(libc::EDOM));
    }
}
