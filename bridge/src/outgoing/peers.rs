//! The bridges that subscribe to an object, and how much each has delivered.

use crate::{
    HEARTBEAT, SILENT,
    wire::{Header, JOINS, LACKS},
};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The largest number of bridges that subscribe to the same object.
const MOST: usize = 64;

/// The effect of a want.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The bridge was known, and its numbers are updated.
    Known,
    /// The bridge gets messages from now on.
    Joined,
    /// The bridge gets no messages, for this reason.
    Refused(String),
}

/// The bridges that subscribe to an object.
#[derive(Debug)]
pub struct Peers {
    peers: HashMap<u64, Peer>,
    /// Whether one bridge at a time gets the messages.
    for_one: bool,
    timeout: Duration,
    /// The number of the first message that the only bridge had not delivered when it ended.
    left_at: Option<u64>,
    /// Whether a bridge has said something since this was last set to false.
    pub has_news: bool,
    /// Whether a bridge that has no value has joined since `take_joined` last returned true.
    has_joined: bool,
    /// When `take_joined` last returned true.
    welcomed: Option<Instant>,
    /// When `take_lacking` last returned a number.
    resent: Option<Instant>,
}

#[derive(Debug)]
struct Peer {
    name: String,
    /// The number of the message that it expects next.
    expects: u64,
    /// The number of the first message that it has not delivered.
    delivered: u64,
    /// The round in which it noticed a gap; `None` if it lacks no messages.
    lacks: Option<u64>,
    seen: Instant,
}

impl Peer {
    fn is_heard(&self, now: Instant) -> bool {
        now.duration_since(self.seen) < SILENT
    }
}

impl Peers {
    /// Returns an empty list. With `for_one`, it has one bridge at a time, which is dropped only for another one;
    /// otherwise, a bridge that is silent for `timeout` is dropped.
    #[must_use]
    pub fn new(for_one: bool, timeout: Duration) -> Peers {
        Peers {
            peers: HashMap::new(),
            for_one,
            timeout,
            left_at: None,
            has_news: false,
            has_joined: false,
            welcomed: None,
            resent: None,
        }
    }

    /// Handles a want. Its numbers must not be greater than `next`, the number of the next message to be sent.
    pub fn want(&mut self, want: &Header, name: &str, next: u64, now: Instant) -> Answer {
        if want.number > next || want.other > want.number {
            let text = format!(
                "it expects message {} and has delivered those before {}, but {next} is the next",
                want.number, want.other
            );
            return Answer::Refused(text);
        }
        let is_known = self.peers.contains_key(&want.from);
        if !is_known && let Some(why) = self.has_no_place(now) {
            return Answer::Refused(why);
        }
        // A bridge that joins may not know yet what the last one has delivered.
        let delivered = self.left_at.unwrap_or_default();
        let peer = self.peers.entry(want.from).or_insert_with(|| Peer {
            name: name.to_owned(),
            expects: want.number,
            delivered,
            lacks: None,
            seen: now,
        });
        peer.expects = want.number;
        peer.delivered = peer.delivered.max(want.other);
        peer.lacks = (want.flags & LACKS != 0).then_some(want.round);
        peer.seen = now;
        self.has_news = true;
        self.has_joined |= want.flags & JOINS != 0;
        if is_known {
            Answer::Known
        } else {
            Answer::Joined
        }
    }

    /// Returns why another bridge cannot join; `None` if it can. Removes the only bridge if that is silent.
    fn has_no_place(&mut self, now: Instant) -> Option<String> {
        if !self.for_one {
            return (self.peers.len() >= MOST).then(|| format!("{MOST} bridges subscribe already"));
        }
        let (&instance, peer) = self.peers.iter().next()?;
        if peer.is_heard(now) {
            return Some(format!(
                "only one bridge at a time may subscribe, and {} does",
                peer.name
            ));
        }
        self.remove(instance, 0);
        None
    }

    /// Handles the goodbye of a bridge, which states how much it has delivered. Returns whether the bridge was known.
    pub fn goodbye(&mut self, goodbye: &Header, next: u64) -> bool {
        let is_possible = goodbye.other <= next;
        self.remove(goodbye.from, if is_possible { goodbye.other } else { 0 })
    }

    /// Removes a bridge, which has delivered the messages before this number. Returns whether it was known.
    pub fn remove(&mut self, instance: u64, delivered: u64) -> bool {
        let Some(peer) = self.peers.remove(&instance) else {
            return false;
        };
        if self.for_one {
            self.left_at = Some(peer.delivered.max(delivered));
        }
        self.has_news = true;
        true
    }

    /// Returns the instance of the bridge that gets the messages, if only one at a time gets them; 0 if none does.
    #[must_use]
    pub fn only(&self) -> u64 {
        let first = self.peers.keys().next().filter(|_| self.for_one);
        first.copied().unwrap_or_default()
    }

    /// Drops the bridges that were silent for too long. Returns their names.
    pub fn expire(&mut self, now: Instant) -> Vec<String> {
        if self.for_one {
            return Vec::new();
        }
        let timeout = self.timeout;
        let silent = self
            .peers
            .extract_if(|_, peer| now.duration_since(peer.seen) >= timeout);
        silent.map(|(_, peer)| peer.name).collect()
    }

    /// Returns the number of the first message that some bridge has not delivered; `None` if there never was a
    /// bridge.
    #[must_use]
    pub fn delivered(&self) -> Option<u64> {
        self.peers
            .values()
            .map(|peer| peer.delivered)
            .min()
            .or(self.left_at)
    }

    /// Returns the number of the first message that no bridge has delivered; `None` if there is no bridge.
    #[must_use]
    pub fn fastest(&self) -> Option<u64> {
        self.peers.values().map(|peer| peer.delivered).max()
    }

    /// Returns the number of the first message that some bridge lacks, if a bridge noticed a gap in this round. Each
    /// gap is returned once, and at most one per heartbeat: a hostile bridge can claim a gap in every packet, and each
    /// gap makes the publisher send a window of packets to all bridges.
    pub fn take_lacking(&mut self, round: u64, now: Instant) -> Option<u64> {
        if is_early(self.resent, now) {
            return None;
        }
        let mut first = None;
        for peer in self.peers.values_mut() {
            if peer.lacks.take() == Some(round) {
                first = Some(first.map_or(peer.expects, |first: u64| first.min(peer.expects)));
            }
        }
        if first.is_some() {
            self.resent = Some(now);
        }
        first
    }

    /// Returns whether a bridge that has no value has joined since the last call that returned true. Returns true at
    /// most once per heartbeat: each time, all bridges get an offer and the newest value, so a hostile bridge that
    /// joins in every packet would otherwise use up the network.
    pub fn take_joined(&mut self, now: Instant) -> bool {
        if !self.has_joined || is_early(self.welcomed, now) {
            return false;
        }
        self.has_joined = false;
        self.welcomed = Some(now);
        true
    }

    /// Returns whether one bridge at a time gets the messages.
    #[must_use]
    pub fn is_for_one(&self) -> bool {
        self.for_one
    }

    /// Returns the number of bridges that are not silent.
    #[must_use]
    pub fn heard(&self, now: Instant) -> usize {
        let heard = self.peers.values().filter(|peer| peer.is_heard(now));
        heard.count()
    }

    /// Returns whether there are no bridges.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

/// Returns whether less than a heartbeat has passed since `last`.
fn is_early(last: Option<Instant>, now: Instant) -> bool {
    last.is_some_and(|last| now.duration_since(last) < HEARTBEAT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::What;

    fn want(from: u64, expects: u64, delivered: u64) -> Header {
        let mut header = Header::new(What::Want, from);
        (header.number, header.other) = (expects, delivered);
        header
    }

    fn peers(for_one: bool) -> (Peers, Instant) {
        (Peers::new(for_one, Duration::from_secs(30)), Instant::now())
    }

    #[test]
    fn the_slowest_bridge_decides_what_is_delivered() {
        let (mut peers, now) = peers(false);
        assert_eq!((peers.delivered(), peers.fastest()), (None, None));
        assert_eq!(peers.want(&want(1, 9, 7), "one", 10, now), Answer::Joined);
        assert_eq!(peers.want(&want(2, 9, 4), "two", 10, now), Answer::Joined);
        assert_eq!((peers.delivered(), peers.fastest()), (Some(4), Some(7)));
        assert_eq!(peers.want(&want(2, 9, 8), "two", 10, now), Answer::Known);
        assert_eq!(peers.delivered(), Some(7));
    }

    #[test]
    fn a_bridge_that_acknowledges_what_was_not_sent_is_refused() {
        let (mut peers, now) = peers(false);
        for header in [want(1, 11, 1), want(1, 5, 6)] {
            assert!(matches!(
                peers.want(&header, "one", 10, now),
                Answer::Refused(_)
            ));
        }
        assert!(peers.is_empty());
    }

    #[test]
    fn what_a_bridge_says_is_news_and_what_is_refused_is_not() {
        let (mut peers, now) = peers(true);
        assert!(!peers.has_news);
        for (packet, is_news) in [(want(1, 5, 3), true), (want(1, 11, 3), false)] {
            peers.has_news = false;
            peers.want(&packet, "one", 10, now);
            assert_eq!(peers.has_news, is_news);
        }
        assert!(peers.goodbye(&want(1, 5, 5), 10) && peers.has_news);
    }

    #[test]
    fn a_ring_goes_to_one_bridge_until_that_is_silent() {
        let (mut peers, now) = peers(true);
        peers.want(&want(1, 0, 0), "one", 0, now);
        let Answer::Refused(why) = peers.want(&want(2, 0, 0), "two", 0, now) else {
            panic!("the second bridge was not refused");
        };
        assert!(why.contains("and one does"), "{why}");
        assert_eq!(
            peers.want(&want(2, 0, 0), "two", 0, now + SILENT),
            Answer::Joined
        );
        assert_eq!(peers.peers.len(), 1);
    }

    #[test]
    fn a_silent_bridge_is_not_heard() {
        let (mut peers, now) = peers(true);
        peers.want(&want(1, 0, 0), "one", 0, now);
        assert_eq!((peers.heard(now), peers.heard(now + SILENT)), (1, 0));
    }

    #[test]
    fn the_only_bridge_of_a_ring_is_never_dropped_and_others_are() {
        for for_one in [true, false] {
            let (mut peers, now) = peers(for_one);
            peers.want(&want(1, 0, 0), "one", 0, now);
            let expired = peers.expire(now + Duration::from_secs(30));
            assert_eq!(
                (expired.len(), peers.peers.len()),
                if for_one { (0, 1) } else { (1, 0) }
            );
        }
    }

    #[test]
    fn a_bridge_that_ends_says_what_it_has_delivered() {
        let (mut peers, now) = peers(true);
        peers.want(&want(1, 5, 3), "one", 10, now);
        assert!(peers.goodbye(&want(1, 5, 5), 10));
        assert!(!peers.goodbye(&want(1, 5, 5), 10));
        assert_eq!((peers.peers.len(), peers.delivered()), (0, Some(5)));
    }

    #[test]
    fn the_next_bridge_begins_where_the_last_one_has_ended() {
        let (mut peers, now) = peers(true);
        assert_eq!(peers.only(), 0);
        peers.want(&want(1, 5, 3), "one", 10, now);
        assert_eq!(peers.only(), 1);
        assert!(peers.goodbye(&want(1, 5, 5), 10));
        peers.want(&want(2, 3, 3), "two", 10, now); // it has joined before it knew that
        assert_eq!((peers.only(), peers.delivered()), (2, Some(5)));
        assert!(peers.remove(2, 0) && !peers.remove(2, 0)); // it refuses the object
        assert_eq!((peers.peers.len(), peers.delivered()), (0, Some(5)));
    }

    #[test]
    fn what_is_lacking_is_sent_again_once_in_each_round() {
        let (mut peers, now) = peers(false);
        let mut header = want(1, 3, 3);
        (header.flags, header.round) = (LACKS, 5);
        peers.want(&header, "one", 10, now);
        assert_eq!(peers.take_lacking(5, now), Some(3));
        assert_eq!(peers.take_lacking(5, now + HEARTBEAT), None);
        peers.want(&header, "one", 10, now);
        assert_eq!(peers.take_lacking(6, now + HEARTBEAT), None);
    }

    #[test]
    fn what_is_lacking_again_soon_is_sent_again_after_a_heartbeat() {
        let (mut peers, now) = peers(false);
        let mut header = want(1, 3, 3);
        for (round, expected) in [(5, Some(3)), (6, None)] {
            (header.flags, header.round) = (LACKS, round);
            peers.want(&header, "one", 10, now);
            assert_eq!(peers.take_lacking(round, now), expected);
        }
        assert_eq!(peers.take_lacking(6, now + HEARTBEAT), Some(3));
    }

    #[test]
    fn a_bridge_that_joins_in_every_packet_counts_once_in_a_heartbeat() {
        let (mut peers, now) = peers(false);
        let mut header = want(1, 0, 0);
        peers.want(&header, "one", 0, now);
        assert!(!peers.take_joined(now)); // it has a value
        header.flags = JOINS;
        let mut counted = 0;
        for millis in 0..1000 {
            let now = now + Duration::from_millis(millis);
            peers.want(&header, "one", 0, now);
            counted += usize::from(peers.take_joined(now));
        }
        assert_eq!(counted, 4);
    }

    #[test]
    fn a_bridge_that_joins_soon_after_another_one_counts_later() {
        let (mut peers, now) = peers(false);
        for (from, counts_at_once) in [(1, true), (2, false)] {
            let mut header = want(from, 0, 0);
            header.flags = JOINS;
            peers.want(&header, "one", 0, now);
            assert_eq!(peers.take_joined(now), counts_at_once);
        }
        assert!(peers.take_joined(now + HEARTBEAT) && !peers.take_joined(now + 2 * HEARTBEAT));
    }
}
