//! Segments: creating, opening, removing.

pub(crate) mod attachment;
pub(crate) mod key;
pub(crate) mod status;

use crate::{
    AttachOptions, Attachment, Error, Key, Status, backend, object::holder::Holder, sys::Errno,
};
use core::ffi::c_int;

/// How to open or create a segment, in the manner of [`std::fs::OpenOptions`].
///
/// Without any option: open the segment that exists, of whatever size.
///
/// ```
/// use shmkey::{Key, Segment};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// let key = Key::from_name("example of options")?;
/// # let key = Key::from_name(format!("example of options {}", std::process::id()))?;
/// let segment = Segment::options()
///     .create(true)
///     .size(64 * 1024)
///     .mode(0o660)              // the group may use it, too
///     .remove_on_drop(true)     // whoever created it cleans up
///     .open(key)?;
/// assert_eq!(segment.status()?.size, 64 * 1024);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `open` is called"]
pub struct SegmentOptions {
    create: bool,
    exclusive: bool,
    size: usize,
    mode: u32,
    flags: c_int,
    remove_on_drop: bool,
}

impl SegmentOptions {
    /// Open what exists; if created, then with mode 0600: for this user alone.
    pub const fn new() -> SegmentOptions {
        SegmentOptions {
            create: false,
            exclusive: false,
            size: 0,
            mode: 0o600,
            flags: 0,
            remove_on_drop: false,
        }
    }

    /// Create the segment if there is none with this key (`IPC_CREAT`). However many processes do
    /// so at the same moment, one segment comes to be, and all of them get it.
    pub const fn create(&mut self, create: bool) -> &mut SegmentOptions {
        self.create = create;
        self
    }

    /// Create the segment, and fail if there is one already (`IPC_CREAT | IPC_EXCL`).
    pub const fn exclusive(&mut self, exclusive: bool) -> &mut SegmentOptions {
        self.exclusive = exclusive;
        self
    }

    /// The size in bytes: from 1 to the limit `shmmax` when a segment is created. One that exists
    /// must have at least as many; 0, the default, takes any. A new segment's bytes are all zero.
    pub const fn size(&mut self, size: usize) -> &mut SegmentOptions {
        self.size = size;
        self
    }

    /// The permission bits of a segment that is created, as `chmod(2)` has them, 0 to 0777: 4
    /// reads, 2 writes and the execute bits mean nothing. The process' umask plays no part. For a
    /// segment that exists, nothing is asked for: what its mode allows is decided when it is
    /// attached.
    pub const fn mode(&mut self, mode: u32) -> &mut SegmentOptions {
        self.mode = mode;
        self
    }

    /// Create the segment on huge pages of the default size, from the pool that `vm.nr_hugepages`
    /// sets (`SHM_HUGETLB`). The size is rounded up by the kernel to whole huge pages for memory,
    /// not in the status. [`AttachOptions::huge_pages`] needs no pool.
    pub const fn huge_page_pool(&mut self, pool: bool) -> &mut SegmentOptions {
        self.flags = if pool { libc::SHM_HUGETLB } else { 0 };
        self
    }

    /// Remove the segment when the [`Segment`] is dropped, if this very call created it, and by the
    /// process that did: not by a child of it, and not if somebody else had created it before.
    pub const fn remove_on_drop(&mut self, remove: bool) -> &mut SegmentOptions {
        self.remove_on_drop = remove;
        self
    }

    /// Opens or creates the segment with this key. With [`Key::PRIVATE`] a new segment is created,
    /// whatever the options say.
    ///
    /// One system call; with [`remove_on_drop`](SegmentOptions::remove_on_drop) up to two, because
    /// the kernel does not say who created a segment.
    ///
    /// # Errors
    /// [`KeyNotFound`](crate::ErrorKind::KeyNotFound),
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists),
    /// [`TooSmall`](crate::ErrorKind::TooSmall), [`BadSize`](crate::ErrorKind::BadSize),
    /// [`LimitReached`](crate::ErrorKind::LimitReached),
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory),
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (a mode beyond 0777, or
    /// one that lets the owner of a new segment neither read nor write it),
    /// [`Unsupported`](crate::ErrorKind::Unsupported); the causes are those of `shmget(2)`.
    #[inline]
    pub fn open(&self, key: Key) -> Result<Segment, Error> {
        if self.mode > 0o777 {
            return Err(Error::mode_too_large());
        }
        let creates = self.create || self.exclusive || key.is_private();
        if creates && self.mode & 0o600 == 0 {
            return Err(Error::no_access("open", self.mode));
        }
        let (id, created) = self
            .get(key)
            .map_err(|errno| Error::open(errno, key, self.size, self.flags))?;
        let remove_by = (self.remove_on_drop && created).then(Holder::this_process);
        Ok(Segment { id, remove_by })
    }

    /// The id, and whether this call is known to have created the segment.
    #[inline]
    fn get(&self, key: Key) -> Result<(c_int, bool), Errno> {
        /// Nobody needs that many; it only keeps a hostile neighbour from holding us for ever.
        const ROUNDS: usize = 1000;

        let create = libc::IPC_CREAT | self.mode as c_int | self.flags;
        let get = |flags| backend::create_or_get(key.as_raw(), self.size, flags);
        let found = |id| (id, false);
        let created = |id| (id, true);

        if key.is_private() || self.exclusive {
            return get(create | libc::IPC_EXCL).map(created);
        }
        if !self.create {
            return get(0).map(found);
        }
        // Where one call cannot say it all, two follow each other. Between them others may create
        // or remove the segment, and then the round begins anew: each such round means that
        // somebody else made progress.
        let mut last = Errno(libc::EAGAIN);
        for _ in 0..ROUNDS {
            if self.remove_on_drop {
                // To learn who creates it: look, then create exclusively.
                match get(0) {
                    Err(Errno(libc::ENOENT)) => {}
                    answer => return answer.map(found),
                }
                match get(create | libc::IPC_EXCL) {
                    Err(errno @ Errno(libc::EEXIST)) => last = errno,
                    answer => return answer.map(created),
                }
            } else {
                // Creating asks an existing segment for the permissions in `mode`; looking asks for
                // none.
                match get(create) {
                    Err(Errno(libc::EACCES)) => {}
                    answer => return answer.map(found),
                }
                match get(0) {
                    Err(errno @ Errno(libc::ENOENT)) => last = errno,
                    answer => return answer.map(found),
                }
            }
        }
        Err(last)
    }
}

impl Default for SegmentOptions {
    fn default() -> SegmentOptions {
        SegmentOptions::new()
    }
}

/// A segment that is known by its id. It is attached by [`attach`](Segment::attach), and stays when
/// this is dropped, unless [`remove_on_drop`](SegmentOptions::remove_on_drop) was asked for.
///
/// The id is a real System V id: it works with `shmat(2)`, `ipcs(1)` and every other language's
/// binding.
#[derive(Debug)]
pub struct Segment {
    id: c_int,
    /// The process that created it and is to remove it when it drops this.
    remove_by: Option<Holder>,
}

impl Segment {
    /// The options with which to create or open a segment.
    pub const fn options() -> SegmentOptions {
        SegmentOptions::new()
    }

    /// Opens the segment with this key, which must exist.
    ///
    /// # Errors
    /// [`KeyNotFound`](crate::ErrorKind::KeyNotFound), and what [`SegmentOptions::open`] says.
    pub fn open(key: Key) -> Result<Segment, Error> {
        SegmentOptions::new().open(key)
    }

    /// The segment with this id, as another process gave it. Nothing is asked of the kernel;
    /// whether the id exists shows when it is used.
    pub const fn from_id(id: i32) -> Segment {
        Segment {
            id,
            remove_by: None,
        }
    }

    /// The id that the kernel gave this segment. Ids are not soon used again.
    pub const fn id(&self) -> i32 {
        self.id
    }

    /// Attaches the segment for reading and writing, at an address that the kernel chooses. It may
    /// be attached many times.
    ///
    /// # Errors
    /// See [`AttachOptions::attach`].
    #[inline]
    pub fn attach(&self) -> Result<Attachment, Error> {
        AttachOptions::new().attach(self)
    }

    /// Attaches the segment for reading only, which needs read permission only.
    ///
    /// # Errors
    /// See [`AttachOptions::attach`].
    pub fn attach_read_only(&self) -> Result<Attachment, Error> {
        AttachOptions::new().read_only(true).attach(self)
    }

    /// What the kernel knows of it now.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) without read permission;
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) and
    /// [`Removed`](crate::ErrorKind::Removed).
    pub fn status(&self) -> Result<Status, Error> {
        Status::of(self.id)
    }

    /// Removes the segment. The key is free at once; the memory stays for those who have it
    /// attached, until the last detaches it. Removing it again while it is attached is allowed and
    /// changes nothing.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) unless the user is its owner, its
    /// creator or privileged; [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) and
    /// [`Removed`](crate::ErrorKind::Removed).
    pub fn remove(&self) -> Result<(), Error> {
        backend::remove(self.id)
            .map_err(|errno| Error::control(errno, "shmctl IPC_RMID", self.id, libc::IPC_RMID))
    }

    /// Changes the permission bits, as `chmod(2)` has them, 0 to 0777: 4 reads, 2 writes. They decide what
    /// may be attached from now on; what is attached stays attached.
    ///
    /// The kernel changes owner and mode by one call (`IPC_SET`), so this reads the owner first. If another
    /// process changes the owner in between, that change is lost.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EPERM`) unless the user is the segment's
    /// owner, its creator or privileged; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a mode
    /// beyond 0777; [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) and
    /// [`Removed`](crate::ErrorKind::Removed). Before Linux 4.17 also `EACCES` without read permission.
    pub fn set_mode(&self, mode: u32) -> Result<(), Error> {
        if mode > 0o777 {
            return Err(Error::mode_too_large());
        }
        self.change(|permissions| permissions.mode = mode as _)
    }

    /// Changes the owner, the group or both; `None` leaves one as it is. The creator keeps the owner's
    /// rights. An owner who gives the segment away loses them, unless it has created it.
    ///
    /// The kernel changes owner and mode by one call (`IPC_SET`), so this reads the mode first. If another
    /// process changes the mode, or what `None` leaves as it is, in between, that change is lost.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EPERM`) unless the user is the segment's
    /// owner, its creator or privileged; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a user or
    /// a group that this user namespace does not know; [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) and
    /// [`Removed`](crate::ErrorKind::Removed). Before Linux 4.17 also `EACCES` without read permission.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Error> {
        self.change(|permissions| {
            permissions.uid = uid.unwrap_or(permissions.uid);
            permissions.gid = gid.unwrap_or(permissions.gid);
        })
    }

    /// Reads owner and mode, also where the mode does not allow reading, and sets them.
    fn change(&self, change: impl FnOnce(&mut libc::ipc_perm)) -> Result<(), Error> {
        let read = backend::stat(self.id).or_else(|errno| match backend::find(self.id) {
            Ok(backend::Occupant::Holds(record)) => Ok(record),
            _ => Err(errno),
        });
        let mut record = read
            .map_err(|errno| Error::control(errno, "shmctl IPC_STAT", self.id, libc::IPC_STAT))?;
        change(&mut record.shm_perm);
        backend::set(self.id, &record).map_err(|errno| Error::set(errno, self.id, &record))
    }

    /// All segments of this system, or of this container, whoever they belong to, in the order of
    /// the kernel's table.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn list() -> Result<Vec<Status>, Error> {
        status::list()
    }
}

impl Drop for Segment {
    #[inline]
    fn drop(&mut self) {
        if self.remove_by.is_some_and(Holder::is_mine) {
            // Whoever wants to know whether it worked calls `remove`. That somebody else has
            // removed it is no failure.
            let _ = backend::remove(self.id);
        }
    }
}
