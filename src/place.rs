//! Where an object lies: in a segment of its own, found by name or key, or somewhere in a segment
//! that the user has attached.

use crate::{Attachment, Key, error::explain::ShownPath};
use std::{sync::Arc, time::Duration};

/// Where an object lies, and how to open it.
///
/// Wherever a place is asked for, a name will do: `Semaphore::open("slots", 4)`.
///
/// ```
/// use shmkey::Place;
/// use std::time::Duration;
///
/// let place = Place::named("slots")
///     .mode(0o660)                        // the group may use it, too
///     .timeout(Duration::from_secs(1));   // for whoever creates it to be done
/// ```
#[derive(Clone, Debug)]
pub struct Place {
    pub(crate) site: Site,
    pub(crate) create: bool,
    pub(crate) mode: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) layout: Box<str>,
}

#[derive(Clone, Debug)]
pub(crate) enum Site {
    /// A segment of its own. The name is kept in it, to tell it from another with the same key.
    Key { key: Key, name: Option<Box<[u8]>> },
    /// At an offset of a segment that is attached already.
    Within {
        memory: Arc<Attachment>,
        offset: usize,
    },
}

impl Site {
    /// The name, by which it is told from another with the same key; empty if it has none.
    pub fn name(&self) -> &[u8] {
        match self {
            Site::Key { name, .. } => name.as_deref().unwrap_or_default(),
            Site::Within { .. } => b"",
        }
    }

    /// Where it begins in its segment, in bytes.
    pub fn offset(&self) -> usize {
        match self {
            Site::Key { .. } => 0,
            Site::Within { offset, .. } => *offset,
        }
    }

    /// How error messages name what lies there, in the segment of this id.
    pub fn label(&self, id: i32) -> Box<str> {
        let label = match self {
            Site::Key {
                name: Some(name), ..
            } => format!("{} (id {id})", ShownPath(name)),
            Site::Key { key, .. } => format!("(key {key}, id {id})"),
            Site::Within { offset, .. } => format!("(id {id}, offset {offset})"),
        };
        label.into()
    }
}

impl Place {
    fn new(site: Site) -> Place {
        Place {
            site,
            create: true,
            mode: 0o600,
            timeout: Some(Duration::from_secs(5)),
            layout: "".into(),
        }
    }

    /// A segment of its own, under the key that [`Key::from_name`] makes of the name. Should
    /// another name make the same key, opening says so. At most 256 bytes.
    pub fn named(name: impl AsRef<[u8]>) -> Place {
        let name: Box<[u8]> = name.as_ref().into();
        // An empty name is refused when it is opened.
        let key = Key::from_name(&name).unwrap_or(Key::PRIVATE);
        Place::new(Site::Key {
            key,
            name: Some(name),
        })
    }

    /// A segment of its own, under this key, which must not be [`Key::PRIVATE`]. It is the same place
    /// as a name that makes this key.
    pub fn key(key: Key) -> Place {
        Place::new(Site::Key { key, name: None })
    }

    /// A part of a segment that is attached, from this offset on, which is a multiple of 64. All
    /// who open it must agree on the offset. The memory must be zero when the first one opens it: whatever else begins with 512 zeroes is taken
    /// for new, and overwritten.
    pub fn within(memory: Arc<Attachment>, offset: usize) -> Place {
        Place::new(Site::Within { memory, offset })
    }

    /// Only open what exists; do not create it.
    pub fn existing(mut self) -> Place {
        self.create = false;
        self
    }

    /// The permission bits, if a segment is created: 0600 unless told otherwise.
    pub fn mode(mut self, mode: u32) -> Place {
        self.mode = mode;
        self
    }

    /// A name for the layout of what the object holds, at most 128 bytes. All who open it must give
    /// the same; so two types of one size are not taken for each other.
    pub fn layout(mut self, name: &str) -> Place {
        self.layout = name.into();
        self
    }

    /// How long to wait for whoever is creating the object; 5 seconds unless told otherwise. If
    /// that one dies meanwhile, this one takes over.
    pub fn timeout(mut self, timeout: Duration) -> Place {
        self.timeout = Some(timeout);
        self
    }
}

impl From<&str> for Place {
    fn from(name: &str) -> Place {
        Place::named(name)
    }
}

impl From<Key> for Place {
    fn from(key: Key) -> Place {
        Place::key(key)
    }
}
