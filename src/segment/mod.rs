//! Segments: creating, opening, removing.

pub(crate) mod attachment;
pub(crate) mod key;
pub(crate) mod status;

use crate::{AttachOptions, Attachment, Error, Key, Status, backend, holder::Holder, sys::Errno};
use core::ffi::c_int;

/// How to open or create a segment: built by [`Segment::options`], used by [`open`](SegmentOptions::open).
///
/// Each method takes the options and returns them, as all options of this crate do. By default, `open` opens a
/// segment that exists, of any size. [`create`](SegmentOptions::create) and [`exclusive`](SegmentOptions::exclusive)
/// create one; [`size`](SegmentOptions::size), [`mode`](SegmentOptions::mode) and
/// [`huge_page_pool`](SegmentOptions::huge_page_pool) describe a new segment;
/// [`remove_on_drop`](SegmentOptions::remove_on_drop) removes it.
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
///     .remove_on_drop(true)     // by the process that has created it
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
    /// Returns the options that open an existing segment. The mode of a new segment is 0600, so that only this user can
    /// attach it.
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

    /// Sets whether the segment is created if there is none with this key (`IPC_CREAT`). If several processes open it
    /// at the same time, one of them creates it, and all of them get the same segment.
    pub const fn create(mut self, create: bool) -> SegmentOptions {
        self.create = create;
        self
    }

    /// Sets whether the segment is created, and opening fails if one exists already (`IPC_CREAT | IPC_EXCL`).
    pub const fn exclusive(mut self, exclusive: bool) -> SegmentOptions {
        self.exclusive = exclusive;
        self
    }

    /// Sets the size in bytes: of a segment that is created, 1 to the limit `kernel.shmmax`; one that exists must
    /// have at least this size. 0, the default, opens a segment of any size. The bytes of a new segment are 0.
    pub const fn size(mut self, size: usize) -> SegmentOptions {
        self.size = size;
        self
    }

    /// Sets the permission bits of a segment that is created, as for `chmod(2)`: 0 to 0o777, of which 4
    /// allows reading and 2 writing; the execute bits have no effect. The umask of the process is not
    /// applied. Opening a segment that exists needs no permission: the kernel checks its mode when it is
    /// attached.
    pub const fn mode(mut self, mode: u32) -> SegmentOptions {
        self.mode = mode;
        self
    }

    /// Sets whether the segment is created on huge pages of the default size, from the pool whose size is
    /// `vm.nr_hugepages` (`SHM_HUGETLB`). The kernel allocates whole huge pages for it; the size in its status is not
    /// rounded up. [`AttachOptions::huge_pages`] needs no pool.
    pub const fn huge_page_pool(mut self, pool: bool) -> SegmentOptions {
        self.flags = if pool { libc::SHM_HUGETLB } else { 0 };
        self
    }

    /// Sets whether dropping the [`Segment`] removes it, if this call of [`open`](SegmentOptions::open)
    /// has created it. A child made by `fork` that drops its copy removes nothing, and a segment that
    /// another process has created stays.
    pub const fn remove_on_drop(mut self, remove: bool) -> SegmentOptions {
        self.remove_on_drop = remove;
        self
    }

    /// Opens or creates the segment with this key. With [`Key::PRIVATE`], creates a segment, even without
    /// [`create`](SegmentOptions::create).
    ///
    /// Makes one system call; with [`remove_on_drop`](SegmentOptions::remove_on_drop) up to two, because the kernel
    /// does not say whether a call has created the segment.
    ///
    /// # Errors
    /// [`KeyNotFound`](crate::ErrorKind::KeyNotFound) (`ENOENT`) if the segment does not exist and no option creates
    /// it; [`AlreadyExists`](crate::ErrorKind::AlreadyExists) (`EEXIST`) if there is one and
    /// [`exclusive`](SegmentOptions::exclusive) is set; [`TooSmall`](crate::ErrorKind::TooSmall) (`EINVAL`) if it is
    /// smaller than the requested size; [`BadSize`](crate::ErrorKind::BadSize) (`EINVAL`) for a new segment of 0 bytes,
    /// or of more than `kernel.shmmax`; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (`EINVAL`) for a mode
    /// above 0o777, or one that lets the owner of a new segment neither read nor write it;
    /// [`LimitReached`](crate::ErrorKind::LimitReached) (`ENOSPC`) at the limits `kernel.shmmni` and `kernel.shmall`;
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory) (`ENOMEM`);
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EPERM`) if the user may not use the huge page pool;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) (`ENOSYS`). Source: `shmget(2)`.
    #[inline]
    pub fn open(&self, key: Key) -> Result<Segment, Error> {
        if self.mode > 0o777 {
            return Err(Error::mode_too_large(self.mode));
        }
        let creates = self.create || self.exclusive || key.is_private();
        if creates && self.mode & 0o600 == 0 {
            return Err(Error::no_access("open", self.mode));
        }
        let (id, created) = self
            .get(key)
            .map_err(|errno| Error::open(errno, key.as_raw(), self.size, self.flags))?;
        let remove_by = (self.remove_on_drop && created).then(Holder::this_process);
        Ok(Segment { id, remove_by })
    }

    /// Returns the id, and whether this call is known to have created the segment.
    #[inline]
    fn get(&self, key: Key) -> Result<(c_int, bool), Errno> {
        /// The largest number of rounds: a hostile process that creates and removes the segment again and again
        /// cannot keep this one in the loop for ever.
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
        // Where one system call is not enough, there are two. Another process can create or remove the segment
        // between them; then the loop begins again, and that process has made progress.
        let mut last = Errno(libc::EAGAIN);
        for _ in 0..ROUNDS {
            if self.remove_on_drop {
                // Finds out whether this call creates it: tries to open it, and then creates it exclusively.
                match get(0) {
                    Err(Errno(libc::ENOENT)) => {}
                    answer => return answer.map(found),
                }
                match get(create | libc::IPC_EXCL) {
                    Err(errno @ Errno(libc::EEXIST)) => last = errno,
                    answer => return answer.map(created),
                }
            } else {
                // With IPC_CREAT the kernel checks the permissions in `mode` on a segment that exists;
                // with 0 it checks none.
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

/// A segment, known by its id. Dropping it does nothing, unless it was opened with
/// [`remove_on_drop`](SegmentOptions::remove_on_drop).
///
/// ```
/// use shmkey::{Key, Segment};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// let segment = Segment::options().size(4096).open(Key::PRIVATE)?;
/// let status = segment.status()?;
/// assert_eq!((status.size, status.nattch), (4096, 0));
///
/// // The id is all that another process needs, in any language.
/// let same = Segment::from_id(segment.id());
/// let memory = same.attach()?;
/// segment.remove()?; // the memory stays until it is detached
/// memory.write_at(0, b"still here")?;
/// # Ok(())
/// # }
/// ```
///
/// The id is a System V id: `shmat(2)`, `ipcs(1)` and the bindings of other languages accept it.
///
/// *Threads*: several threads may use a `Segment` at the same time. *Fork*: a child can use its parent's. *Signals*:
/// [`attach`](Segment::attach) and [`remove`](Segment::remove) are safe in a signal handler.
#[derive(Debug)]
pub struct Segment {
    id: c_int,
    /// The process that has created the segment, and that removes it by dropping this.
    remove_by: Option<Holder>,
}

impl Segment {
    /// Returns the options with which to create or open a segment.
    pub const fn options() -> SegmentOptions {
        SegmentOptions::new()
    }

    /// Opens the segment with this key, which must exist.
    ///
    /// # Errors
    /// [`KeyNotFound`](crate::ErrorKind::KeyNotFound) (`ENOENT`), and those of [`SegmentOptions::open`].
    pub fn open(key: Key) -> Result<Segment, Error> {
        SegmentOptions::new().open(key)
    }

    /// Returns the segment with this id, which may come from another process. Makes no system call: a wrong id is an
    /// error when the segment is used.
    #[must_use]
    pub const fn from_id(id: i32) -> Segment {
        Segment {
            id,
            remove_by: None,
        }
    }

    /// Returns the id that the kernel has given this segment. The kernel does not reuse an id soon.
    #[must_use]
    pub const fn id(&self) -> i32 {
        self.id
    }

    /// Attaches the segment for reading and writing, at an address that the kernel chooses. A process may
    /// attach a segment several times, each time at another address.
    ///
    /// # Errors
    /// Those of [`AttachOptions::attach`].
    #[inline]
    pub fn attach(&self) -> Result<Attachment, Error> {
        AttachOptions::new().attach(self)
    }

    /// Attaches the segment for reading only, for which read permission is enough.
    ///
    /// # Errors
    /// Those of [`AttachOptions::attach`].
    pub fn attach_read_only(&self) -> Result<Attachment, Error> {
        AttachOptions::new().read_only(true).attach(self)
    }

    /// Returns what the kernel knows of the segment now.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EACCES`) without read permission;
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) (`EINVAL`) and
    /// [`Removed`](crate::ErrorKind::Removed) (`EIDRM`).
    pub fn status(&self) -> Result<Status, Error> {
        Status::of(self.id)
    }

    /// Removes the segment. Its key is free at once; its memory stays until the last process has detached
    /// it. Removing a segment again while it is attached succeeds and changes nothing.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EPERM`) unless the user is its owner, its
    /// creator or privileged; [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) (`EINVAL`) and
    /// [`Removed`](crate::ErrorKind::Removed) (`EIDRM`).
    pub fn remove(&self) -> Result<(), Error> {
        backend::remove(self.id)
            .map_err(|errno| Error::control(errno, "shmctl IPC_RMID", self.id, libc::IPC_RMID))
    }

    /// Changes the permission bits, those of `chmod(2)`: 0 to 0o777, of which 4 allows reading and 2 writing. The
    /// kernel checks them when a process attaches the segment; a process that has it attached keeps it.
    ///
    /// The kernel changes owner and mode in one call (`IPC_SET`), so this reads the owner first. If another process
    /// changes the owner in between, that change is lost.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EPERM`) unless the user is the segment's owner, its
    /// creator or privileged; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (`EINVAL`) for a mode above 0o777;
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) (`EINVAL`) and [`Removed`](crate::ErrorKind::Removed)
    /// (`EIDRM`). Before Linux 4.17 also `EACCES` without read permission.
    pub fn set_mode(&self, mode: u32) -> Result<(), Error> {
        if mode > 0o777 {
            return Err(Error::mode_too_large(mode));
        }
        self.change(|permissions| permissions.mode = mode as _)
    }

    /// Changes the owner, the group or both; `None` leaves one unchanged. The creator keeps the owner's
    /// rights. An owner that gives the segment to another user loses these rights, unless it is also the creator.
    ///
    /// The kernel changes owner and mode in one call (`IPC_SET`), so this reads the mode first. If another process
    /// changes the mode, or what `None` leaves unchanged, in between, that change is lost.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EPERM`) unless the user is the segment's owner, its
    /// creator or privileged; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (`EINVAL`) for a user or a group
    /// that this user namespace does not know; [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) (`EINVAL`) and
    /// [`Removed`](crate::ErrorKind::Removed) (`EIDRM`). Before Linux 4.17 also `EACCES` without read permission.
    pub fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Error> {
        self.change(|permissions| {
            permissions.uid = uid.unwrap_or(permissions.uid);
            permissions.gid = gid.unwrap_or(permissions.gid);
        })
    }

    /// Reads owner and mode, even where the mode does not allow reading, and sets them.
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

    /// Returns the status of every segment in this IPC namespace, those of other users included, in the
    /// order of the kernel's table.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) (`ENOSYS`).
    pub fn list() -> Result<Vec<Status>, Error> {
        status::list()
    }
}

impl Drop for Segment {
    #[inline]
    fn drop(&mut self) {
        if self.remove_by.is_some_and(Holder::is_mine) {
            // A caller that needs the result calls `remove`. If another process has removed it, nothing
            // is left to do.
            let _ = backend::remove(self.id);
        }
    }
}
