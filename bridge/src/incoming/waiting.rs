//! The messages that wait for room in an object, in order.
//!
//! They are copied here: a packet of Zenoh, even a short one, is a part of a buffer of 64 KiB, which it would keep.

use crate::wire::HEADER;
use std::collections::VecDeque;

/// The messages of a packet, or a long message.
#[derive(Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The instance of the bridge that has sent them.
    pub from: u64,
    bytes: Vec<u8>,
    lengths: Vec<usize>,
    /// How many of them are delivered.
    done: usize,
}

/// The packets that wait.
#[derive(Debug, Default)]
pub struct Queue {
    packets: VecDeque<Waiting>,
    bytes: usize,
}

impl Waiting {
    /// Returns the messages that are not delivered.
    #[must_use]
    pub fn messages(&self) -> Vec<&[u8]> {
        let mut rest = &self.bytes[..];
        let all = self.lengths.iter().map(|&len| {
            let (message, later) = rest.split_at(len);
            rest = later;
            message
        });
        all.skip(self.done).collect()
    }

    /// Returns how many bytes it takes in a packet.
    fn len(&self) -> usize {
        HEADER + self.bytes.len() + 4 * self.lengths.len()
    }
}

impl Queue {
    /// Adds messages of a bridge.
    pub fn push(&mut self, from: u64, messages: &[&[u8]]) {
        self.add(
            Waiting {
                from,
                bytes: messages.concat(),
                lengths: messages.iter().map(|message| message.len()).collect(),
                done: 0,
            },
            VecDeque::push_back,
        );
    }

    /// Takes the first messages.
    pub fn pop(&mut self) -> Option<Waiting> {
        let first = self.packets.pop_front()?;
        self.bytes -= first.len();
        Some(first)
    }

    /// Puts the messages back that were taken last, if some are not delivered. Returns whether there are any.
    pub fn put_back(&mut self, mut first: Waiting, delivered: usize) -> bool {
        first.done += delivered;
        let has_more = first.done < first.lengths.len();
        if has_more {
            self.add(first, VecDeque::push_front);
        }
        has_more
    }

    /// Drops the messages of a bridge.
    pub fn drop_from(&mut self, from: u64) {
        self.packets.retain(|waiting| waiting.from != from);
        self.bytes = self.packets.iter().map(Waiting::len).sum();
    }

    /// Returns whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Returns how many bytes wait, as the windows of publishers count them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn add(&mut self, waiting: Waiting, push: fn(&mut VecDeque<Waiting>, Waiting)) {
        self.bytes += waiting.len();
        push(&mut self.packets, waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_in_order_and_what_is_not_delivered_comes_first_again() {
        let mut queue = Queue::default();
        queue.push(1, &[b"ab", b"", b"c"]);
        queue.push(2, &[b"d"]);
        assert_eq!(queue.bytes(), 2 * HEADER + 4 + 4 * 4);
        let first = queue.pop().unwrap();
        assert_eq!(first.messages(), [&b"ab"[..], b"", b"c"]);
        assert!(queue.put_back(first, 2));
        let first = queue.pop().unwrap();
        assert_eq!(first.messages(), [&b"c"[..]]);
        assert!(!queue.put_back(first, 1));
        assert_eq!(queue.pop().unwrap().messages(), [&b"d"[..]]);
        assert_eq!((queue.is_empty(), queue.bytes()), (true, 0));
    }

    #[test]
    fn the_messages_of_one_bridge_are_dropped_and_those_of_others_wait() {
        let mut queue = Queue::default();
        [1, 2, 1].iter().for_each(|&from| queue.push(from, &[b"x"]));
        queue.drop_from(1);
        assert_eq!(queue.bytes(), HEADER + 1 + 4);
        assert_eq!(queue.pop().unwrap().from, 2);
        assert!(queue.is_empty());
    }
}
