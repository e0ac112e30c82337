//! An offer: the packet by which a publishing bridge describes an object, four times a second.

use crate::{
    description::{Description, Kind},
    wire::{self, Header, u64_at},
};

/// An offer. Its fields are those of a [`What::Offer`](wire::What::Offer) packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The header of its packet.
    pub header: Header,
    /// The description of the object.
    pub what: Description,
    /// The instance of the bridge that gets the messages, if only one at a time gets them ([`Kind::is_for_one`]); 0 if
    /// none does.
    pub to: u64,
    /// The name of the machine.
    pub name: String,
}

impl Offer {
    /// Returns its packet.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.what.write(&mut body);
        body.extend(self.to.to_le_bytes());
        body.extend(self.name.as_bytes());
        self.header.with_body(&body)
    }

    /// Reads an offer from the header and the body of its packet. Returns `None` if it is malformed.
    #[must_use]
    pub fn read(header: &Header, body: &[u8]) -> Option<Offer> {
        let (what, rest) = Description::read(body)?;
        let (to, name) = rest.split_at_checked(8)?;
        Some(Offer {
            header: *header,
            what,
            to: u64_at(to, 0),
            name: wire::text(name, 64),
        })
    }

    /// Returns whether the bridge with this instance gets the messages.
    #[must_use]
    pub fn is_to(&self, instance: u64) -> bool {
        !self.what.kind.is_for_one() || self.to == instance
    }

    /// Returns the number of the first message for a bridge that joins: of a broadcast, that of the next message; of
    /// any other object, that of the first message that the last bridge had not delivered.
    #[must_use]
    pub fn first(&self) -> u64 {
        if self.what.kind == Kind::Broadcast {
            self.header.number
        } else {
            self.header.other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{description::tests::ring, wire::What};

    #[test]
    fn an_offer_is_read_as_it_was_written_and_is_for_one_bridge_if_the_object_is() {
        let mut header = Header::new(What::Offer, 7);
        (header.number, header.other) = (9, 5);
        let (to, name) = (3, "there".to_owned());
        let what = ring();
        let mut offer = Offer {
            header,
            what,
            to,
            name,
        };
        let packet = offer.packet();
        let (header, body) = Header::read(&packet).unwrap();
        assert_eq!(Offer::read(&header, body).as_ref(), Some(&offer));
        assert_eq!(Offer::read(&header, &body[..body.len() - 6]), None);
        assert!(offer.is_to(3) && !offer.is_to(4));
        offer.what.kind = Kind::Broadcast;
        assert!(offer.is_to(4));
        assert_eq!(offer.first(), 9);
    }

    #[test]
    fn an_object_whose_longest_message_has_no_room_is_malformed() {
        let mut what = ring();
        what.capacity = what.size + 1;
        let header = Header::new(What::Offer, 7);
        let (to, name) = (0, String::new());
        let packet = Offer {
            header,
            what,
            to,
            name,
        }
        .packet();
        assert_eq!(Offer::read(&header, &packet[wire::HEADER..]), None);
    }
}
