//! How messages lie in a ring: in frames, one behind the other, each of which begins on a line of the cache.
//!
//! ```text
//!  63        48 47                       3 2    0
//! ┌────────────┬──────────────────────────┬──────┐
//! │ processor  │ length of the message    │ kind │   0: nothing here yet
//! └────────────┴──────────────────────────┴──────┘
//! ```
//!
//! A frame begins with this word. The message follows, and the rest of its last line is unused. Storing the
//! word commits the message, so a message of up to 56 bytes moves one line from one processor to the other.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A message.
    Message,
    /// Nothing: the rest of the ring up to its end, or a message whose sender died before its end.
    Gap,
    /// A long message that is being written. Behind this word comes another one: how many bytes are
    /// there.
    Begun,
    /// A long message that is complete.
    Done,
}

/// A frame's first word, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: FrameKind,
    /// Of the message, in bytes.
    pub len: usize,
    /// Of the whole frame, in bytes.
    pub size: usize,
}

/// A word that is no frame, or one that is longer than there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// The size of a word.
pub const WORD: usize = 8;

/// The size of a line of the cache, in bytes: frames are multiples of it.
#[cfg(not(loom))]
pub const LINE: usize = 64;
#[cfg(loom)]
pub const LINE: usize = 16;

/// The longest message that a ring can have, in bytes.
pub const LEN_MAX: usize = (1 << 44) - 1;

const KIND: u64 = 7;
const LEN_SHIFT: u32 = 3;
const CPU_SHIFT: u32 = 48;
const LEN: u64 = (1 << (CPU_SHIFT - LEN_SHIFT)) - 1;

impl Frame {
    #[inline(always)]
    pub fn new(kind: FrameKind, len: usize) -> Frame {
        // No message is so long that this wraps.
        let size = kind.header().wrapping_add(len).wrapping_add(LINE - 1) & !(LINE - 1);
        Frame { kind, len, size }
    }

    /// Returns what a word says, other than 0, for a frame of at most `most` bytes.
    #[inline(always)]
    pub fn parse(word: u64, most: usize) -> Result<Frame, Damaged> {
        let kind = match word & KIND {
            1 => FrameKind::Message,
            2 => FrameKind::Gap,
            3 => FrameKind::Begun,
            4 => FrameKind::Done,
            _ => return Err(Damaged),
        };
        let frame = Frame::new(kind, (word >> LEN_SHIFT & LEN) as usize);
        (frame.size <= most).then_some(frame).ok_or(Damaged)
    }

    /// The same for a short message; `None` is anything else.
    pub fn parse_message(word: u64) -> Option<Frame> {
        let frame = Frame::parse(word, usize::MAX).ok()?;
        (frame.kind == FrameKind::Message).then_some(frame)
    }

    /// The word for it, with the [`processor`] that its sender runs on.
    #[inline(always)]
    pub fn word(self, processor: u64) -> u64 {
        let kind = match self.kind {
            FrameKind::Message => 1,
            FrameKind::Gap => 2,
            FrameKind::Begun => 3,
            FrameKind::Done => 4,
        };
        processor | (self.len as u64) << LEN_SHIFT | kind
    }

    /// Where its bytes begin.
    #[inline(always)]
    pub fn header(self) -> usize {
        self.kind.header()
    }
}

impl FrameKind {
    /// The bytes in front of the message's own.
    #[inline(always)]
    fn header(self) -> usize {
        match self {
            FrameKind::Message | FrameKind::Gap => WORD,
            FrameKind::Begun | FrameKind::Done => 2 * WORD,
        }
    }
}

/// A processor as a frame's word has it: one more than its number, so that 0 is "unknown".
pub fn processor(cpu: Option<u32>) -> u64 {
    cpu.map_or(0, |cpu| u64::from(cpu.min(0xfffe)) + 1) << CPU_SHIFT
}

/// The processor that a frame's sender ran on.
#[inline(always)]
pub fn sender_cpu(word: u64) -> Option<u32> {
    ((word >> CPU_SHIFT) as u32).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_put_into_it() {
        for kind in [
            FrameKind::Message,
            FrameKind::Gap,
            FrameKind::Begun,
            FrameKind::Done,
        ] {
            for len in [0, 1, 7, 8, 9, 1 << 33, LEN_MAX] {
                for cpu in [None, Some(0), Some(5), Some(0xfffe)] {
                    let frame = Frame::new(kind, len);
                    let word = frame.word(processor(cpu));
                    assert_ne!(word as u32, 0, "the lower half tells it from nothing");
                    assert_eq!(frame.size % LINE, 0);
                    assert_eq!(Frame::parse(word, usize::MAX), Ok(frame));
                    assert_eq!(Frame::parse(word, frame.size - 1), Err(Damaged));
                    assert_eq!(sender_cpu(word), cpu);
                }
            }
        }
    }

    #[test]
    fn other_words_are_damage() {
        for word in [0, 5, 6, 7, 8 | 5, u64::MAX] {
            assert_eq!(Frame::parse(word, usize::MAX), Err(Damaged));
        }
    }
}
