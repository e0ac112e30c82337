//! Where an object lies: in a segment of its own, found by a name or a key, or in a part of a segment that the
//! caller has attached.

use crate::{
    Attachment, Error, Key,
    explain::ShownPath,
    hash::fnv1a,
    memory::{OutOfMemory, Shared, Text},
    segment::key,
    sys::FileId,
};
use core::{fmt, ops::Deref};
use std::{path::Path, sync::Arc, time::Duration};

/// Where an object lies, and how to open it: what happens if it is missing, the permissions of a new segment, and how
/// long to wait. The options of a kind of object, such as those of a ring, are separate.
///
/// Every function that opens an object takes anything that converts to a place: a name (`&str`, `&String`,
/// `String`), a [`Key`], a `Place` or a `&Place`.
///
/// ```
/// use shmkey::{Place, Semaphore};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a place {}", std::process::id());
/// let place = Place::named(&name)
///     .mode(0o660)                        // the group may use it, too
///     .timeout(Duration::from_secs(1));   // for a process that is creating it
/// let slots = Semaphore::open(&place, 4)?;
///
/// // Only if it exists already:
/// let same = Semaphore::open(place.create(false), 0)?;
/// assert_eq!(same.value(), 4);
/// # slots.remove()
/// # }
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
    /// At most 128 bytes in a valid place.
    pub(crate) layout: Text<129>,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant)] // a box would need memory, which may be refused
pub(crate) enum Site {
    /// In a segment of its own.
    Key { key: Key, origin: Origin },
    /// At an offset of a segment that is attached already.
    Within { memory: Memory, offset: usize },
}

/// The memory of an attached segment.
#[derive(Clone, Debug)]
pub(crate) enum Memory {
    /// The library has attached it.
    Own(Shared<Attachment>),
    /// A caller of the Rust API has.
    Callers(Arc<Attachment>),
}

impl Memory {
    pub fn own(attachment: Attachment) -> Result<Memory, OutOfMemory> {
        Shared::new(attachment).map(Memory::Own)
    }
}

impl Deref for Memory {
    type Target = Attachment;

    fn deref(&self) -> &Attachment {
        match self {
            Memory::Own(memory) => memory,
            Memory::Callers(memory) => memory,
        }
    }
}

/// What a key was made from. The object records it, so opening it by something else with the same key fails.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant)] // as for `Site`
pub(crate) enum Origin {
    /// A number, whose origin is not known.
    Number,
    /// At most 256 bytes in a valid place.
    Name(Text<257>),
    /// A file and a project id: the result of [`hash_of_file`].
    File(u64),
}

impl Site {
    /// Returns the name that its key was made from; empty if it was not made from a name.
    pub fn name(&self) -> &[u8] {
        match self {
            Site::Key {
                origin: Origin::Name(name),
                ..
            } => name,
            _ => b"",
        }
    }

    /// Returns the hash of the file and project id that its key was made from; 0 if it was not made from
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

    /// Returns the object's name in error messages, for a segment with this id.
    pub fn label(&self, id: i32) -> impl fmt::Display {
        InMessages { site: self, id }
    }
}

struct InMessages<'a> {
    site: &'a Site,
    id: i32,
}

impl fmt::Display for InMessages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match self.site {
            Site::Key {
                origin: Origin::Name(name),
                ..
            } => write!(f, "{} (id {id})", ShownPath(name)),
            Site::Key { key, .. } => write!(f, "(key {key}, id {id})"),
            Site::Within { offset, .. } => write!(f, "(id {id}, offset {offset})"),
        }
    }
}

/// Returns the hash of a file and a project id that an object records: FNV-1a of the device number and the inode
/// number, eight bytes each in little-endian order, and of the low 8 bits of the project id. Never 0.
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
            layout: Text::new(b""),
        }
    }

    /// Returns the place with this name: a segment of its own, under the key that [`Key::from_name`] makes
    /// of the name. A name is 1 to 256 bytes. The object records its name: if another name has the same
    /// key, opening fails with [`KeyCollision`](crate::ErrorKind::KeyCollision).
    pub fn named(name: impl AsRef<[u8]>) -> Place {
        let name = name.as_ref();
        // Opening refuses an empty name.
        let key = Key::from_name(name).unwrap_or(Key::PRIVATE);
        let origin = Origin::Name(Text::new(name));
        Place::new(Site::Key { key, origin })
    }

    /// Returns the place of an existing file and a project id: a segment of its own, under the key that
    /// [`Key::from_path`] makes. The key has 16 bits of the file's inode number, so two files can share one. The object
    /// records a hash of the whole inode number, the device and the project id: if it was created by another file, or
    /// by a name, opening fails with [`KeyCollision`](crate::ErrorKind::KeyCollision).
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

    /// Returns the place with this key, which must not be [`Key::PRIVATE`]: a segment of its own. It is the same place
    /// as any name, or path and project id, that makes this key. The key alone does not say what it was made from, so a
    /// collision is not noticed, even with a key of [`Key::from_path`]; prefer [`named`](Place::named) and
    /// [`path`](Place::path).
    pub fn key(key: Key) -> Place {
        let origin = Origin::Number;
        Place::new(Site::Key { key, origin })
    }

    /// Returns the place at this offset in an attached segment: a multiple of 64, in bytes from the beginning of the
    /// segment. Each offset is an object of its own, so all processes that open the object must use the same one. The
    /// object's memory must be 0 when the first process opens it. Do not use an offset at which other data may be 0:
    /// opening takes 512 bytes of 0 for a missing object, and creates it there, over the data behind them.
    pub fn within(memory: Arc<Attachment>, offset: usize) -> Place {
        Place::at(Memory::Callers(memory), offset)
    }

    pub(crate) fn at(memory: Memory, offset: usize) -> Place {
        Place::new(Site::Within { memory, offset })
    }

    /// Sets whether the object is created if it is missing; true by default. If false, opening a missing object fails
    /// with [`KeyNotFound`](crate::ErrorKind::KeyNotFound) (`ENOENT`), and opening one that another process is creating
    /// waits for that process.
    pub fn create(mut self, create: bool) -> Place {
        self.create = create;
        self
    }

    /// Sets whether the object is opened for reading only: the segment is attached with `SHM_RDONLY`, and this process
    /// can neither write nor create the object, even with [`create`](Place::create). Memory that was given to
    /// [`within`](Place::within) is not attached again, and the object does not write it.
    ///
    /// Only a [`Latest`](crate::Latest) and a lossy [`Broadcast`](crate::Broadcast) can be opened for reading only.
    /// Every process that uses another object writes it, so opening that for reading only fails with
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly) (`EACCES`).
    pub fn read_only(mut self, read_only: bool) -> Place {
        self.read_only = read_only;
        self
    }

    /// Sets the permission bits of a segment that is created, at least 0o600, which is the default. The
    /// umask of the process is not applied.
    pub fn mode(mut self, mode: u32) -> Place {
        self.mode = mode;
        self
    }

    /// Sets the name of the layout of the object's contents: at most 128 bytes, empty by default. All processes
    /// that open the object must give the same name, so that two types of the same size are not confused.
    pub fn layout(mut self, name: &str) -> Place {
        self.layout = Text::new(name.as_bytes());
        self
    }

    /// Sets the user that must own the segment. That user or root must also have created it, because a user who
    /// gives a segment to another user can still write it. If another user has created a segment under the same
    /// key, opening fails before anything in it is read.
    ///
    /// A process with another effective user id cannot create such a segment, so its place must have
    /// [`create`](Place::create)`(false)` or [`read_only`](Place::read_only).
    ///
    /// Opening fails with [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EPERM`) if the segment has another
    /// owner or creator, and with [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (`EINVAL`) if the place
    /// creates the object and the owner is not the effective user of this process.
    pub fn owner(mut self, uid: u32) -> Place {
        self.owner = Some(uid);
        self
    }

    /// Sets how long to wait for another process that is creating the object; 5 seconds by default. If that
    /// process dies, this one creates it.
    pub fn timeout(mut self, timeout: Duration) -> Place {
        self.timeout = Some(timeout);
        self
    }

    /// Returns whether this process creates the object if it is missing.
    pub(crate) fn creates(&self) -> bool {
        self.create && !self.read_only
    }
}

/// Returns the place with this name, as [`Place::named`] does.
impl From<&str> for Place {
    fn from(name: &str) -> Place {
        Place::named(name)
    }
}

/// Returns the place with this name, as [`Place::named`] does.
impl From<String> for Place {
    fn from(name: String) -> Place {
        Place::named(name)
    }
}

/// Returns the place with this name, as [`Place::named`] does.
impl From<&String> for Place {
    fn from(name: &String) -> Place {
        Place::named(name)
    }
}

/// Copies a place, so that several objects, or several threads, can use it.
impl From<&Place> for Place {
    fn from(place: &Place) -> Place {
        place.clone()
    }
}

/// Returns the place with this key, as [`Place::key`] does.
impl From<Key> for Place {
    fn from(key: Key) -> Place {
        Place::key(key)
    }
}
