//! One publishing bridge, and which of its messages have arrived and are delivered.

use crate::wire::{HEADER, Header, What};
use std::time::Instant;

/// The most bytes for which there is room as soon as the first part of a message arrives.
const AT_ONCE: u64 = 1 << 20;

/// What to do with a packet of messages.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Deliver its messages, without the first ones: this many have arrived before.
    Next(usize),
    /// Deliver this message, whose last part has arrived.
    Whole(Vec<u8>),
    /// Deliver nothing: it is a part but not the last, or its messages have arrived before.
    Nothing,
    /// Deliver nothing, and ask the publisher to send messages again.
    Gap,
    /// Refuse it for this reason.
    Malformed(&'static str),
}

/// A publishing bridge.
#[derive(Debug)]
pub struct Origin {
    /// The name of its machine.
    pub name: String,
    /// The number of the message that is expected next.
    pub expects: u64,
    /// The number of the first message that is not yet delivered.
    pub delivered: u64,
    /// The round of the last packet.
    pub round: u64,
    /// Whether messages before the last packet have not arrived.
    pub lacks: bool,
    /// Whether no want was sent to it yet.
    pub is_new: bool,
    /// The version of its last value. The versions of different machines cannot be compared.
    version: u64,
    /// The number of bytes that were delivered since the last acknowledgement, as the publisher's window counts them.
    pub unacknowledged: usize,
    /// The publisher's window in bytes.
    window: usize,
    /// When the last packet arrived.
    pub seen: Instant,
    /// The parts of a long message that have arrived.
    part: Vec<u8>,
}

impl Origin {
    /// Returns the bridge that has sent this offer. Its first message is expected to have the number `expects`.
    #[must_use]
    pub fn new(name: String, offer: &Header, expects: u64, now: Instant) -> Origin {
        Origin {
            name,
            expects,
            delivered: expects,
            round: offer.round,
            lacks: false,
            is_new: true,
            version: 0,
            unacknowledged: 0,
            window: offer.third as usize,
            seen: now,
            part: Vec::new(),
        }
    }

    /// Handles an offer, which arrives after all packets that were sent before it. Returns how many messages are lost
    /// because the publisher no longer has them.
    pub fn offer(&mut self, offer: &Header, now: Instant) -> u64 {
        self.seen = now;
        self.round = offer.round;
        self.window = offer.third as usize;
        let lost = offer.other.saturating_sub(self.expects);
        if lost > 0 {
            self.part.clear();
            self.expects = offer.other;
        }
        self.lacks = self.expects < offer.number;
        lost
    }

    /// Handles a packet of messages, none of which may be longer than `longest`.
    pub fn arrive(&mut self, header: &Header, body: &[u8], longest: u64, now: Instant) -> Arrival {
        self.seen = now;
        self.round = header.round;
        if header.number > self.expects {
            self.lacks = true;
            return Arrival::Gap;
        }
        if header.what == What::Part {
            return self.part(header, body, longest);
        }
        let end = header.number + header.other;
        if end <= self.expects {
            return Arrival::Nothing;
        }
        self.part.clear();
        let known = self.expects - header.number;
        self.expects = end;
        self.lacks = false;
        Arrival::Next(known as usize)
    }

    /// Returns whether a value, which begins with its version, is newer than this bridge's last one.
    pub fn is_newer(&mut self, value: Option<&&[u8]>) -> bool {
        let version = value.and_then(|value| value.first_chunk()).copied();
        let version = version.map_or(0, u64::from_le_bytes);
        let is_newer = version > self.version;
        self.version = self.version.max(version);
        is_newer
    }

    /// Notes that messages of a packet are delivered, with so many bytes. Returns whether to acknowledge that now: at a
    /// quarter of the window, which is the publisher's, and at most `window`. So a publisher whose messages are delivered
    /// never waits for room.
    pub fn deliver(&mut self, messages: usize, bytes: usize, window: usize) -> bool {
        self.delivered += messages as u64;
        self.unacknowledged += HEADER + bytes + 4 * messages;
        self.unacknowledged >= window.min(self.window) / 4
    }

    fn part(&mut self, header: &Header, body: &[u8], longest: u64) -> Arrival {
        let (offset, len) = (header.other, header.third);
        if len > longest || offset + body.len() as u64 > len || body.is_empty() {
            return Arrival::Malformed("a part that is not inside a message of this object");
        }
        if header.number < self.expects {
            return Arrival::Nothing;
        }
        if offset == 0 {
            self.part.clear(); // it is sent again from the beginning
            self.part.reserve(len.min(AT_ONCE) as usize);
        }
        let has = self.part.len() as u64;
        if offset != has {
            self.lacks = offset > has;
            return if self.lacks {
                Arrival::Gap
            } else {
                Arrival::Nothing
            };
        }
        self.part.extend_from_slice(body);
        if (self.part.len() as u64) < len {
            return Arrival::Nothing;
        }
        self.expects += 1;
        self.lacks = false;
        Arrival::Whole(std::mem::take(&mut self.part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> (Origin, Instant) {
        let now = Instant::now();
        let mut offer = Header::new(What::Offer, 1);
        offer.third = 1 << 20;
        (Origin::new("there".to_owned(), &offer, 10, now), now)
    }

    fn packet(number: u64, count: u64) -> Header {
        let mut header = Header::new(What::Messages, 1);
        (header.number, header.other) = (number, count);
        header
    }

    fn part(offset: u64, len: u64) -> Header {
        let mut header = Header::new(What::Part, 1);
        (header.number, header.other, header.third) = (10, offset, len);
        header
    }

    #[test]
    fn messages_are_delivered_in_order_and_once() {
        let (mut origin, now) = origin();
        let mut arrive = |number, count| origin.arrive(&packet(number, count), &[], 100, now);
        assert_eq!(arrive(10, 2), Arrival::Next(0));
        assert_eq!(arrive(10, 2), Arrival::Nothing);
        assert_eq!(arrive(13, 1), Arrival::Gap);
        assert_eq!(arrive(11, 3), Arrival::Next(1));
        assert_eq!(arrive(14, 1), Arrival::Next(0));
    }

    #[test]
    fn a_quarter_of_the_smaller_window_is_acknowledged_at_once() {
        let (mut origin, now) = origin();
        assert!(!origin.deliver(1, 1000, 1 << 20));
        assert!(!origin.deliver(1, (1 << 18) - 1105, 1 << 20));
        assert!(origin.deliver(0, 0, 1 << 20));
        origin.unacknowledged = 0;
        assert!(origin.deliver(1, 1000, 4096));
        origin.unacknowledged = 0;
        origin.offer(&Header::new(What::Offer, 1), now); // without a window
        assert!(origin.deliver(1, 0, 1 << 20));
    }

    #[test]
    fn messages_without_bytes_that_come_alone_are_acknowledged_before_the_window_is_full() {
        let (mut origin, _) = origin();
        let packets = (1..).find(|_| origin.deliver(1, 0, 1 << 20)).unwrap();
        assert!(packets * (HEADER + 4) <= 1 << 19, "{packets} packets");
    }

    #[test]
    fn an_offer_shows_what_is_lacking_and_what_is_lost() {
        let (mut origin, now) = origin();
        let mut offer = |base, next| {
            let mut header = Header::new(What::Offer, 1);
            (header.number, header.other) = (next, base);
            (origin.offer(&header, now), origin.expects, origin.lacks)
        };
        assert_eq!(offer(5, 10), (0, 10, false));
        assert_eq!(offer(8, 12), (0, 10, true));
        assert_eq!(offer(13, 15), (3, 13, true));
        assert_eq!(offer(15, 15), (2, 15, false));
    }

    #[test]
    fn the_parts_of_a_message_are_put_together() {
        let (mut origin, now) = origin();
        let mut arrive = |offset, body: &[u8]| origin.arrive(&part(offset, 5), body, 100, now);
        assert_eq!(arrive(0, b"ab"), Arrival::Nothing);
        assert_eq!(arrive(4, b"e"), Arrival::Gap);
        assert_eq!(arrive(0, b"abc"), Arrival::Nothing);
        assert_eq!(arrive(3, b"de"), Arrival::Whole(b"abcde".to_vec()));
        assert_eq!(arrive(3, b"de"), Arrival::Nothing);
    }

    #[test]
    fn a_value_with_an_older_version_is_not_newer() {
        let (mut origin, _) = origin();
        let mut is_newer = |version: u64| origin.is_newer(Some(&&version.to_le_bytes()[..]));
        assert!(is_newer(1) && is_newer(3));
        assert!(!is_newer(3) && !is_newer(2));
        assert!(is_newer(1 << 48));
    }

    #[test]
    fn parts_that_are_not_inside_a_message_are_refused() {
        let (mut origin, now) = origin();
        for (offset, len, body) in [
            (0, 101, &b"x"[..]),
            (4, 5, b"xy"),
            (0, 5, b""),
            (1 << 62, 5, b"x"),
        ] {
            let arrival = origin.arrive(&part(offset, len), body, 100, now);
            assert!(matches!(arrival, Arrival::Malformed(_)), "{arrival:?}");
        }
    }
}
