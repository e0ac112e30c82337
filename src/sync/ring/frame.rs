//! How messages lie in a ring: frames, one behind the other.
//!
//! ```text
//!  63        48 47                      3 2    0
//! ┌────────────┬─────────────────────────┬──────┐
//! │ processor  │ length in bytes         │ kind │   0: nothing here yet
//! └────────────┴─────────────────────────┴──────┘
//! ```
//!
//! A frame begins with this word and goes on with its bytes, filled up to a multiple of 8. Storing
//! the word is what commits the message, so a message moves no other line of memory than its own.
//! The word behind the last frame is always 0.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
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
pub(crate) struct Frame {
    pub kind: Kind,
    /// Of the message, in bytes.
    pub len: usize,
}

/// A word that is no frame, or one that is longer than there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// The size of a word, and what frames are multiples of.
pub(crate) const WORD: usize = 8;
/// The longest message that a ring can have, in bytes.
pub(crate) const LEN_MAX: usize = (1 << 45) - 1;

const CPU_SHIFT: u32 = 48;
const KIND_BITS: u32 = 3;

impl Frame {
    /// What a word says, other than 0, for a frame that has so many bytes up to the ring's end.
    #[inline(always)]
    pub fn parse(word: u64, room: usize) -> Result<Frame, Damaged> {
        let frame = Frame {
            kind: match word & ((1 << KIND_BITS) - 1) {
                1 => Kind::Message,
                2 => Kind::Gap,
                3 => Kind::Begun,
                4 => Kind::Done,
                _ => return Err(Damaged),
            },
            len: (word >> KIND_BITS) as usize & LEN_MAX,
        };
        match frame.size() <= room {
            true => Ok(frame),
            false => Err(Damaged),
        }
    }

    /// The word for it, with the processor that its sender runs on.
    #[inline(always)]
    pub fn word(self, cpu: Option<u32>) -> u64 {
        let kind = match self.kind {
            Kind::Message => 1,
            Kind::Gap => 2,
            Kind::Begun => 3,
            Kind::Done => 4,
        };
        // One more than its number, so that 0 is "unknown".
        let cpu = cpu.map_or(0, |cpu| u64::from(cpu.min(0xfffe)) + 1);
        cpu << CPU_SHIFT | (self.len as u64) << KIND_BITS | kind
    }

    /// Where its bytes begin.
    #[inline(always)]
    pub fn header(self) -> usize {
        match self.kind {
            Kind::Message | Kind::Gap => WORD,
            Kind::Begun | Kind::Done => 2 * WORD,
        }
    }

    /// The bytes that it takes in the ring.
    #[inline(always)]
    pub fn size(self) -> usize {
        self.header() + self.len.next_multiple_of(WORD)
    }
}

/// The processor that a frame's sender ran on.
#[inline(always)]
pub(crate) fn sender_cpu(word: u64) -> Option<u32> {
    ((word >> CPU_SHIFT) as u32).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_put_into_it() {
        for kind in [Kind::Message, Kind::Gap, Kind::Begun, Kind::Done] {
            for len in [0, 1, 7, 8, 9, 1 << 33, LEN_MAX] {
                for cpu in [None, Some(0), Some(5), Some(0xfffe)] {
                    let frame = Frame { kind, len };
                    let word = frame.word(cpu);
                    assert_ne!(word as u32, 0, "the lower half tells it from nothing");
                    assert_eq!(Frame::parse(word, usize::MAX), Ok(frame));
                    assert_eq!(Frame::parse(word, frame.size() - 1), Err(Damaged));
                    assert_eq!(sender_cpu(word), cpu);
                }
            }
        }
    }

    #[test]
    fn other_words_are_damage() {
        for word in [0, 5, 6, 7, u64::MAX] {
            assert_eq!(Frame::parse(word, usize::MAX), Err(Damaged));
        }
    }
}
