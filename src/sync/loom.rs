//! Sleeping and waking in a model: as `futex(2)` does it, without an end to the sleep, so that a
//! wake-up that is missed is a deadlock, which loom reports.

use super::{
    atomic::{AtomicU32, AtomicU64, Ordering::SeqCst, fence},
    wait::Deadline,
};
use loom::sync::{Condvar, Mutex};

loom::lazy_static! {
    /// One bucket for all words: whoever wakes wakes all, and they look again.
    static ref BUCKET: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());
}

fn sleep_while(is_expected: impl FnOnce() -> bool, deadline: Deadline) -> bool {
    if matches!(deadline, Deadline::Now) {
        return false;
    }
    let guard = BUCKET.0.lock().unwrap();
    // The kernel makes a full barrier before it looks at the word.
    fence(SeqCst);
    if is_expected() {
        drop(BUCKET.1.wait(guard).unwrap());
    }
    true
}

fn wake_all() {
    drop(BUCKET.0.lock().unwrap());
    BUCKET.1.notify_all();
}

pub(crate) fn sleep(word: &AtomicU64, expected: u64, deadline: Deadline) -> bool {
    sleep_while(|| word.load(SeqCst) == expected, deadline)
}

pub(crate) fn wake(_: &AtomicU64) {
    wake_all();
}

pub(crate) fn sleep_half(word: &AtomicU32, expected: u32, deadline: Deadline) -> bool {
    sleep_while(|| word.load(SeqCst) == expected, deadline)
}

pub(crate) fn wake_one(_: &AtomicU32) -> u32 {
    wake_all();
    1
}
