//! Where an object lies: in a segment of its own, found by name or key, or somewhere in a segment
//! that the user has attached.

use crate::{
    Attachment, Error, Key, explain::ShownPath, object::hash::fnv1a, segment::key, sys::FileId,
};
use std::{path::Path, sync::Arc, time::Duration};

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
#[must_use = "a place does nothing until an object is opened in it"]
pub struct Place {
    pub(crate) site: Site,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) mode: u32,
    pub(crate) timeout: Option<Duration>,
    /// The user that must own the segment.
    pub(crate) owner: Option<u32>,
    pub(crate) layout: Box<str>,
}

#[derive(Clone, Debug)]
pub(crate) enum Site {
    /// A segment of its own.
    Key { key: Key, origin: Origin },
    /// At an offset of a segment that is attached already.
    Within {
        memory: Arc<Attachment>,
        offset: usize,
    },
}

/// What a key was made from. The object records it, so that another source of the same key is noticed.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// A number says nothing more.
    Number,
    Name(Box<[u8]>),
    /// A file and a project id, as [`hash_of_file`] has them.
    File(u64),
}

impl Site {
    /// The name that its key was made from; empty if it was not made from a name.
    pub fn name(&self) -> &[u8] {
        match self {
            Site::Key {
                origin: Origin::Name(name),
                ..
            } => name,
            _ => b"",
        }
    }

    /// The hash of the file and project id that its key was made from; 0 if it was not made from
    /// these.
    pub fn file(&self) -> u64 {
        match *self {
            Site::Key {
                origin: Origin::File(hash),
                ..
            } => hash,
            _ => 0,
        }
    }

    /// Returns where it begins in its segment, in bytes.
    pub fn offset(&self) -> usize {
        match self {
            Site::Key { .. } => 0,
            Site::Within { offset, .. } => *offset,
        }
    }

    /// Returns how error messages name the object there, in the segment with this id.
    pub fn label(&self, id: i32) -> Box<str> {
        let label = match self {
            Site::Key {
                origin: Origin::Name(name),
                ..
            } => format!("{} (id {id})", ShownPath(name)),
            Site::Key { key, .. } => format!("(key {key}, id {id})"),
            Site::Within { offset, .. } => format!("(id {id}, offset {offset})"),
        };
        label.into()
    }
}

/// What an object records of a file and a project id: FNV-1a of the device number and the inode
/// number, eight bytes each, the lowest first, and of the low 8 bits of the project id. Never 0.
fn hash_of_file(file: FileId, proj_id: i32) -> u64 {
    let numbers = [file.device, file.inode].map(u64::to_le_bytes);
    let bytes = numbers.into_iter().flatten().chain([proj_id as u8]);
    fnv1a(bytes).max(1)
}

impl Place {
    fn new(site: Site) -> Place {
        Place {
            site,
            create: true,
            read_only: false,
            mode: 0o600,
            timeout: Some(Duration::from_secs(5)),
            owner: None,
            layout: "".into(),
        }
    }

    /// A segment of its own, under the key that [`Key::from_name`] makes of the name. Should
    /// another name make the same key, opening says so. At most 256 bytes.
    pub fn named(name: impl AsRef<[u8]>) -> Place {
        let name: Box<[u8]> = name.as_ref().into();
        // An empty name is refused when it is opened.
        let key = Key::from_name(&name).unwrap_or(Key::PRIVATE);
        let origin = Origin::Name(name);
        Place::new(Site::Key { key, origin })
    }

    /// A segment of its own, under the key that [`Key::from_path`] makes of a file that exists and a
    /// project id. The key has 16 bits of the file's inode number, so two files can share one. The
    /// object records a hash of the whole number, the device and the project id: if it was opened by
    /// another file, or by a name, opening fails with
    /// [`KeyCollision`](crate::ErrorKind::KeyCollision).
    ///
    /// # Errors
    /// Those of [`Key::from_path`].
    pub fn path(path: impl AsRef<Path>, proj_id: i32) -> Result<Place, Error> {
        key::file_of(path.as_ref(), proj_id).map(|file| Place::file(file, proj_id))
    }

    pub(crate) fn file(file: FileId, proj_id: i32) -> Place {
        Place::new(Site::Key {
            key: Key::from_raw(file.ftok(proj_id)),
            origin: Origin::File(hash_of_file(file, proj_id)),
        })
    }

    /// A segment of its own, under this key, which must not be [`Key::PRIVATE`]. It is the same place
    /// as any name, and any path and project id, that make this key: a number does not say what it was
    /// made from, so collisions go unnoticed, also with a key of [`Key::from_path`]. Prefer
    /// [`named`](Place::named) and [`path`](Place::path).
    pub fn key(key: Key) -> Place {
        let origin = Origin::Number;
        Place::new(Site::Key { key, origin })
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

    /// Opens for reading only: the segment is attached so (`SHM_RDONLY`), and this process can neither
    /// write it nor create it. If there is no segment, opening fails with
    /// [`KeyNotFound`](crate::ErrorKind::KeyNotFound); an object that another process is creating is
    /// waited for. The memory of [`within`](Place::within) remains attached in its own way, and nothing
    /// is written there through the object.
    ///
    /// Only a [`Latest`](crate::Latest) can be opened for reading only. Every process that uses one of
    /// the other objects writes it, so opening that fails with
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly).
    pub fn read_only(mut self) -> Place {
        self.read_only = true;
        self.existing()
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

    /// Opens the object only if its segment belongs to this user, who must have created it, too, unless
    /// root did: a segment that another user has created under the same key is refused before anything in
    /// it is read. A user can give a segment away and still write it, so the owner alone proves nothing.
    ///
    /// If this process runs as another user (its effective user id), it cannot create what is expected, so
    /// the place must be [`existing`](Place::existing) or [`read_only`](Place::read_only).
    ///
    /// Opening fails with [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EPERM`) if the segment
    /// has another owner or creator, and with [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if this
    /// process would create an object that it must not own.
    pub fn owner(mut self, uid: u32) -> Place {
        self.owner = Some(uid);
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
