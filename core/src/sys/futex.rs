//! Sleeping until another process changes a word, and waking who sleeps: `futex(2)`, across
//! processes.

use super::errno::check;
use core::{ptr, sync::atomic::AtomicU32, time::Duration};

/// Sleeps while `word` is `expected`, at most `time`. Returns
/// when the thread is woken, when the word differs, when a signal comes, and sometimes for no reason:
/// the caller looks again in every case.
///
/// Memory that is mapped for reading only will do.
#[expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the kernel checks the address"
)]
pub fn wait(word: *const AtomicU32, expected: u32, time: Duration) {
    let time = libc::timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the kernel reads the word and the time, and checks the word's address itself.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAIT,
            expected,
            ptr::from_ref(&time),
        );
    }
}

/// Wakes up to `count` of those who sleep on `word`. Returns how many there were.
#[expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the kernel checks the address"
)]
pub fn wake(word: *const AtomicU32, count: u32) -> u32 {
    // SAFETY: waking reads and writes nothing of this process.
    let woken = check(unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, count) });
    woken.map_or(0, |woken| woken as u32)
}
