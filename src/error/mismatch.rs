//! How a segment differs from the object that is wanted. What was found there may be any bytes.

use crate::{
    explain::{Bytes, ShownPath},
    kind::{DROP_OLDEST, Kind, LOSSY, MANY_SENDERS},
    memory::Text,
    object::rwlock,
};
use core::fmt;

/// The difference.
#[derive(Clone, Debug)]
pub(crate) enum Mismatch {
    /// It holds another kind of object; the number is the kind's.
    Kind {
        found: u32,
        wanted: Kind,
    },
    Shape {
        created: Shape,
        wanted: Shape,
    },
    /// It is the object of another name, or of another path and project id, which have no name.
    Name {
        found: Text<257>,
        wanted: Text<257>,
    },
    /// The version of the header.
    Version {
        found: u32,
        known: u32,
    },
    /// The program that created it has another byte order, or another pointer width, in bits.
    Machine {
        width: Option<u32>,
    },
    /// The header is malformed.
    Header(&'static str),
}

/// The size and the layout of what an object holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub kind: Kind,
    /// The size of the payload; `None` for any.
    pub size: Option<u64>,
    /// The options of its kind; `None` for any.
    pub options: Option<u32>,
    pub layout: Text<129>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Kind { found, wanted } => {
                let mut kinds = Kind::ALL.into_iter();
                match kinds.find(|&kind| kind as u32 == *found) {
                    Some(kind) => write!(f, "the segment holds a {}", kind.name())?,
                    None => write!(
                        f,
                        "the segment holds an object of kind {found}, which this version of the \
                         library does not know"
                    )?,
                }
                write!(
                    f,
                    ", and a {} was asked for; take another name",
                    wanted.name()
                )
            }
            Mismatch::Shape { created, wanted } if created == wanted => f.write_str(
                "its size and its layout are those asked for, but not its alignment or its \
                 fingerprint: its header has been overwritten; create the object again in a new \
                 segment",
            ),
            Mismatch::Shape { created, wanted } => write!(
                f,
                "created with {created}, asked for with {wanted}; change one of the programs, and create \
                 the object again in a new segment"
            ),
            Mismatch::Name { found, wanted } if found.is_empty() && wanted.is_empty() => f
                .write_str(
                    "another path and project id make the same key, and the segment under it is \
                 theirs; use another path, another project id, or a name",
                ),
            Mismatch::Name { found, wanted } => write!(
                f,
                "{} and {} make the same key, and the segment under it is that of {}; take \
                 another name",
                Origin(wanted),
                Origin(found),
                Origin(found)
            ),
            Mismatch::Version { found, known } => write!(
                f,
                "another version of this library created it: its header has layout version {found}, \
                 and this library knows version {known}; use one version everywhere, and create the \
                 object again in a new segment"
            ),
            Mismatch::Machine { width: Some(width) } => write!(
                f,
                "a program with {width}-bit pointers created it, and this program has {}-bit pointers",
                usize::BITS
            ),
            Mismatch::Machine { width: None } => {
                f.write_str("a program with another byte order created it")
            }
            Mismatch::Header(what) => write!(
                f,
                "its header is malformed ({what}): another program has overwritten it; create the \
                 object again in a new segment"
            ),
        }
    }
}

/// What a key was made from: a name, or if that is empty a path.
struct Origin<'a>(&'a [u8]);

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("a path and project id"),
            name => ShownPath(name).fmt(f),
        }
    }
}

/// `24 bytes of layout "pose v1"`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |size| Bytes(usize::try_from(size).unwrap_or(usize::MAX));
        match (self.kind, self.size, self.options) {
            (Kind::Ring, Some(bytes), Some(options)) => {
                let many = match options & MANY_SENDERS {
                    0 => "one sender",
                    _ => "many senders",
                };
                write!(f, "a capacity of {} for {many}", size(bytes))?;
                if options & DROP_OLDEST != 0 {
                    f.write_str(", dropping the oldest message")?;
                }
            }
            (Kind::Broadcast, Some(bytes), Some(options)) => {
                let mode = match options & LOSSY {
                    0 => "lossless",
                    _ => "lossy",
                };
                write!(f, "a capacity of {}, {mode}", size(bytes))?;
            }
            (Kind::Latest, _, Some(bytes)) => write!(f, "{}", size(u64::from(bytes)))?,
            (Kind::Mutex, Some(bytes), _) => write!(f, "{}", size(bytes))?,
            (Kind::RwLock, Some(bytes), _) => {
                write!(f, "{}", size(rwlock::value_size(bytes)))?;
            }
            _ => f.write_str("any size")?,
        }
        match &*self.layout {
            // Most rings have none.
            [] if self.kind == Kind::Ring => Ok(()),
            [] => f.write_str(" and no name of a layout"),
            layout => write!(f, " of layout {}", ShownPath(layout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_named() {
        let shape = |size, layout: &[u8]| Shape {
            kind: Kind::Mutex,
            size: Some(size),
            options: Some(0),
            layout: Text::new(layout),
        };
        let mismatch = Mismatch::Shape {
            created: shape(24, b"pose v1"),
            wanted: shape(32, b"pose v2"),
        };
        assert_eq!(
            mismatch.to_string(),
            "created with 24 bytes of layout \"pose v1\", asked for with 32 bytes of layout \"pose \
             v2\"; change one of the programs, and create the object again in a new segment"
        );
    }

    #[test]
    fn hostile_bytes_stay_on_one_line() {
        let mismatch = Mismatch::Name {
            found: Text::new(&b"\x1b[2J\n\xff\0".repeat(60)),
            wanted: Text::new(b"orders"),
        };
        let text = mismatch.to_string();
        assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
        assert!(text.len() < 4096);
    }
}
