//! What the kernel knows of a segment.

use crate::{
    Error, Key, backend,
    sys::{self, Errno},
};
use core::ffi::c_int;
use std::time::{Duration, SystemTime};

/// What the kernel knows of a segment at one moment: `struct shmid_ds` of `shmctl(2)`, in plain
/// terms.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The segment's id.
    pub id: i32,
    /// Its key; [`Key::PRIVATE`] if it has none, or none any more because it has been removed.
    pub key: Key,
    /// Its exact size in bytes, as it was asked for when it was created; memory comes in whole
    /// pages.
    pub size: usize,
    /// How often it is attached now, by all processes together.
    pub nattch: u64,
    /// The permission bits, 0 to 0777.
    pub mode: u32,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// The creator's user id.
    pub cuid: u32,
    /// The creator's group id.
    pub cgid: u32,
    /// The process that created it (`cpid`); it may be long gone. 0 if it lives in another PID
    /// namespace.
    pub cpid: i32,
    /// The process that attached or detached it last (`lpid`); 0 if none has.
    pub lpid: i32,
    /// When it was last attached, to the second; `None` if it never was.
    pub attached_at: Option<SystemTime>,
    /// When it was last detached, to the second; `None` if it never was.
    pub detached_at: Option<SystemTime>,
    /// When it was created, or its owner or mode last changed, to the second.
    pub changed_at: Option<SystemTime>,
    /// It has been removed and will be destroyed when the last process detaches it (`SHM_DEST`).
    pub removed: bool,
    /// It is locked into memory and is not swapped out (`SHM_LOCKED`).
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

/// The kernel counts seconds since 1970 and says 0 for never.
fn time(seconds: i64) -> Option<SystemTime> {
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => None,
        Ok(seconds) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
    }
}

/// The status of a segment, whoever may read it; `None` if there is no such segment or that cannot
/// be told.
pub(crate) fn any(id: c_int) -> Option<Status> {
    match backend::find(id) {
        Ok(backend::Occupant::Holds(record)) => Some(Status::new(id, &record)),
        _ => None,
    }
}

/// Returns whether a segment that has existed was removed, also to a process that may not read it. A
/// removed segment has no key, and goes with its last user if it is not gone already.
pub(crate) fn is_removed(id: c_int) -> Result<bool, Error> {
    let is_removed =
        |record: libc::shmid_ds| u32::from(record.shm_perm.mode) & backend::SHM_DEST != 0;
    match backend::stat(id) {
        Ok(record) => Ok(is_removed(record)),
        // The mode has changed, or there is no segment with this id any more.
        Err(errno) => match backend::find(id) {
            Ok(backend::Occupant::Holds(record)) => Ok(is_removed(record)),
            Ok(backend::Occupant::GivenTo(_) | backend::Occupant::Empty) => Ok(true),
            Err(_) => Err(Error::control(errno, "shmctl IPC_STAT", id, libc::IPC_STAT)),
        },
    }
}

/// What an error says of a removed segment, if waiting for another process has failed.
pub(crate) fn removed_note(id: c_int) -> Option<&'static str> {
    is_removed(id).is_ok_and(|removed| removed).then_some(
        "its segment has been removed, so only the processes that have it open already can change that; \
         a process that opens it anew gets another object",
    )
}

/// All segments of this IPC namespace, in the order of the kernel's table.
pub(crate) fn list() -> Result<Vec<Status>, Error> {
    let failed = |errno| Error::control(errno, "shmctl SHM_INFO", 0, backend::SHM_INFO);
    let (highest, usage) = backend::usage().map_err(failed)?;
    let mut segments = Vec::with_capacity(usage.used_ids as usize);
    for index in 0..=highest {
        match backend::stat_at(index) {
            Ok((id, record)) => segments.push(Status::new(id, &record)),
            // An empty place; or a segment that an old kernel keeps from this user.
            Err(Errno(libc::EINVAL | libc::EIDRM | libc::EACCES)) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(segments)
}
