//! The layout of messages in a ring: in frames, one behind the other, each of which begins a cache line.
//!
//! ```text
//!  63        48 47                       3 2    0
//! ┌────────────┬──────────────────────────┬──────┐
//! │ processor  │ length of the message    │ kind │   0: no frame yet
//! └────────────┴──────────────────────────┴──────┘
//! ```
//!
//! A frame begins with this word. The message follows, and the rest of its last line is unused. Storing the
//! word commits the message, so a message of up to 56 bytes moves a single line between the processors.

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A message.
    Message,
    /// No message: its sender died before the message was complete, or the next slot would have wrapped at the end of
    /// the ring.
    Gap,
    /// A long message that its sender is still writing. A second word follows: the number of bytes that are written.
    /// The message begins on the next cache line, because processors copy much faster between aligned addresses.
    Begun,
    /// A long message that is complete.
    Done,
}

/// A frame, decoded from its first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: FrameKind,
    /// The length of the message in bytes.
    pub len: usize,
    /// The size of the frame in bytes.
    pub size: usize,
}

/// The error for a word that is not a frame's, or that of a frame that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// The size of a word.
pub const WORD: usize = 8;

/// The size of a cache line in bytes. Frames are multiples of it.
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

    /// Returns the frame that a word stands for, if it has at most `most` bytes. The word 0 is an error.
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

    /// Returns the frame of a short message; `None` if the word is another one.
    pub fn parse_message(word: u64) -> Option<Frame> {
        let frame = Frame::parse(word, usize::MAX).ok()?;
        (frame.kind == FrameKind::Message).then_some(frame)
    }

    /// Returns the first word, with the [`processor`] that the sender runs on.
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

    /// Returns the offset of the message in the frame.
    #[inline(always)]
    pub fn header(self) -> usize {
        self.kind.header()
    }
}

impl FrameKind {
    /// Returns the number of bytes in front of the message.
    #[inline(always)]
    fn header(self) -> usize {
        match self {
            FrameKind::Message | FrameKind::Gap => WORD,
            FrameKind::Begun | FrameKind::Done => LINE,
        }
    }
}

/// Returns a processor in the form of a frame's word: its number plus 1, so that 0 is "unknown".
pub fn processor(cpu: Option<u32>) -> u64 {
    cpu.map_or(0, |cpu| u64::from(cpu.min(0xfffe)) + 1) << CPU_SHIFT
}

/// Returns the processor that a frame's sender ran on.
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
                    assert_ne!(
                        word as u32, 0,
                        "a futex tells the word from 0 by its lower half"
                    );
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
