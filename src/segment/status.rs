//! What the kernel knows of a segment.

use crate::{
    Error, Key, backend,
    sys::{self, Errno},
};
use core::ffi::c_int;
use std::time::{Duration, SystemTime};

/// What the kernel knows of a segment at one time: the fields of `struct shmid_ds` of `shmctl(2)`.
///
/// ```
/// use shmkey::{Key, Segment};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// let segment = Segment::options().size(100).mode(0o640).open(Key::PRIVATE)?;
/// let status = segment.status()?;
/// assert_eq!((status.size, status.mode, status.nattch), (100, 0o640, 0));
/// assert_eq!(status.cpid as u32, std::process::id());
/// # segment.remove()
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Status {
    /// The segment's id.
    pub id: i32,
    /// Its key; [`Key::PRIVATE`] if it was created without one, or has been removed.
    pub key: Key,
    /// Its exact size in bytes, as given when it was created. The kernel allocates whole pages for it.
    pub size: usize,
    /// The number of its attachments, in all processes together.
    pub nattch: u64,
    /// The permission bits, 0 to 0o777.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// The creator's user id.
    pub cuid: u32,
    /// The creator's group id.
    pub cgid: u32,
    /// The id of the process that created it, which may have ended; 0 if that process belongs to another
    /// PID namespace.
    pub cpid: i32,
    /// The id of the process that attached or detached it last; 0 if none has.
    pub lpid: i32,
    /// When it was last attached, to the second; `None` if never.
    pub attached_at: Option<SystemTime>,
    /// When it was last detached, to the second; `None` if never.
    pub detached_at: Option<SystemTime>,
    /// When it was created, or its owner or mode was last changed, to the second.
    pub changed_at: Option<SystemTime>,
    /// Whether it has been removed, so that the last detach destroys it (`SHM_DEST`).
    pub removed: bool,
    /// Whether it is locked into memory, so that it is not swapped out (`SHM_LOCKED`).
    pub locked: bool,
}

impl Status {
    pub(crate) fn of(id: c_int) -> Result<Status, Error> {
        match backend::stat(id) {
            Ok(record) => Ok(Status::new(id, &record)),
            Err(errno) => Err(Error::control(errno, "shmctl IPC_STAT", id, libc::IPC_STAT)),
        }
    }

    fn new(id: c_int, record: &libc::shmid_ds) -> Status {
        let mode = u32::from(record.shm_perm.mode);
        Status {
            id,
            key: Key::from_raw(sys::key_of(&record.shm_perm)),
            size: record.shm_segsz,
            nattch: record.shm_nattch,
            mode: mode & 0o777,
            uid: record.shm_perm.uid,
            gid: record.shm_perm.gid,
            cuid: record.shm_perm.cuid,
            cgid: record.shm_perm.cgid,
            cpid: record.shm_cpid,
            lpid: record.shm_lpid,
            attached_at: time(record.shm_atime),
            detached_at: time(record.shm_dtime),
            changed_at: time(record.shm_ctime),
            removed: mode & backend::SHM_DEST != 0,
            locked: mode & backend::SHM_LOCKED != 0,
        }
    }
}

/// Converts the kernel's time: seconds since 1970, or 0 for never.
fn time(seconds: i64) -> Option<SystemTime> {
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => None,
        Ok(seconds) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
    }
}

/// Returns the status of a segment, even without read permission; `None` if the segment does not exist,
/// or if that is unknown.
pub(crate) fn any(id: c_int) -> Option<Status> {
    match backend::find(id) {
        Ok(backend::Occupant::Holds(record)) => Some(Status::new(id, &record)),
        _ => None,
    }
}

/// Returns all segments of this IPC namespace, in the order of the kernel's table.
pub(crate) fn list() -> Result<Vec<Status>, Error> {
    let (highest, usage) = backend::usage().map_err(Error::list)?;
    let mut segments = Vec::with_capacity(usage.used_ids as usize);
    for index in 0..=highest {
        match backend::stat_at(index) {
            Ok((id, record)) => segments.push(Status::new(id, &record)),
            // An unused index; or, on an old kernel, a segment that this user may not read.
            Err(Errno(libc::EINVAL | libc::EIDRM | libc::EACCES)) => {}
            Err(errno) => return Err(Error::list(errno)),
        }
    }
    Ok(segments)
}
