//! The newest value: one writer, any number of readers, and none of them waits for another.
//!
//! The values lie in a few slots that are used in turn; version `v` lies in slot `v % slots`. The
//! writer fills the slot of the next version, and then makes that version the current one. A reader
//! copies the slot of the current version, and looks again: as long as the writer has not begun
//! to fill that slot anew, the copy is whole. A writer that dies at any moment leaves the current
//! version unchanged.
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

/// What lies beside the slots.
#[cfg_attr(not(loom), repr(C, align(64)))]
pub struct LatestWords {
    /// The version of the newest value; 0 if there is none yet. It has a line of the cache to
    /// itself, which only the writer writes and never reads: readers that look all the time do not
    /// hold it up.
    current: AtomicU64,
    #[cfg(not(loom))]
    rest_of_line: [AtomicU64; 7],
    /// Who sleeps until there is a newer one.
    sleepers: Sleepers,
}

impl LatestWords {
    /// The version of the newest value; 0 if there is none yet.
    #[inline]
    pub fn version(&self) -> u64 {
        // Acquire: the value of this version is seen.
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

/// The slots and the words, as this process sees them.
#[derive(Clone, Copy)]
pub struct Latest<'a> {
    pub words: &'a LatestWords,
    pub area: Area<'a>,
    /// The size of a value in bytes. Where it is known at compile time, so are the slots.
    pub size: usize,
}

/// The writer overtook a reader again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken;

/// The size of a slot, for a value of so many bytes: whole cache lines. Never 0.
pub const fn stride(size: usize) -> Option<usize> {
    match size {
        0 => Some(64),
        _ => size.checked_next_multiple_of(64),
    }
}

/// How many slots there are: two will do, and where they cost little a reader is to be disturbed
/// less often.
pub const fn slots(size: usize) -> usize {
    if size <= 256 { 4 } else { 2 }
}

/// How often a reader tries, before it gives up against a writer that is always faster.
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

    /// The version of the newest value; 0 if there is none yet.
    #[inline]
    pub fn version(self) -> u64 {
        self.words.version()
    }

    /// Makes these bytes the newest value, and says which version it is. Only for the one writer,
    /// who knows the version of the last one.
    #[inline(always)]
    pub fn publish(self, last: u64, bytes: Source) -> u64 {
        let next = match last.wrapping_add(1) {
            // Zero is "none yet".
            0 => slots(self.size) as u64,
            next => next,
        };
        // Release: a reader that sees a byte of what follows in a slot, and then does its acquire fence,
        // sees that the version before this one is current, and so that the slot is in use.
        fence(Release);
        self.area.write(self.slot(next), bytes);
        // Release: a reader that sees the version sees the value.
        self.words.current.store(next, Release);
        self.words.sleepers.wake(&self.words.current, next);
        next
    }

    /// Copies the newest value, and says which version it is; 0 if there is none yet, and then
    /// nothing is copied.
    ///
    /// # Safety
    /// The bytes of a value from `to` on must be the caller's to write.
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

    /// Whether the copy of this version is whole.
    ///
    /// # Safety
    /// As for `read`.
    #[inline(always)]
    unsafe fn copy(self, version: u64, to: *mut u8) -> bool {
        // SAFETY: the caller's promise.
        let buffer = unsafe { Buffer::new(to, self.size) };
        self.area.read(self.slot(version), buffer);
        // Acquire: see `publish`.
        fence(Acquire);
        // Relaxed: the fence orders it.
        let now = self.words.current.load(Relaxed);
        // The writer may be at version `now + 1`, and `version + slots` would be in our slot.
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

    /// Waits until there is a value of another version than `seen`. False when the time is over.
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
            // A reader that may not write to the segment cannot announce that it sleeps, and wakes up
            // at the end of its slice.
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
