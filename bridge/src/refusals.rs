//! The log of refusals, and of bridges that join and end: one line for each peer and reason, and later the number of
//! repetitions.
//!
//! A hostile or outdated peer can send the same packet again and again, or packets that are refused for a new reason
//! each time; and it can join and end in turn. So the number of lines for each peer and reason is bounded, and so is
//! the number of peers and reasons.

use crate::{counters::Counters, lock};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tracing::{error, info, warn};

/// The time between two lines about the same peer and reason.
const PAUSE: Duration = Duration::from_secs(10);
/// The largest number of peers and reasons that have lines of their own.
const MOST: usize = 64;
/// The reason that stands for all further ones.
const OTHERS: &str = "further peers and reasons";

/// The refusals of an object.
#[derive(Debug)]
pub struct Refusals {
    counters: Arc<Counters>,
    seen: Mutex<HashMap<Refusal, Repeated>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refusal {
    kind: Kind,
    peer: String,
    why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Packet,
    Mismatch,
    Failure,
    News,
}

#[derive(Debug)]
struct Repeated {
    /// The number of repetitions since the last line.
    times: u64,
    /// When the next line is due.
    due: Instant,
}

impl Refusals {
    /// Returns the refusals of the object with these counters.
    #[must_use]
    pub fn new(counters: &Arc<Counters>) -> Refusals {
        Refusals {
            counters: Arc::clone(counters),
            seen: Mutex::default(),
        }
    }

    /// Counts a packet that is refused.
    pub fn packet(&self, peer: &str, why: &str) {
        self.counters.refused.fetch_add(1, Relaxed);
        self.add(Kind::Packet, peer, why, Instant::now());
    }

    /// Logs and counts that nothing is carried between the object and that of a peer. Repetitions are not counted.
    pub fn mismatch(&self, peer: u64, why: &str) {
        let peer = format!("{peer:016x}");
        if self.add(Kind::Mismatch, &peer, why, Instant::now()) {
            self.counters.mismatches.fetch_add(1, Relaxed);
        }
    }

    /// Logs that the object cannot be used now.
    pub fn failure(&self, why: &str) {
        self.add(Kind::Failure, "", why, Instant::now());
    }

    /// Logs that a peer has joined or ended.
    pub fn news(&self, peer: &str, what: &str) {
        self.add(Kind::News, peer, what, Instant::now());
    }

    /// Logs a refusal, or counts it as a repetition if this peer was refused for this reason a short time ago. Returns
    /// whether it was logged.
    fn add(&self, kind: Kind, peer: &str, why: &str, now: Instant) -> bool {
        let (peer, why) = (peer.to_owned(), why.to_owned());
        let mut refusal = Refusal { kind, peer, why };
        let mut seen = lock(&self.seen);
        if seen.len() >= MOST && !seen.contains_key(&refusal) {
            (refusal.peer, refusal.why) = (String::new(), OTHERS.to_owned());
        }
        if let Some(repeated) = seen.get_mut(&refusal) {
            repeated.times += 1;
            return false;
        }
        self.log(&refusal, None);
        let due = now + PAUSE;
        seen.insert(refusal, Repeated { times: 0, due });
        true
    }

    /// Logs the numbers of repetitions that are due. Returns the number of lines.
    pub fn log_repeated(&self, now: Instant) -> usize {
        let mut lines = 0;
        lock(&self.seen).retain(|refusal, repeated| {
            if now < repeated.due {
                return true;
            }
            let times = std::mem::take(&mut repeated.times);
            repeated.due = now + PAUSE;
            if times > 0 {
                self.log(refusal, Some(times));
                lines += 1;
            }
            times > 0
        });
        lines
    }

    fn log(&self, Refusal { kind, peer, why }: &Refusal, repeated: Option<u64>) {
        let object = self.counters.name();
        match kind {
            Kind::Packet => warn!(object, peer, repeated, "refused a packet: {why}"),
            Kind::Mismatch => error!(object, peer, repeated, "{why}"),
            Kind::Failure => warn!(object, repeated, "{why}; trying again"),
            Kind::News => info!(object, peer, repeated, "{why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::AllCounters;

    fn refusals() -> (Refusals, Instant) {
        (
            Refusals::new(&AllCounters::default().add("publish", "orders")),
            Instant::now(),
        )
    }

    #[test]
    fn each_peer_and_reason_is_logged_once() {
        let (refusals, now) = refusals();
        let add = |peer, why| refusals.add(Kind::Packet, peer, why, now);
        assert!(add("one", "short") && add("two", "short") && add("one", "long"));
        for _ in 0..1000 {
            assert!(!add("one", "short") && !add("two", "short"));
        }
    }

    #[test]
    fn repetitions_are_logged_as_a_count_after_a_pause() {
        let (refusals, now) = refusals();
        let add = |at| refusals.add(Kind::Mismatch, "one", "it differs", at);
        assert!(add(now) && !add(now) && !add(now));
        assert_eq!(refusals.log_repeated(now), 0);
        assert_eq!(refusals.log_repeated(now + PAUSE), 1);
        assert!(!add(now + PAUSE));
        assert_eq!(refusals.log_repeated(now + PAUSE), 0);
        assert_eq!(refusals.log_repeated(now + 2 * PAUSE), 1);
    }

    #[test]
    fn what_was_not_repeated_for_a_pause_is_logged_at_once_again() {
        let (refusals, now) = refusals();
        let add = |at| refusals.add(Kind::Packet, "one", "short", at);
        assert!(add(now));
        assert_eq!(refusals.log_repeated(now + PAUSE), 0);
        assert!(add(now + PAUSE));
    }

    #[test]
    fn peers_and_reasons_beyond_the_limit_share_one_line() {
        let (refusals, now) = refusals();
        let add = |number: usize| refusals.add(Kind::Packet, &number.to_string(), "short", now);
        let lines = (0..10_000).filter(|&number| add(number)).count();
        assert_eq!(lines, MOST + 1);
        assert_eq!(refusals.log_repeated(now + PAUSE), 1);
    }

    #[test]
    fn a_bridge_that_joins_and_ends_in_turn_has_a_line_for_each() {
        let (refusals, now) = refusals();
        for _ in 0..1000 {
            refusals.news("one", "joined");
            refusals.news("one", "ended");
        }
        assert_eq!(lock(&refusals.seen).len(), 2);
        assert_eq!(refusals.log_repeated(now + 2 * PAUSE), 2);
        assert_eq!(refusals.counters.refused.load(Relaxed), 0);
    }
}
