//! One publishing bridge, and which of its messages have arrived and are delivered.

use crate::{
    SILENT,
    offer::Offer,
    wire::{HEADER, Header, What},
};
use std::{
    collections::HashMap,
    mem,
    time::{Duration, Instant},
};

/// The largest number of bridges that publish the same object.
pub const MOST: usize = 64;
/// How long a publishing bridge must be silent before it can be forgotten. A cut link may be restored after any time, so
/// the bridge is forgotten only when there are `MOST` bridges and a new one appears.
pub const FORGOTTEN: Duration = Duration::from_secs(60);

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
#[derive(Clone, Debug)]
pub struct Origin {
    /// The name of its machine.
    pub name: String,
    /// The number of the message that is expected next.
    pub expects: u64,
    /// How many messages have arrived and are not yet delivered.
    undelivered: u64,
    /// Whether this bridge gets the messages. Only one does if the object is for one.
    is_ours: bool,
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
    seen: Instant,
    /// The parts of a long message that have arrived.
    part: Vec<u8>,
}

impl Origin {
    /// Returns the bridge that has sent this offer. `is_ours` is whether its messages are for this bridge.
    #[must_use]
    pub fn new(offer: &Offer, is_ours: bool, now: Instant) -> Origin {
        Origin {
            name: offer.name.clone(),
            expects: offer.first(),
            undelivered: 0,
            is_ours,
            round: offer.header.round,
            lacks: false,
            is_new: true,
            version: 0,
            unacknowledged: 0,
            window: offer.header.third as usize,
            seen: now,
            part: Vec::new(),
        }
    }

    /// Handles an offer, which arrives after all packets that were sent before it. Returns how many messages are lost
    /// because the publisher no longer has them.
    pub fn offer(&mut self, offer: &Header, is_ours: bool, now: Instant) -> u64 {
        self.seen = now;
        self.round = offer.round;
        self.window = offer.third as usize;
        if !mem::replace(&mut self.is_ours, is_ours) || !is_ours {
            // The messages begin with the oldest one that no other bridge has delivered.
            self.expects = offer.other;
            self.undelivered = 0;
            self.part.clear();
        }
        let lost = offer.other.saturating_sub(self.expects);
        if lost > 0 {
            self.part.clear();
            self.expects = offer.other;
        }
        self.lacks = self.is_ours && self.expects < offer.number;
        lost
    }

    /// Returns the number of the first message that is not yet delivered.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.expects - self.undelivered
    }

    /// Returns how many messages have arrived and are not yet delivered.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.undelivered
    }

    /// Returns whether the messages of this bridge are for this one.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Returns whether something has arrived recently.
    #[must_use]
    pub fn is_heard(&self, now: Instant) -> bool {
        now.duration_since(self.seen) < SILENT
    }

    /// Returns whether nothing has arrived for so long that another bridge may take its place.
    #[must_use]
    pub fn is_forgotten(&self, now: Instant) -> bool {
        now.duration_since(self.seen) >= FORGOTTEN
    }

    /// Handles a packet of messages, whose lengths the object allows.
    pub fn arrive(&mut self, header: &Header, body: &[u8], now: Instant) -> Arrival {
        self.seen = now;
        if !self.is_ours {
            return Arrival::Nothing; // it is for another bridge
        }
        self.round = header.round;
        if header.number > self.expects {
            self.lacks = true;
            return Arrival::Gap;
        }
        if header.what == What::Part {
            return self.part(header, body);
        }
        let end = header.number + header.other;
        if end <= self.expects {
            return Arrival::Nothing;
        }
        self.part.clear();
        let known = self.expects - header.number;
        self.undelivered += end - self.expects;
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

    /// Notes that messages of a packet are delivered, with so many bytes. Returns whether to acknowledge that now:
    /// after a quarter of the publisher's window, or of `window` if that is smaller. So a publisher whose messages are
    /// delivered never waits for room.
    pub fn deliver(&mut self, messages: usize, bytes: usize, window: usize) -> bool {
        self.undelivered = self.undelivered.saturating_sub(messages as u64);
        self.unacknowledged += HEADER + bytes + 4 * messages;
        self.unacknowledged >= window.min(self.window) / 4
    }

    fn part(&mut self, header: &Header, body: &[u8]) -> Arrival {
        let (offset, len) = (header.other, header.third);
        if offset + body.len() as u64 > len || body.is_empty() {
            return Arrival::Malformed("a part that is not inside a message");
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
        self.undelivered += 1;
        self.lacks = false;
        Arrival::Whole(mem::take(&mut self.part))
    }
}

/// Returns whether there is a place for one more bridge. Forgets the one that was silent for longest if there is none.
pub fn make_place(origins: &mut HashMap<u64, Origin>, now: Instant) -> bool {
    let longest = origins.iter().min_by_key(|(_, origin)| origin.seen);
    if origins.len() >= MOST
        && let Some((&instance, origin)) = longest
        && origin.is_forgotten(now)
    {
        origins.remove(&instance);
    }
    origins.len() < MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> (Origin, Instant) {
        let now = Instant::now();
        let mut header = Header::new(What::Offer, 1);
        (header.other, header.third) = (10, 1 << 20);
        let offer = Offer {
            header,
            what: crate::description::tests::ring(),
            to: 7,
            name: "there".to_owned(),
        };
        (Origin::new(&offer, true, now), now)
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
        let mut arrive = |number, count| origin.arrive(&packet(number, count), &[], now);
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
        origin.offer(&Header::new(What::Offer, 1), true, now); // without a window
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
            (
                origin.offer(&header, true, now),
                origin.expects,
                origin.lacks,
            )
        };
        assert_eq!(offer(5, 10), (0, 10, false));
        assert_eq!(offer(8, 12), (0, 10, true));
        assert_eq!(offer(13, 15), (3, 13, true));
        assert_eq!(offer(15, 15), (2, 15, false));
    }

    #[test]
    fn the_parts_of_a_message_are_put_together() {
        let (mut origin, now) = origin();
        let mut arrive = |offset, body: &[u8]| origin.arrive(&part(offset, 5), body, now);
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
        for (offset, len, body) in [(4, 5, &b"xy"[..]), (0, 5, b""), (1 << 62, 5, b"x")] {
            let arrival = origin.arrive(&part(offset, len), body, now);
            assert!(matches!(arrival, Arrival::Malformed(_)), "{arrival:?}");
        }
    }

    #[test]
    fn what_is_lost_is_not_waited_for() {
        let (mut origin, now) = origin();
        origin.arrive(&packet(10, 2), &[], now);
        origin.deliver(1, 0, 1 << 20);
        assert_eq!((origin.delivered(), origin.undelivered()), (11, 1));
        let mut offer = Header::new(What::Offer, 1);
        (offer.number, offer.other) = (1000, 1000);
        assert_eq!(origin.offer(&offer, true, now), 988);
        origin.deliver(1, 0, 1 << 20);
        assert_eq!((origin.delivered(), origin.undelivered()), (1000, 0));
    }

    #[test]
    fn messages_for_another_bridge_are_ignored_until_this_one_gets_them() {
        let (mut origin, now) = origin();
        let mut offer = Header::new(What::Offer, 1);
        (offer.number, offer.other) = (12, 11);
        assert_eq!(origin.offer(&offer, false, now), 0);
        assert!(!origin.lacks);
        assert_eq!(origin.arrive(&packet(11, 1), &[], now), Arrival::Nothing);
        (offer.number, offer.other) = (20, 15);
        assert_eq!(origin.offer(&offer, true, now), 0);
        assert!(origin.lacks);
        assert_eq!(origin.arrive(&packet(15, 5), &[], now), Arrival::Next(0));
    }

    #[test]
    fn a_silent_bridge_is_forgotten_only_for_another_one() {
        let (origin, now) = origin();
        let mut origins = HashMap::new();
        for instance in 0..MOST as u64 {
            assert!(make_place(&mut origins, now + 2 * FORGOTTEN));
            let seen = now + Duration::from_secs(instance);
            origins.insert(
                instance,
                Origin {
                    seen,
                    ..origin.clone()
                },
            );
        }
        assert!(!make_place(
            &mut origins,
            now + FORGOTTEN - Duration::from_nanos(1)
        ));
        assert!(make_place(&mut origins, now + FORGOTTEN));
        assert!(!origins.contains_key(&0) && origins.len() == MOST - 1);
    }
}
