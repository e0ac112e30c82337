//! The packets that bridges send each other.
//!
//! A packet is a header of 48 bytes and a body. All numbers are little-endian:
//!
//! | offset | bytes | content |
//! |--:|--:|---|
//! | 0 | 4 | `shmB` |
//! | 4 | 1 | the version of this format: 1 |
//! | 5 | 1 | the kind of packet: [`What`] |
//! | 6 | 2 | flags: [`LACKS`], [`JOINS`] |
//! | 8 | 8 | the instance of the bridge that sends it: a random number, new at each start |
//! | 16 | 8 | `number` |
//! | 24 | 8 | `other` |
//! | 32 | 8 | `third` |
//! | 40 | 8 | the round, which increases each time that the publisher sends packets again; see [`What::Want`] |
//!
//! A publishing bridge numbers the messages that it takes from an object, without gaps.
//!
//! A packet comes from the network, and its sender may be hostile: each length and number is checked before use.

use std::fmt;

/// The length of a packet's header.
pub const HEADER: usize = 48;
/// The largest number of bytes of messages in a packet. With the header and the lengths of 1024 messages, they fit
/// into one frame of Zenoh, which has at most 65535 bytes.
pub const ROOM: usize = 56 << 10;
/// The largest number of messages in a packet.
pub const MOST: usize = 1024;
/// The flag of a [`What::Want`]: the subscriber lacks messages that were sent.
pub const LACKS: u16 = 1;
/// The flag of a [`What::Want`]: the subscriber has just joined, and has no value of the object.
pub const JOINS: u16 = 2;

const MAGIC: [u8; 4] = *b"shmB";
const VERSION: u8 = 1;

/// The kind of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum What {
    /// From a publisher, four times a second: describes the object. `number` is that of the next message, `other` is
    /// that of the oldest message that it can send again, and `third` is its window in bytes. The body is that of an
    /// [`Offer`](crate::offer::Offer).
    Offer = 1,
    /// From a publisher: whole messages. `number` is that of the first message, and `other` is their count. The body
    /// has the bytes of all messages, and then their lengths, four bytes each.
    Messages = 2,
    /// From a publisher: a part of one message that is longer than [`ROOM`]. `number` is that of the message, `other`
    /// is the offset of the part, and `third` is the length of the message.
    Part = 3,
    /// From a subscriber, four times a second and after deliveries. `number` is that of the message that it expects
    /// next, `other` is that of the first message that it has not delivered, and `third` is the publisher's instance.
    /// With [`LACKS`], the publisher sends its packets again from `number` on, unless its round has changed since the
    /// packet that revealed the gap. The body is the name of the machine.
    Want = 4,
    /// The sender of this packet refuses the bridge whose instance is `third`. The body is the reason, as a sentence.
    Refusal = 5,
    /// The sender of this packet ends. The fields are those of [`What::Want`].
    Goodbye = 6,
}

/// The header of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of the packet.
    pub what: What,
    /// [`LACKS`] and [`JOINS`].
    pub flags: u16,
    /// The instance of the bridge that sends it.
    pub from: u64,
    /// A number whose meaning depends on the kind: see [`What`].
    pub number: u64,
    /// A second such number.
    pub other: u64,
    /// A third such number.
    pub third: u64,
    /// The publisher's round.
    pub round: u64,
}

/// The reason why a packet is malformed, as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Header {
    /// Returns a header whose numbers are 0.
    #[must_use]
    pub fn new(what: What, from: u64) -> Header {
        Header {
            what,
            flags: 0,
            from,
            number: 0,
            other: 0,
            third: 0,
            round: 0,
        }
    }

    /// Writes the header to the beginning of a packet of at least [`HEADER`] bytes.
    pub fn write(&self, packet: &mut [u8]) {
        packet[..4].copy_from_slice(&MAGIC);
        packet[4] = VERSION;
        packet[5] = self.what as u8;
        packet[6..8].copy_from_slice(&self.flags.to_le_bytes());
        let numbers = [self.from, self.number, self.other, self.third, self.round];
        for (field, number) in packet[8..HEADER].chunks_exact_mut(8).zip(numbers) {
            field.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// Returns a packet with this header and body.
    #[must_use]
    pub fn with_body(&self, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; HEADER];
        self.write(&mut packet);
        packet.extend_from_slice(body);
        packet
    }

    /// Splits a packet into its header and its body.
    ///
    /// # Errors
    /// If it is not a packet of this version.
    pub fn read(packet: &[u8]) -> Result<(Header, &[u8]), Malformed> {
        if packet.get(..4) != Some(&MAGIC) {
            return Err(Malformed("it is not a packet of a bridge"));
        }
        let Some((header, body)) = packet.split_at_checked(HEADER) else {
            return Err(Malformed("its header is cut off"));
        };
        if header[4] != VERSION {
            return Err(Malformed("it has another version"));
        }
        let number = |at: usize| u64_at(header, at);
        let header = Header {
            what: what(header[5]).ok_or(Malformed("its kind is unknown"))?,
            flags: u16::from_le_bytes([header[6], header[7]]),
            from: number(8),
            number: number(16),
            other: number(24),
            third: number(32),
            round: number(40),
        };
        // With this limit, no sum of a number and a count overflows.
        if [header.number, header.other, header.third]
            .iter()
            .any(|&n| n > 1 << 62)
        {
            return Err(Malformed("a number in its header is too large"));
        }
        Ok((header, body))
    }
}

fn what(code: u8) -> Option<What> {
    let all = [
        What::Offer,
        What::Messages,
        What::Part,
        What::Want,
        What::Refusal,
        What::Goodbye,
    ];
    all.into_iter().find(|&what| what as u8 == code)
}

/// Returns the little-endian number at an offset, where there must be eight bytes.
#[must_use]
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Returns the beginning of a text in the body of a packet, at most so many bytes, without control characters: it is
/// logged.
#[must_use]
pub fn text(body: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(most)]);
    text.chars().filter(|char| !char.is_control()).collect()
}

/// Returns the messages in the body of a [`What::Messages`] packet with this count, in order.
///
/// # Errors
/// If the count and the lengths do not match the length of the body.
pub fn messages(body: &[u8], count: u64) -> Result<impl Iterator<Item = &[u8]>, Malformed> {
    if count == 0 || count > MOST as u64 {
        return Err(Malformed("it has no messages, or too many"));
    }
    let table = body.len().checked_sub(count as usize * 4);
    let (mut bytes, table) = body.split_at(table.ok_or(Malformed("its lengths are cut off"))?);
    let lengths = || {
        let entries = table.chunks_exact(4);
        entries.map(|entry| u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]) as usize)
    };
    // The sum of at most 1024 lengths below 2³² does not overflow.
    if lengths().sum::<usize>() != bytes.len() {
        return Err(Malformed(
            "the lengths of its messages do not match the length of the packet",
        ));
    }
    Ok(lengths().map(move |len| {
        let (message, rest) = bytes.split_at(len);
        bytes = rest;
        message
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(lengths: &[u32], bytes: usize) -> Vec<u8> {
        let mut body = vec![7; bytes];
        body.extend(lengths.iter().flat_map(|len| len.to_le_bytes()));
        body
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let mut header = Header::new(What::Want, 7);
        (header.flags, header.number, header.other) = (LACKS, 1, 2);
        (header.third, header.round) = (3, u64::MAX);
        assert_eq!(
            Header::read(&header.with_body(b"body")),
            Ok((header, &b"body"[..]))
        );
    }

    #[test]
    fn a_packet_that_is_cut_off_anywhere_or_foreign_is_refused() {
        let packet = Header::new(What::Offer, 7).with_body(&[]);
        for len in 0..HEADER {
            assert!(Header::read(&packet[..len]).is_err());
        }
        for (at, value) in [(0, b'x'), (4, 2), (5, 0), (5, 7), (23, 0x7f)] {
            let mut packet = packet.clone();
            packet[at] = value;
            assert!(Header::read(&packet).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_text_is_one_line_and_has_a_bound() {
        assert_eq!(text(b"a\x1b[2J\nb", 400), "a[2Jb");
        assert_eq!(text(&[b'x'; 500], 400).len(), 400);
        assert_eq!(text(b"", 400), "");
    }

    #[test]
    fn messages_are_found_by_their_lengths() {
        let body = packet(&[1, 0, 2], 3);
        let found: Vec<usize> = messages(&body, 3).unwrap().map(<[u8]>::len).collect();
        assert_eq!(found, [1, 0, 2]);
    }

    #[test]
    fn lengths_that_do_not_match_are_refused() {
        let cases: [(&[u32], usize, u64); 6] = [
            (&[1, 2], 2, 2),
            (&[u32::MAX, u32::MAX], 2, 2),
            (&[1], 1, 2),
            (&[], 0, 0),
            (&[], 5000, 1025),
            (&[1, 1], 2, 1 << 61),
        ];
        for (lengths, bytes, count) in cases {
            assert!(messages(&packet(lengths, bytes), count).is_err());
        }
    }
}
