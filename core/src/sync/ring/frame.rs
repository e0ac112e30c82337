//! How messages lie in a ring: frames, one behind the other.
//!
//! ```text
//!  63        48 47 45 44                3 2    0
//! ┌────────────┬─────┬───────────────────┬──────┐
//! │ processor  │ pad │ size              │ kind │   0: nothing here yet
//! └────────────┴─────┴───────────────────┴──────┘
//! ```
//!
//! A frame begins with this word and goes on with its bytes, filled up to a multiple of 8: the size
//! is that of the whole frame in bytes, the pad is how many were filled up. Storing the word is what
//! commits the message, so a message moves no other line of memory than its own. The word behind the
//! last frame is always 0.
//!
//! The size lies where a single `and` gets it: a thread that goes from frame to frame waits for that.

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

/// The size of a word, and what frames are multiples of.
pub const WORD: usize = 8;
/// The longest message that a ring can have, in bytes.
pub const LEN_MAX: usize = (1 << 44) - 1;

const KIND: u64 = 7;
const SIZE: u64 = (1 << PAD_SHIFT) - 1 - KIND;
const PAD_SHIFT: u32 = 45;
const CPU_SHIFT: u32 = 48;

impl Frame {
    #[inline(always)]
    pub fn new(kind: FrameKind, len: usize) -> Frame {
        // No message is so long that this wraps.
        let size = kind.header() + (len.wrapping_add(WORD - 1) & !(WORD - 1));
        Frame { kind, len, size }
    }

    /// What a word says, other than 0, for a frame that has so many bytes up to the ring's end.
    #[inline(always)]
    pub fn parse(word: u64, room: usize) -> Result<Frame, Damaged> {
        let kind = match word & KIND {
            1 => FrameKind::Message,
            2 => FrameKind::Gap,
            3 => FrameKind::Begun,
            4 => FrameKind::Done,
            _ => return Err(Damaged),
        };
        let size = (word & SIZE) as usize;
        let pad = (word >> PAD_SHIFT) as usize % WORD;
        match size.checked_sub(kind.header() + pad) {
            Some(len) if size <= room => Ok(Frame { kind, len, size }),
            _ => Err(Damaged),
        }
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
        let pad = (self.size - self.kind.header() - self.len) as u64;
        processor | pad << PAD_SHIFT | self.size as u64 | kind
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
                    assert_eq!(Frame::parse(word, usize::MAX), Ok(frame));
                    assert_eq!(Frame::parse(word, frame.size - 1), Err(Damaged));
                    assert_eq!(sender_cpu(word), cpu);
                }
            }
        }
    }

    #[test]
    fn other_words_are_damage() {
        for word in [0, 1, 5, 6, 7, 8 | 3, 1 << 45 | 8 | 1, u64::MAX] {
            assert_eq!(Frame::parse(word, usize::MAX), Err(Damaged));
        }
    }
}
