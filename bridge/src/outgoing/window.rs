//! The packets that were sent, and that some subscriber has not delivered.

use bytes::Bytes;
use std::collections::VecDeque;

/// A packet that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The number of its first message.
    pub number: u64,
    /// The number of its messages; 1 for a part of a message.
    pub count: u64,
    /// The bytes of the packet.
    pub packet: Bytes,
}

/// The packets that can be sent again.
#[derive(Debug, Default)]
pub struct Window {
    sent: VecDeque<Sent>,
    bytes: usize,
    /// The number of the first message that some subscriber has not delivered.
    base: u64,
    /// The number of the next message.
    next: u64,
}

impl Window {
    /// Adds a packet with the next `count` messages.
    pub fn push(&mut self, count: u64, packet: Bytes) {
        self.push_part(count, packet);
        self.next += count;
    }

    /// Adds a packet with a part of the next message, which a later packet completes.
    pub fn push_part(&mut self, count: u64, packet: Bytes) {
        self.bytes += packet.len();
        self.sent.push_back(Sent {
            number: self.next,
            count,
            packet,
        });
    }

    /// Forgets the packets whose messages are all before this number, because all subscribers have delivered those.
    pub fn forget(&mut self, delivered: u64) {
        self.base = self.base.max(delivered.min(self.next));
        while let Some(first) = self.sent.front()
            && first.number + first.count <= self.base
        {
            self.bytes -= first.packet.len();
            self.sent.pop_front();
        }
    }

    /// Returns the packets that have the message with this number or a later one.
    pub fn from(&self, number: u64) -> impl Iterator<Item = &Sent> {
        self.sent
            .iter()
            .filter(move |sent| sent.number + sent.count > number)
    }

    /// Returns the number of the first message that some subscriber has not delivered.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Returns the number of the next message.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Returns the number of bytes of the packets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of the packets.
    #[must_use]
    pub fn packets(&self) -> usize {
        self.sent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let mut window = Window::default();
        for count in [3, 1, 2] {
            window.push(count, Bytes::from_static(b"0123456789"));
        }
        window
    }

    #[test]
    fn a_packet_is_kept_until_its_last_message_is_delivered() {
        let mut window = window();
        window.forget(2);
        assert_eq!(
            (window.packets(), window.base(), window.bytes()),
            (3, 2, 30)
        );
        window.forget(3);
        assert_eq!(
            (window.packets(), window.base(), window.bytes()),
            (2, 3, 20)
        );
    }

    #[test]
    fn what_was_never_sent_is_not_forgotten() {
        let mut window = window();
        window.forget(100);
        assert_eq!((window.base(), window.next(), window.bytes()), (6, 6, 0));
        window.forget(1);
        assert_eq!(window.base(), 6);
    }

    #[test]
    fn packets_are_sent_again_from_a_message_on() {
        let window = window();
        let numbers = |from| {
            window
                .from(from)
                .map(|sent| sent.number)
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(0), [0, 3, 4]);
        assert_eq!(numbers(2), [0, 3, 4]);
        assert_eq!(numbers(5), [4]);
        assert!(numbers(6).is_empty());
    }

    #[test]
    fn the_parts_of_a_message_go_together() {
        let mut window = window();
        window.push_part(1, Bytes::from_static(b"first"));
        window.push(1, Bytes::from_static(b"last"));
        assert_eq!(window.next(), 7);
        window.forget(6);
        assert_eq!((window.packets(), window.bytes()), (2, 9));
        window.forget(7);
        assert_eq!(window.packets(), 0);
    }
}
