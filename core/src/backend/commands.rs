//! One function for each command of `shmctl(2)`, on either backend.

use super::control;
use crate::sys::Errno;
use core::{
    ffi::{c_int, c_ulong},
    ptr,
};

// Commands of <linux/shm.h> and <linux/ipc.h> that the crate libc defines for some targets only.
pub const IPC_INFO: c_int = 3;
pub const SHM_STAT: c_int = 13;
pub const SHM_INFO: c_int = 14;
pub const SHM_STAT_ANY: c_int = 15;

// Bits of a segment's mode beyond the permissions, from <linux/shm.h>: the last detach destroys the segment; it
// is locked into memory.
pub const SHM_DEST: u32 = 0o1000;
pub const SHM_LOCKED: u32 = 0o2000;

/// `struct shminfo`: the limits.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest segment, in bytes.
    pub shmmax: c_ulong,
    /// The smallest segment, in bytes.
    pub shmmin: c_ulong,
    /// The largest number of segments.
    pub shmmni: c_ulong,
    pub(super) shmseg: c_ulong,
    /// The largest number of pages of all segments together.
    pub shmall: c_ulong,
    pub(super) unused: [c_ulong; 4],
}

/// `struct shm_info`: the resources in use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The number of segments.
    pub used_ids: c_int,
    /// The number of their pages.
    pub shm_tot: c_ulong,
    /// The number of these pages that are in memory.
    pub shm_rss: c_ulong,
    /// The number of these pages that are swapped out.
    pub shm_swp: c_ulong,
    pub(super) swap_attempts: c_ulong,
    pub(super) swap_successes: c_ulong,
}

/// Marks a segment to be destroyed once no process has it attached, and frees its key at once.
pub fn remove(id: c_int) -> Result<(), Errno> {
    // SAFETY: IPC_RMID uses no buffer.
    unsafe { control(id, libc::IPC_RMID, ptr::null_mut()) }.map(drop)
}

/// Sets a segment's owner, group and permission bits to those of a record.
pub fn set(id: c_int, record: &libc::shmid_ds) -> Result<(), Errno> {
    // SAFETY: IPC_SET reads one shmid_ds and writes nothing to it.
    unsafe { control(id, libc::IPC_SET, ptr::from_ref(record).cast_mut().cast()) }.map(drop)
}

/// Returns the record of a segment. Needs read permission.
pub fn stat(id: c_int) -> Result<libc::shmid_ds, Errno> {
    // SAFETY: IPC_STAT writes one shmid_ds.
    unsafe { fill(id, libc::IPC_STAT) }.map(|(_, record)| record)
}

/// Returns the id and the record of the segment at an index of the backend's table. On the kernel, needs read permission
/// before Linux 4.17.
pub fn stat_at(index: c_int) -> Result<(c_int, libc::shmid_ds), Errno> {
    // SAFETY: SHM_STAT_ANY writes one shmid_ds.
    match unsafe { fill(index, SHM_STAT_ANY) } {
        // An unknown command and an empty place give the same error, so the older command decides.
        // SAFETY: SHM_STAT writes one shmid_ds.
        Err(Errno(libc::EINVAL)) => unsafe { fill(index, SHM_STAT) },
        answer => answer,
    }
}

/// What is at an id's place in the backend's table.
#[derive(Clone, Copy)]
pub enum Occupant {
    /// The segment that has the id.
    Holds(libc::shmid_ds),
    /// A segment of another id.
    GivenTo(c_int),
    Empty,
}

/// Finds the segment with an id. Fails before Linux 4.17 if the caller may not read the segment.
pub fn find(id: c_int) -> Result<Occupant, Errno> {
    let mut place = Occupant::Empty;
    // The low bits of an id are an index: 15 bits, or 24 with the boot option ipcmni_extend.
    for bits in [15, 24] {
        match stat_at(id & ((1 << bits) - 1)) {
            Ok((found, record)) if found == id => return Ok(Occupant::Holds(record)),
            Ok((found, _)) => place = Occupant::GivenTo(found),
            Err(Errno(libc::EINVAL | libc::EIDRM)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(place)
}

/// Returns whether a segment that has existed was removed. Needs read permission only before Linux 4.17. A removed
/// segment has no key, and the last detach destroys it.
pub fn is_removed(id: c_int) -> Result<bool, Errno> {
    let is_removed = |record: libc::shmid_ds| u32::from(record.shm_perm.mode) & SHM_DEST != 0;
    match stat(id) {
        Ok(record) => Ok(is_removed(record)),
        // The caller may not read it any more, or it no longer exists.
        Err(errno) => match find(id) {
            Ok(Occupant::Holds(record)) => Ok(is_removed(record)),
            Ok(Occupant::GivenTo(_) | Occupant::Empty) => Ok(true),
            Err(_) => Err(errno),
        },
    }
}

/// Returns the limits.
pub fn limits() -> Result<Limits, Errno> {
    // SAFETY: IPC_INFO writes one shminfo.
    unsafe { fill(0, IPC_INFO) }.map(|(_, limits)| limits)
}

/// Returns the highest index in use in the backend's table, and the resources in use.
pub fn usage() -> Result<(c_int, Usage), Errno> {
    // SAFETY: SHM_INFO writes one shm_info.
    unsafe { fill(0, SHM_INFO) }
}

/// Runs a command.
///
/// # Safety
/// `T` must be the structure that the command writes.
unsafe fn fill<T: Copy>(id: c_int, command: c_int) -> Result<(c_int, T), Errno> {
    // SAFETY: the caller's promise.
    unsafe { super::fill(|record| control(id, command, record)) }
}
