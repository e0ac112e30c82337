//! What the kernel knows of a segment.

use super::failure::{keeping_errno, or_minus_one, put};
use crate::Status;
use core::{
    ffi::{c_int, c_uchar},
    mem::size_of,
    slice,
};
use std::time::SystemTime;

/// What the kernel knows of a segment at one time. The terms are those of shmctl(2).
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, missing_docs)]
pub struct shm_status {
    /// The exact size in bytes, as given when it was created.
    pub size: u64,
    /// The number of its attachments, in all processes together.
    pub nattch: u64,
    /// When it was last attached, in seconds since 1970; 0 for never.
    pub atime: i64,
    /// When it was last detached, in seconds since 1970; 0 for never.
    pub dtime: i64,
    /// When it was created, or its owner or mode last changed, in seconds since 1970.
    pub ctime: i64,
    /// The id.
    pub id: i32,
    /// The key; 0 (IPC_PRIVATE) if it has none, or has been removed.
    pub key: i32,
    /// Permission bits, 0 to 0777.
    pub mode: u32,
    /// The owner's user and group.
    pub uid: u32,
    pub gid: u32,
    /// The creator's user and group.
    pub cuid: u32,
    pub cgid: u32,
    /// The process that created it.
    pub cpid: i32,
    /// The process that last attached or detached it; 0 for none.
    pub lpid: i32,
    /// 1 if it has been removed, so that the last detach destroys it.
    pub removed: c_uchar,
    /// 1 if it is locked into memory (SHM_LOCK).
    pub locked: c_uchar,
    /// 0; reserved.
    pub reserved: [c_uchar; 50],
}

/// Stores what the kernel knows of a segment.
///
/// id: as an open function returned it, in this process or in another.
/// status: where to store it; untouched on failure.
///
/// Returns: 0; or -1.
/// Errors: EINVAL no segment has this id; EIDRM the segment is removed and destroyed during the call (one that was
/// destroyed before gives EINVAL); EACCES its mode does not let this process read; EFAULT status does not point to
/// memory that this process can write.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_get_status(id: c_int, status: *mut shm_status) -> c_int {
    or_minus_one(keeping_errno(|| {
        let answer = shm_status::from(&Status::of(id)?);
        // SAFETY: the structure has no padding (checked below), so all its bytes are initialised.
        let bytes = unsafe {
            slice::from_raw_parts((&raw const answer).cast::<u8>(), size_of::<shm_status>())
        };
        // SAFETY: the caller owns the structure at that address, if there is one; put accepts every pointer.
        unsafe { put(bytes, status, "shm_get_status") }
    }))
}

// Five 8-byte fields, nine 4-byte fields, two bytes and the reserve: no padding anywhere.
const _: () = assert!(size_of::<shm_status>() == 5 * 8 + 9 * 4 + 2 + 50);

impl From<&Status> for shm_status {
    fn from(status: &Status) -> shm_status {
        shm_status {
            size: status.size as u64,
            nattch: status.nattch,
            atime: seconds(status.attached_at),
            dtime: seconds(status.detached_at),
            ctime: seconds(status.changed_at),
            id: status.id,
            key: status.key.as_raw(),
            mode: status.mode,
            uid: status.uid,
            gid: status.gid,
            cuid: status.cuid,
            cgid: status.cgid,
            cpid: status.cpid,
            lpid: status.lpid,
            removed: status.removed.into(),
            locked: status.locked.into(),
            reserved: [0; 50],
        }
    }
}

fn seconds(time: Option<SystemTime>) -> i64 {
    time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_secs() as i64)
}
