//! The atomics of the objects: the processor's, or loom's in the models (`cfg(loom)`).

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(not(loom))]
use super::wait::Sleep;

/// Orders a store before a later load, on the side that runs often. Costs almost nothing, because the other side calls
/// [`heavy_barrier`]. Only a process that the kernel does not include there makes a full barrier here. Source:
/// `membarrier(2)`.
#[inline(always)]
pub fn light_barrier() {
    #[cfg(not(loom))]
    if crate::sys::barrier::takes_part() {
        core::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Does what [`light_barrier`] does, without its check: for a process that [`takes_part`].
#[inline(always)]
pub fn barrier_of_participant() {
    #[cfg(not(loom))]
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Returns whether [`heavy_barrier`] is known to reach the threads of this process.
#[inline]
pub fn takes_part() -> bool {
    #[cfg(not(loom))]
    return crate::sys::barrier::takes_part();
    #[cfg(loom)]
    true
}

/// Orders a store before a later load, on the side that runs rarely, before it sleeps. Afterwards each other thread
/// that takes part either has made both its accesses, in order, or its load sees what this thread stored. Returns
/// false if the kernel cannot do that: then a wake-up may be missed.
#[cold]
pub fn heavy_barrier() -> bool {
    fence(Ordering::SeqCst);
    #[cfg(not(loom))]
    return crate::sys::barrier::all_processes();
    #[cfg(loom)]
    true
}

/// Orders a compare-and-swap that this thread has just done before its next loads. On x86-64 the
/// processor does so by itself: an instruction with a lock prefix is a full barrier. Source: Intel's manual,
/// volume 3, *Memory Ordering*.
#[inline(always)]
pub fn barrier_after_swap() {
    if cfg!(all(target_arch = "x86_64", not(loom))) {
        core::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// Keeps this thread's stores before this point in front of its later ones, for a thread that continues after this one
/// was killed: when the kernel reports the death, all stores of a dead thread are visible. Orders nothing for threads
/// that run at the same time.
#[inline(always)]
pub fn keep_order() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// Sleeps for a slice while the lower half of a word is as expected. Returns false if the deadline has passed.
#[cfg(not(loom))]
pub fn sleep(word: &AtomicU64, expected: u64, sleep: &mut Sleep) -> bool {
    sleep.on(lower_half(word), expected as u32)
}

/// Does the same for a nap, which is shorter than a slice.
#[cfg(not(loom))]
pub fn nap(word: &AtomicU64, expected: u64, sleep: &mut Sleep) -> bool {
    sleep.briefly_on(lower_half(word), expected as u32)
}

/// Wakes one thread that sleeps on the lower half of a word. Returns whether there was one.
#[cfg(not(loom))]
pub fn wake_one(word: &AtomicU64) -> bool {
    crate::sys::futex::wake(lower_half(word), 1) > 0
}

/// Wakes all threads that sleep on the lower half of a word.
#[cfg(not(loom))]
#[cold]
pub fn wake(word: &AtomicU64) {
    crate::sys::futex::wake(lower_half(word), i32::MAX as u32);
}

/// Sleeps for a slice while a word of 32 bits is as expected. Returns false if the deadline has passed.
#[cfg(not(loom))]
pub fn sleep_half(word: &AtomicU32, expected: u32, sleep: &mut Sleep) -> bool {
    sleep.on(word, expected)
}

/// Makes the descriptor with this number readable.
#[cfg(not(loom))]
pub use crate::sys::inbox::send;

/// Wakes one thread that sleeps on a word of 32 bits. Returns whether there was one.
#[cfg(not(loom))]
pub fn wake_half(word: &AtomicU32) -> bool {
    crate::sys::futex::wake(word, 1) > 0
}

/// Wakes all threads that sleep on a word of 32 bits.
#[cfg(not(loom))]
#[cold]
pub fn wake_all_half(word: &AtomicU32) {
    crate::sys::futex::wake(word, i32::MAX as u32);
}

/// Wakes all threads of this process that sleep on a word of its own memory. A signal handler may call it.
#[cfg(not(loom))]
pub fn wake_own(word: &AtomicU32) {
    crate::sys::futex::wake_own(word);
}

/// Returns the address of the lower half of a word, which only the kernel accesses separately, to compare it.
#[cfg(not(loom))]
pub fn lower_half(word: &AtomicU64) -> *const AtomicU32 {
    let halves = core::ptr::from_ref(word).cast::<AtomicU32>();
    if cfg!(target_endian = "little") {
        halves
    } else {
        halves.wrapping_add(1)
    }
}

#[cfg(loom)]
pub use super::loom::{
    send, sleep, sleep as nap, sleep_half, wake, wake_all_half, wake_half, wake_one, wake_own,
};
