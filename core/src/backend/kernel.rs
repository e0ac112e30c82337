//! System V shared memory in the kernel: the four calls, and the commands of `shmctl(2)` by name.

use crate::sys::Errno;
use core::{
    ffi::{c_int, c_ulong},
    mem::MaybeUninit,
    ptr,
};

pub use crate::sys::{
    shmat as attach, shmctl as control, shmdt as detach, shmget as create_or_get,
};

// Commands of <linux/shm.h> and <linux/ipc.h> that libc has for some targets only.
pub const IPC_INFO: c_int = 3;
pub const SHM_STAT: c_int = 13;
pub const SHM_INFO: c_int = 14;
pub const SHM_STAT_ANY: c_int = 15;

// Bits of a segment's mode beyond the permissions, from <linux/shm.h>: it is destroyed when the
// last process detaches it; it is locked into memory.
pub const SHM_DEST: u32 = 0o1000;
pub const SHM_LOCKED: u32 = 0o2000;

/// `struct shminfo`: what the system allows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest segment, in bytes.
    pub shmmax: c_ulong,
    /// The smallest segment, in bytes.
    pub shmmin: c_ulong,
    /// How many segments there may be.
    pub shmmni: c_ulong,
    shmseg: c_ulong,
    /// How many pages all segments may have together.
    pub shmall: c_ulong,
    unused: [c_ulong; 4],
}

/// `struct shm_info`: what is in use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// How many segments there are.
    pub used_ids: c_int,
    /// How many pages they have together.
    pub shm_tot: c_ulong,
    /// How many of these are in memory.
    pub shm_rss: c_ulong,
    /// How many of these are swapped out.
    pub shm_swp: c_ulong,
    swap_attempts: c_ulong,
    swap_successes: c_ulong,
}

/// Marks a segment to be destroyed once no process has it attached; its key is free from now on.
pub fn remove(id: c_int) -> Result<(), Errno> {
    // SAFETY: IPC_RMID uses no buffer.
    unsafe { control(id, libc::IPC_RMID, ptr::null_mut()) }.map(drop)
}

/// Sets a segment's owner, group and permission bits to those of a record.
pub fn set(id: c_int, record: &libc::shmid_ds) -> Result<(), Errno> {
    // SAFETY: IPC_SET reads one shmid_ds and writes nothing to it.
    unsafe { control(id, libc::IPC_SET, ptr::from_ref(record).cast_mut().cast()) }.map(drop)
}

/// The kernel's record of a segment. Needs read permission.
pub fn stat(id: c_int) -> Result<libc::shmid_ds, Errno> {
    // SAFETY: IPC_STAT writes one shmid_ds.
    unsafe { fill(id, libc::IPC_STAT) }.map(|(_, record)| record)
}

/// Returns the id and the record at an index of the kernel's table, also of a segment that the caller may not read. Before
/// Linux 4.17, which has no such command, only segments that this process may read.
pub fn stat_at(index: c_int) -> Result<(c_int, libc::shmid_ds), Errno> {
    // SAFETY: SHM_STAT_ANY writes one shmid_ds.
    match unsafe { fill(index, SHM_STAT_ANY) } {
        // An unknown command and an empty place give the same error; the older command tells them
        // apart. SAFETY: SHM_STAT writes one shmid_ds.
        Err(Errno(libc::EINVAL)) => unsafe { fill(index, SHM_STAT) },
        answer => answer,
    }
}

/// Who has an id's place in the kernel's table.
#[derive(Clone, Copy)]
pub enum Occupant {
    /// The segment that has the id.
    Holds(libc::shmid_ds),
    /// A segment of another id.
    GivenTo(c_int),
    Empty,
}

/// Looks an id up, also of a segment that the caller may not read. Fails where the kernel does not say.
pub fn find(id: c_int) -> Result<Occupant, Errno> {
    let mut place = Occupant::Empty;
    // An id is a sequence number above an index; ipcmni_extend, a boot option, widens the index
    // from 15 bits to 24.
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

/// Returns whether a segment that has existed was removed, also to a process that may not read it. A
/// removed segment has no key, and is destroyed by the last detach.
pub fn is_removed(id: c_int) -> Result<bool, Errno> {
    let is_removed = |record: libc::shmid_ds| u32::from(record.shm_perm.mode) & SHM_DEST != 0;
    match stat(id) {
        Ok(record) => Ok(is_removed(record)),
        // Its mode has changed, or it no longer exists.
        Err(errno) => match find(id) {
            Ok(Occupant::Holds(record)) => Ok(is_removed(record)),
            Ok(Occupant::GivenTo(_) | Occupant::Empty) => Ok(true),
            Err(_) => Err(errno),
        },
    }
}

/// What the system allows.
pub fn limits() -> Result<Limits, Errno> {
    // SAFETY: IPC_INFO writes one shminfo.
    unsafe { fill(0, IPC_INFO) }.map(|(_, limits)| limits)
}

/// What is in use, and the highest index of the kernel's table that is.
pub fn usage() -> Result<(c_int, Usage), Errno> {
    // SAFETY: SHM_INFO writes one shm_info.
    unsafe { fill(0, SHM_INFO) }
}

/// Runs a command that answers in a structure.
///
/// # Safety
/// `T` must be the structure that the command writes.
unsafe fn fill<T: Copy>(id: c_int, command: c_int) -> Result<(c_int, T), Errno> {
    let mut record = MaybeUninit::<T>::zeroed();
    // SAFETY: the caller names the right structure, and there is room for one.
    let value = unsafe { control(id, command, record.as_mut_ptr().cast()) }?;
    // SAFETY: all `T` here are C structures of integers: zeroes are valid, and so is what the
    // kernel wrote over them.
    Ok((value, unsafe { record.assume_init() }))
}
