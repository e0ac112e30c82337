//! The latest value: one publisher and any number of readers, none of which waits for another.
//!
//! A few slots hold the values in turn: slot `v % slots` holds version `v`. The publisher fills the slot of the next
//! version, and then makes that version the current one. A reader copies the slot of the current version, and then
//! reads the current version again: the copy is whole if the publisher cannot have begun to fill that slot again. If
//! the publisher dies, at whichever instruction, the current version stays.
//!
//! ```text
//! current = 6        slot:  0   1   2   3
//!                    has:   4   5   6  (7 is being written)
//! ```

use super::{
    area::{Area, Buffer, Source},
    atomic::{
        self, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
    sleepers::Sleepers,
    wait::{self, Deadline, Sleep},
};
#[cfg(not(loom))]
use crate::sys::waitv::Word;
use core::num::NonZeroU32;

/// The words in front of the slots.
#[cfg_attr(not(loom), repr(C, align(64)))]
pub struct LatestWords {
    /// The version of the latest value; 0 if there is none yet. It has a cache line of its own, which the publisher
    /// writes and never reads, so that readers that poll it do not slow the publisher down.
    current: AtomicU64,
    #[cfg(not(loom))]
    rest_of_line: [AtomicU64; 7],
    /// The readers that sleep until there is a newer value.
    sleepers: Sleepers,
}

impl LatestWords {
    /// Returns the version of the latest value; 0 if there is none yet.
    #[inline]
    pub fn version(&self) -> u64 {
        // Acquire: pairs with the release store in `publish`, so that the value of this version is visible.
        self.current.load(Acquire)
    }
}

#[cfg(loom)]
impl LatestWords {
    pub fn new() -> LatestWords {
        LatestWords {
            current: AtomicU64::new(0),
            sleepers: Sleepers::default(),
        }
    }
}

/// The words and the slots in the memory of this process.
#[derive(Clone, Copy)]
pub struct Latest<'a> {
    pub words: &'a LatestWords,
    pub area: Area<'a>,
    /// The size of a value in bytes. If the compiler knows it, it computes the slots, too.
    pub size: usize,
}

/// The publisher overtook a reader in each try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken;

/// Returns the size of a slot for a value of `size` bytes: one or more whole cache lines.
pub const fn stride(size: usize) -> Option<usize> {
    match size {
        0 => Some(64),
        _ => size.checked_next_multiple_of(64),
    }
}

/// Returns the number of slots: two suffice, and where they are small, more of them make it rarer that the publisher
/// overtakes a reader.
pub const fn slots(size: usize) -> usize {
    if size <= 256 { 4 } else { 2 }
}

/// How often a reader tries before it gives up.
#[cfg(not(loom))]
const TRIES: u32 = 100_000;
#[cfg(loom)]
const TRIES: u32 = 2;

impl Latest<'_> {
    #[inline(always)]
    fn slot(self, version: u64) -> usize {
        let slots = slots(self.size);
        let stride = stride(self.size).unwrap_or(64);
        (version % slots as u64) as usize * stride
    }

    /// Returns the version of the latest value; 0 if there is none yet.
    #[inline]
    pub fn version(self) -> u64 {
        self.words.version()
    }

    /// Publishes these bytes, and returns their version. Only the publisher calls this, with the version of the value
    /// that it published last.
    #[inline(always)]
    pub fn publish(self, last: u64, bytes: Source) -> u64 {
        let next = match last.wrapping_add(1) {
            // 0 means none.
            0 => slots(self.size) as u64,
            next => next,
        };
        // Release: pairs with the acquire fence in `copy`. A reader that has copied a byte of this value sees that at
        // least `last` is current, and so that the slot is being filled.
        fence(Release);
        self.area.write(self.slot(next), bytes);
        // Release: pairs with the acquire in `version`: a reader that sees the version sees the value.
        self.words.current.store(next, Release);
        self.words.sleepers.wake(&self.words.current, next);
        next
    }

    /// Copies the latest value, and returns its version. Returns 0 and copies nothing if there is none yet.
    ///
    /// # Safety
    /// The memory from `to` on, `size` bytes, must be the caller's to write.
    #[inline(always)]
    pub unsafe fn read(self, to: *mut u8) -> Result<u64, Overtaken> {
        let version = self.version();
        // SAFETY: the caller's promise.
        if version == 0 || unsafe { self.copy(version, to) } {
            return Ok(version);
        }
        // SAFETY: as above.
        unsafe { self.read_again(to) }
    }

    /// Copies the slot of a version. Returns whether the copy is whole.
    ///
    /// # Safety
    /// As for `read`.
    #[inline(always)]
    unsafe fn copy(self, version: u64, to: *mut u8) -> bool {
        // SAFETY: the caller's promise.
        let buffer = unsafe { Buffer::new(to, self.size) };
        self.area.read(self.slot(version), buffer);
        // Acquire: pairs with the release fence in `publish`.
        fence(Acquire);
        // Relaxed: the fence orders it.
        let now = self.words.current.load(Relaxed);
        // The publisher may be filling the slot of `now + 1`, and this slot is next filled for `version + slots`.
        now.wrapping_sub(version) <= slots(self.size) as u64 - 2
    }

    /// # Safety
    /// As for `read`.
    #[cold]
    unsafe fn read_again(self, to: *mut u8) -> Result<u64, Overtaken> {
        for _ in 0..TRIES {
            let version = self.version();
            // SAFETY: the caller's promise.
            if version == 0 || unsafe { self.copy(version, to) } {
                return Ok(version);
            }
            core::hint::spin_loop();
        }
        Err(Overtaken)
    }

    /// Announces that a thread is about to sleep until there is another version, and returns the word for it. A reader
    /// that may not write to the segment is not woken.
    #[cfg(not(loom))]
    pub fn announce_sleep(self, writable: bool) -> Word {
        let now = self.version();
        if writable {
            self.words.sleepers.announce_sleep(now);
        }
        Word::new(atomic::lower_half(&self.words.current), now as u32)
    }

    /// Enters a descriptor, which the next version after `seen` makes readable. Returns whether there is one by now. The
    /// segment must be writable.
    pub fn enter(self, number: NonZeroU32, seen: u64) -> bool {
        let now = self.version();
        // If a wake-up can be missed, the descriptor becomes readable at the end of its interval.
        self.words.sleepers.enter(number, now);
        let now = self.version();
        now != 0 && now != seen
    }

    /// Takes a descriptor out that is about to be closed.
    pub fn remove(self, number: NonZeroU32) {
        self.words.sleepers.remove(number);
    }

    /// Waits until there is a value of another version than `seen`. Returns false if the deadline has passed.
    #[inline]
    pub fn wait(self, seen: u64, writable: bool, deadline: Deadline) -> bool {
        let version = self.version();
        version != 0 && version != seen
            || !matches!(deadline, Deadline::Now) && self.wait_for(seen, writable, deadline)
    }

    #[cold]
    fn wait_for(self, seen: u64, writable: bool, deadline: Deadline) -> bool {
        let is_newer = |version: u64| version != 0 && version != seen;
        let look = || is_newer(self.version()).then_some(());
        if wait::stay_awake(None, look).is_some() {
            return true;
        }
        let word = &self.words.current;
        let mut sleep = Sleep::until(deadline);
        loop {
            let now = self.version();
            if is_newer(now) {
                return true;
            }
            // A reader that may not write to the segment cannot announce its sleep, and wakes up at the end of its
            // slice.
            let slept = if writable {
                let look = || self.version() != now;
                self.words.sleepers.sleep(now, word, now, &mut sleep, look)
            } else {
                atomic::sleep(word, now, &mut sleep)
            };
            if look().is_some() {
                return true;
            }
            if !slept {
                return false;
            }
        }
    }
}
