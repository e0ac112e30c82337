//! Children that ran no handlers: a word that the kernel clears in each child (`MADV_WIPEONFORK`) tells them apart.
//!
//! A process sets the word when it begins to use a directory, and a child in its handler after a fork. A child made by a
//! bare `clone` finds the word cleared when it makes its first call, and begins anew.

use super::fork;
use crate::sys;
use core::{
    ptr,
    sync::atomic::{
        AtomicPtr, AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// A word that the kernel clears in every child.
static MARK: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// A value of `MARK` for where the kernel does not clear pages.
const UNMARKED: *mut AtomicU32 = ptr::without_provenance_mut(1);

/// The values of the word: this process is a child that still has its parent's state; a thread of it begins anew;
/// its state is its own.
const INHERITED: u32 = 0;
const BEGINNING: u32 = 2;
const OWN: u32 = 1;

/// Returns the word, if there is one.
fn word() -> Option<&'static AtomicU32> {
    let word = MARK.load(Acquire);
    // SAFETY: `begin_to_watch` has mapped it for ever.
    (!word.is_null() && word != UNMARKED).then(|| unsafe { &*word })
}

/// Returns whether this process has begun to use a directory.
pub(super) fn exists() -> bool {
    !MARK.load(Acquire).is_null()
}

/// Says that this process's state is its own.
pub(super) fn set() {
    if let Some(word) = word() {
        word.store(OWN, Release);
    }
}

/// Notices that this process is a child that ran no handlers, before its parent's state is used.
pub(super) fn watch() {
    if !exists() {
        begin_to_watch();
    } else if word().is_some_and(|word| word.load(Acquire) != OWN) {
        begin_anew();
    }
}

#[cold]
fn begin_to_watch() {
    #[cfg(not(miri))]
    fork::start();
    let word = match sys::page_wiped_on_fork() {
        Ok((page, true)) => page.cast::<AtomicU32>(),
        _ => UNMARKED,
    };
    if word != UNMARKED {
        // Before others find it: they would take this process for a child.
        // SAFETY: the page was mapped above, and begins with zeroes.
        unsafe { (*word).store(OWN, Relaxed) };
    }
    // AcqRel: pairs with the loads of `MARK`.
    let first = MARK.compare_exchange(ptr::null_mut(), word, AcqRel, Acquire);
    if first.is_err() && word != UNMARKED {
        // SAFETY: another thread was first; no other code knows of this page.
        unsafe { sys::release(word.cast(), sys::page_size()) };
    }
}

/// Begins anew in a child that ran no handlers. Of its threads, one does that, and the others wait.
#[cold]
pub(super) fn begin_anew() {
    // A signal handler would wait for ever for the thread that it has interrupted.
    let mask = sys::block_signals();
    let is_first = word().is_none_or(|word| {
        // Acquire: pairs with the release in `set`.
        word.compare_exchange(INHERITED, BEGINNING, Acquire, Acquire)
            .is_ok()
    });
    if is_first {
        fork::forget_parent();
        set();
    }
    while word().is_some_and(|word| word.load(Acquire) == BEGINNING) {
        sys::sleep(Duration::from_micros(100));
    }
    sys::restore_signals(mask);
}
