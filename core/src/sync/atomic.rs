//! The atomics that the lock-free objects are made of: the processor's, or loom's when their
//! interleavings are explored (`cfg(loom)`).

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::wait::Sleep;

/// Two accesses of one thread, a store and then a load, that must not change places: the side that
/// runs often. It costs next to nothing, because the other side does [`heavy_barrier`]; only a
/// process that the kernel does not include there makes a barrier of its own. Source:
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

/// The side that runs seldom, before it sleeps: afterwards each other thread that takes part has
/// done the two accesses in their order, or sees what this one has stored. False where the kernel
/// cannot do that: a wake-up may be missed.
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

/// Sleeps for a slice while the lower half of a word is as expected. False when the time is over.
#[cfg(not(loom))]
pub fn sleep(word: &AtomicU64, expected: u64, sleep: &mut Sleep) -> bool {
    sleep.on(lower_half(word), expected as u32)
}

/// The same for a short time.
#[cfg(not(loom))]
pub fn nap(word: &AtomicU64, expected: u64, sleep: &mut Sleep) -> bool {
    sleep.briefly_on(lower_half(word), expected as u32)
}

/// Wakes one thread that sleeps on the lower half of a word. Returns whether there was one.
#[cfg(not(loom))]
pub fn wake_one(word: &AtomicU64) -> bool {
    crate::sys::futex::wake(lower_half(word), 1) > 0
}

/// Wakes all who sleep on the lower half of a word.
#[cfg(not(loom))]
#[cold]
pub fn wake(word: &AtomicU64) {
    crate::sys::futex::wake(lower_half(word), i32::MAX as u32);
}

/// Sleeps for a slice while a word of 32 bits is as expected. False when the time is over.
#[cfg(not(loom))]
pub fn sleep_half(word: &AtomicU32, expected: u32, sleep: &mut Sleep) -> bool {
    sleep.on(word, expected)
}

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

/// The lower half of a word, for the kernel to compare. Only the kernel reads it by itself.
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
pub use super::loom::{sleep, sleep as nap, sleep_half, wake, wake_all_half, wake_half, wake_one};
