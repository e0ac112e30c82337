//! `futex_waitv(2)`: sleeps until another process changes one of several words.

use super::{
    clock::Instant,
    errno::{Errno, check},
};
use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// The largest number of words.
pub const MAX: usize = 128;

/// A word on which to sleep while it has a value: `struct futex_waitv`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Word {
    expected: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// A word of 32 bits, shared with other processes.
const FUTEX2_SIZE_U32: u32 = 2;
/// One of this process alone.
const FUTEX2_PRIVATE: u32 = 128;

impl Word {
    /// No word.
    pub const NONE: Word = Word {
        expected: 0,
        address: 0,
        flags: FUTEX2_SIZE_U32,
        reserved: 0,
    };

    pub fn new(word: *const AtomicU32, expected: u32) -> Word {
        Word {
            expected: expected.into(),
            address: word.addr() as u64,
            ..Word::NONE
        }
    }

    /// Returns a word of this process alone.
    pub fn own(word: &AtomicU32, expected: u32) -> Word {
        Word {
            flags: FUTEX2_SIZE_U32 | FUTEX2_PRIVATE,
            ..Word::new(word, expected)
        }
    }
}

/// Whether the kernel or a seccomp filter has refused the call.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Sleeps while each of at most [`MAX`] words is as expected, at most for this time. Returns whether a signal handler
/// has ended the sleep; one that was installed with `SA_RESTART` does not. Returns `None` at once before Linux 5.16 and
/// where a seccomp filter forbids the call.
pub fn wait(words: &[Word], time: Duration) -> Option<bool> {
    // Relaxed: orders nothing.
    if REFUSED.load(Relaxed) {
        return None;
    }
    let end = (Instant::now() + time).to_timespec();
    // SAFETY: the kernel reads the words' descriptions and the time, and checks the words' addresses.
    let slept = check(unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            words.as_ptr(),
            words.len() as libc::c_uint,
            0,
            ptr::from_ref(&end),
            libc::CLOCK_MONOTONIC,
        )
    });
    // Seccomp filters return the last two.
    if let Err(Errno(libc::ENOSYS | libc::EPERM | libc::EACCES)) = slept {
        REFUSED.store(true, Relaxed);
        return None;
    }
    Some(slept == Err(Errno(libc::EINTR)))
}
