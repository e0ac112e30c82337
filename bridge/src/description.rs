//! The description of an object, which is read from its segment, sent with every offer, and compared on the other
//! machine.

use crate::{Failure, wire::u64_at};
use shmkey::{ErrorKind, Key, Segment};
use std::{
    fmt,
    sync::atomic::{Ordering, fence},
};

/// The kinds of objects that are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Its posts are carried.
    Semaphore = 2,
    /// Its newest value is carried.
    Latest = 3,
    /// Its messages are carried to one other machine.
    Ring = 4,
    /// Its messages are carried to all machines that subscribe.
    Broadcast = 5,
}

impl Kind {
    fn of(number: u32) -> Option<Kind> {
        let all = [Kind::Semaphore, Kind::Latest, Kind::Ring, Kind::Broadcast];
        all.into_iter().find(|&kind| kind as u32 == number)
    }

    /// Returns whether only one subscribing bridge at a time gets the object's messages.
    #[must_use]
    pub fn is_for_one(self) -> bool {
        matches!(self, Kind::Semaphore | Kind::Ring)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Semaphore => "semaphore",
            Kind::Latest => "latest value",
            Kind::Ring => "ring",
            Kind::Broadcast => "broadcast",
        })
    }
}

/// The description of an object. An object is carried only if all of this is the same on both machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The kind of the object.
    pub kind: Kind,
    /// 1 for little-endian, 2 for big-endian.
    pub order: u8,
    /// The width of a pointer in bits.
    pub width: u8,
    /// The options of its kind, as in its header.
    pub options: u32,
    /// The size of its payload in bytes.
    pub size: u64,
    /// The fingerprint of its payload's layout.
    pub fingerprint: u64,
    /// The capacity of a ring or a broadcast in bytes.
    pub capacity: u64,
    /// The name of its layout.
    pub layout: String,
}

/// The byte order of this machine.
const ORDER: u8 = if cfg!(target_endian = "big") { 2 } else { 1 };
/// How many bytes of an object's header are read.
const HEADER: usize = 512;
const READY: u32 = 2;
/// The length of a description in a packet, without the layout's name.
const FIXED: usize = 32;

impl Description {
    /// Reads the description of the object with this name. Returns `None` if it does not exist or is not ready yet.
    ///
    /// # Errors
    /// If the segment with the name's key cannot be read, holds no object or one of another name, or if the object is
    /// of a kind that is not carried.
    pub fn of(name: &str) -> Result<Option<Description>, Failure> {
        let key = Key::from_name(name)?;
        let memory = match Segment::open(key).and_then(|segment| segment.attach_read_only()) {
            Ok(memory) => memory,
            Err(error) if error.kind() == ErrorKind::KeyNotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut header = [0; HEADER];
        if memory.read_at(0, &mut header).is_err() || header[..8] != *b"shmkey\r\n" {
            let text = format!("the segment with the key {key} of {name:?} holds no object");
            return Err(Failure(text));
        }
        if word(&header, 24) != READY {
            return Ok(None);
        }
        // Acquire: pairs with the creator's release of the state, which was read above, so this second read finds all
        // that the creator wrote before it.
        fence(Ordering::Acquire);
        let _ = memory.read_at(0, &mut header);
        Description::of_header(name, &header).map(Some)
    }

    fn of_header(name: &str, header: &[u8; HEADER]) -> Result<Description, Failure> {
        let found = &header[128..384][..(word(header, 80) as usize).min(256)];
        if !found.is_empty() && found != name.as_bytes() {
            let found = String::from_utf8_lossy(found);
            return Err(Failure(format!(
                "the key of {name:?} belongs to {found:?}; choose another name"
            )));
        }
        let layout = &header[384..][..(word(header, 84) as usize).min(128)];
        let layout = std::str::from_utf8(layout);
        Ok(Description {
            kind: kind(name, word(header, 20))?,
            order: ORDER,
            width: usize::BITS as u8,
            options: word(header, 88),
            size: native(header, 56),
            fingerprint: native(header, 72),
            capacity: native(header, 104),
            layout: layout
                .map_err(|_| Failure(format!("the layout of {name:?} is not UTF-8")))?
                .to_owned(),
        })
    }

    /// Returns the description as if its object had been created on this machine.
    #[must_use]
    pub fn native(there: &Description) -> Description {
        Description {
            order: ORDER,
            width: usize::BITS as u8,
            ..there.clone()
        }
    }

    /// Returns whether a sender of the object never waits, as for a ring that drops the oldest messages, a lossy
    /// broadcast, or a latest value.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        match self.kind {
            Kind::Ring => self.options & 2 != 0,
            Kind::Broadcast => self.options & 1 != 0,
            Kind::Latest => true,
            Kind::Semaphore => false,
        }
    }

    /// Returns an upper bound of the length of a message of this object, in bytes.
    #[must_use]
    pub fn longest(&self) -> u64 {
        match self.kind {
            Kind::Ring | Kind::Broadcast => self.capacity,
            // A message is a version and a value.
            Kind::Latest => 8 + u64::from(self.options),
            Kind::Semaphore => 0,
        }
    }

    /// Returns whether a message of this object may have this length.
    #[must_use]
    pub fn allows(&self, len: u64) -> bool {
        match self.kind {
            Kind::Ring | Kind::Broadcast => len <= self.longest(),
            Kind::Latest | Kind::Semaphore => len == self.longest(),
        }
    }

    /// Returns the first difference between the object here and the one there, as a sentence.
    #[must_use]
    pub fn difference(&self, there: &Description) -> Option<String> {
        fn differ<T: PartialEq + fmt::Debug>(what: &str, here: T, there: T) -> Option<String> {
            (here != there).then(|| format!("{what} differs: {here:?} here, {there:?} there"))
        }
        let kind = |kind: Kind| kind.to_string();
        let order = |order: u8| {
            if order == 1 {
                "little-endian"
            } else {
                "big-endian"
            }
        };
        differ("the byte order", order(self.order), order(there.order))
            .or_else(|| differ("the width of a pointer", self.width, there.width))
            .or_else(|| differ("the kind of object", kind(self.kind), kind(there.kind)))
            .or_else(|| differ("the layout name", &self.layout, &there.layout))
            .or_else(|| differ("the capacity", self.capacity, there.capacity))
            .or_else(|| match self.kind {
                Kind::Latest => differ("the size of the value", self.options, there.options),
                _ => differ(
                    "the set of options",
                    self.option_names(),
                    there.option_names(),
                ),
            })
            .or_else(|| differ("the size of the payload", self.size, there.size))
            .or_else(|| {
                let hex = |number| format!("{number:016x}");
                differ(
                    "the fingerprint of the layout",
                    hex(self.fingerprint),
                    hex(there.fingerprint),
                )
            })
    }

    /// Returns the names of the options, and the bits of those that are unknown. Two objects of the same kind have the
    /// same text only if they have the same options.
    fn option_names(&self) -> String {
        let known: &[(u32, &str)] = match self.kind {
            Kind::Ring => &[(1, "many senders"), (2, "drop oldest")],
            Kind::Broadcast => &[(1, "lossy")],
            Kind::Latest | Kind::Semaphore => &[],
        };
        let mut unknown = self.options;
        let mut names = Vec::new();
        for (bit, name) in known {
            if unknown & bit != 0 {
                names.push((*name).to_owned());
            }
            unknown &= !bit;
        }
        if unknown != 0 {
            names.push(format!("unknown options {unknown:#x}"));
        }
        if names.is_empty() {
            names.push("none".to_owned());
        }
        names.join(", ")
    }

    /// Appends the description to the body of a packet.
    pub fn write(&self, body: &mut Vec<u8>) {
        body.extend([
            self.kind as u8,
            self.order,
            self.width,
            self.layout.len() as u8,
        ]);
        body.extend(self.options.to_le_bytes());
        for number in [self.size, self.fingerprint, self.capacity] {
            body.extend(number.to_le_bytes());
        }
        body.extend(self.layout.as_bytes());
    }

    /// Reads a description from the body of a packet. Returns it and the rest of the body; `None` if it is malformed,
    /// or if no object can have it, because its payload has no room for its longest message.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<(Description, &[u8])> {
        let (fixed, rest) = body.split_at_checked(FIXED)?;
        let (layout, rest) = rest.split_at_checked(fixed[3].into())?;
        let description = Description {
            kind: Kind::of(fixed[0].into())?,
            order: fixed[1],
            width: fixed[2],
            options: u32::from_le_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            size: u64_at(fixed, 8),
            fingerprint: u64_at(fixed, 16),
            capacity: u64_at(fixed, 24),
            layout: std::str::from_utf8(layout).ok()?.to_owned(),
        };
        (description.longest() <= description.size).then_some((description, rest))
    }
}

fn kind(name: &str, number: u32) -> Result<Kind, Failure> {
    let lock = match number {
        1 => "mutex",
        6 => "reader-writer lock",
        7 => "condition variable",
        _ => {
            let text = format!("{name:?} is an object of a kind that this version does not know");
            return Kind::of(number).ok_or(Failure(text));
        }
    };
    Err(Failure(format!(
        "{name:?} is a {lock}, and locks are not carried: while the link is cut, no machine can know whether the other \
         one still holds it, so both would have to wait forever or both would get it. Carry the value that it protects \
         as a latest value, or send changes to it through a ring to the machine that has it."
    )))
}

fn word(header: &[u8; HEADER], at: usize) -> u32 {
    u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// Returns the number at an offset, which is in this machine's byte order.
fn native(header: &[u8; HEADER], at: usize) -> u64 {
    u64::from_ne_bytes(u64_at(header, at).to_le_bytes())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn ring() -> Description {
        Description {
            kind: Kind::Ring,
            order: ORDER,
            width: 64,
            options: 1,
            size: 4096,
            fingerprint: 77,
            capacity: 4000,
            layout: "struct order".to_owned(),
        }
    }

    #[test]
    fn a_description_is_read_as_it_was_written() {
        let mut body = Vec::new();
        ring().write(&mut body);
        body.extend(b"rest");
        assert_eq!(Description::read(&body), Some((ring(), &b"rest"[..])));
        for len in 0..FIXED + 12 {
            assert_eq!(Description::read(&body[..len]), None);
        }
    }

    #[test]
    fn each_difference_is_named() {
        let other = |change: fn(&mut Description)| {
            let mut there = ring();
            change(&mut there);
            ring().difference(&there).unwrap()
        };
        assert_eq!(ring().difference(&ring()), None);
        assert!(other(|there| there.order = 3 - ORDER).contains("byte order"));
        assert!(
            other(|there| there.kind = Kind::Latest)
                .contains(r#""ring" here, "latest value" there"#)
        );
        assert!(other(|there| there.layout.clear()).contains("\"struct order\" here, \"\" there"));
        assert!(other(|there| there.capacity = 1).contains("4000 here, 1 there"));
        assert!(other(|there| there.options = 0).contains(r#""many senders" here, "none" there"#));
        assert!(other(|there| there.options = 3).contains(r#""many senders, drop oldest" there"#));
        assert!(other(|there| there.options = 1 | 8).contains(r#"unknown options 0x8" there"#));
        assert!(other(|there| there.fingerprint = 1).contains("fingerprint"));
    }

    #[test]
    fn locks_are_refused_with_the_reason() {
        for (number, name) in [
            (1, "mutex"),
            (6, "reader-writer lock"),
            (7, "condition variable"),
        ] {
            let Failure(text) = kind("door", number).unwrap_err();
            assert!(
                text.contains(name) && text.contains("while the link is cut"),
                "{text}"
            );
        }
    }
}
