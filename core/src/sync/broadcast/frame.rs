//! The layout of messages in a broadcast: in frames, one behind the other, each of which begins a cache line.
//!
//! ```text
//!  63        48 47                      3 2    0
//! ┌────────────┬─────────────────────────┬──────┐
//! │ processor  │ length in bytes         │  1   │   0: no frame yet
//! ├────────────┴─────────────────────────┴──────┤
//! │ number                                      │
//! ├─────────────────────────────────────────────┤
//! │ bytes, filled up to a multiple of 64        │
//! └─────────────────────────────────────────────┘
//! ```
//!
//! Storing the first word commits the message.

/// A word that is not a frame's, or is that of a message that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl From<Damaged> for super::BroadcastError {
    fn from(_: Damaged) -> super::BroadcastError {
        super::BroadcastError::Damaged
    }
}

/// The size of a cache line in bytes. Frames are multiples of it.
pub const LINE: usize = 64;
/// The number of bytes in front of the message.
pub const HEADER: usize = 16;
/// The offset of the number in a frame.
pub const NUMBER: usize = 8;
/// The longest message that a broadcast can have, in bytes.
pub const LEN_MAX: usize = (1 << 44) - 1;

const KIND: u64 = 7;
const MESSAGE: u64 = 1;
const LEN_SHIFT: u32 = 3;
const CPU_SHIFT: u32 = 48;

/// Returns the size of the frame of a message with this length, at most [`LEN_MAX`].
#[inline(always)]
pub fn size_of_frame(len: usize) -> usize {
    (len + HEADER + LINE - 1) & !(LINE - 1)
}

/// Returns the first word for a message with this length, at most [`LEN_MAX`], from this [`processor`].
#[inline(always)]
pub fn word_of(len: usize, processor: u64) -> u64 {
    processor | (len as u64) << LEN_SHIFT | MESSAGE
}

/// Returns the length of the message that a word stands for, if it is at most the capacity.
#[inline(always)]
pub fn parse(word: u64, capacity: usize) -> Result<usize, Damaged> {
    let len = (word >> LEN_SHIFT) as usize & LEN_MAX;
    if word & KIND == MESSAGE && len <= capacity {
        Ok(len)
    } else {
        Err(Damaged)
    }
}

/// Returns a processor in the form of a frame's word: its number plus 1, so that 0 is "unknown".
pub fn processor(cpu: Option<u32>) -> u64 {
    cpu.map_or(0, |cpu| u64::from(cpu.min(0xfffe)) + 1) << CPU_SHIFT
}

/// Returns the processor that a frame's publisher ran on.
#[inline(always)]
pub fn cpu_of(word: u64) -> Option<u32> {
    ((word >> CPU_SHIFT) as u32).checked_sub(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_put_into_it() {
        for len in [0, 1, 48, 49, 1 << 33, LEN_MAX] {
            for cpu in [None, Some(0), Some(5), Some(0xfffe)] {
                let word = word_of(len, processor(cpu));
                assert_ne!(
                    word as u32, 0,
                    "a futex tells the word from 0 by its lower half"
                );
                assert_eq!(parse(word, LEN_MAX), Ok(len));
                assert_eq!(cpu_of(word), cpu);
                if len > 0 {
                    assert_eq!(parse(word, len - 1), Err(Damaged));
                }
            }
        }
    }

    #[test]
    fn other_words_are_damage() {
        for word in [0, 2, 3, 4, 5, 6, 7, 8, u64::MAX, u64::MAX << 3 | 2] {
            assert_eq!(parse(word, LEN_MAX), Err(Damaged));
        }
    }

    #[test]
    fn frames_are_whole_lines() {
        for (len, size) in [(0, 64), (48, 64), (49, 128), (112, 128), (113, 192)] {
            assert_eq!(size_of_frame(len), size);
        }
    }
}
