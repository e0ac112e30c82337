//! System V semaphore arrays: listing, looking at, creating and removing them.

use crate::sys::{self, Errno};
use core::{
    ffi::{c_int, c_ulong, c_ushort, c_void},
    mem::MaybeUninit,
    ptr,
};

pub use crate::sys::semget as create_or_get;

// Commands of <linux/sem.h>.
const GETPID: c_int = 11;
const GETALL: c_int = 13;
const GETNCNT: c_int = 14;
const GETZCNT: c_int = 15;
const SEM_STAT: c_int = 18;
const SEM_INFO: c_int = 19;
const SEM_STAT_ANY: c_int = 20;

/// `struct seminfo`: what the system allows; and, from [`usage`], in two of its fields what is in use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    semmap: c_int,
    /// How many arrays there may be.
    pub semmni: c_int,
    /// How many semaphores all arrays may have together.
    pub semmns: c_int,
    semmnu: c_int,
    /// How many semaphores an array may have.
    pub semmsl: c_int,
    /// How many operations one call of `semop(2)` may have.
    pub semopm: c_int,
    semume: c_int,
    /// From [`usage`]: how many arrays there are.
    pub semusz: c_int,
    /// The largest value of a semaphore.
    pub semvmx: c_int,
    /// From [`usage`]: how many semaphores all arrays have together.
    pub semaem: c_int,
}

/// `struct semid64_ds` of <asm/sembuf.h>, which not every libc has: what the kernel knows of an array.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub sem_perm: libc::ipc_perm,
    /// When the last operation was, in seconds since 1970; 0 for never.
    pub sem_otime: libc::time_t,
    #[cfg(target_arch = "x86_64")]
    unused1: c_ulong,
    /// When it was created or changed.
    pub sem_ctime: libc::time_t,
    #[cfg(target_arch = "x86_64")]
    unused2: c_ulong,
    /// How many semaphores it has.
    pub sem_nsems: c_ulong,
    unused: [c_ulong; 2],
}

/// Returns what the system allows.
pub fn limits() -> Result<Limits, Errno> {
    // SAFETY: IPC_INFO writes one seminfo.
    unsafe { fill(0, super::IPC_INFO) }.map(|(_, limits)| limits)
}

/// Returns the highest index of the kernel's table that is in use, and how much is in use.
pub fn usage() -> Result<(c_int, Limits), Errno> {
    // SAFETY: SEM_INFO writes one seminfo.
    unsafe { fill(0, SEM_INFO) }
}

/// Returns the id and the record at an index of the kernel's table, also to a user who may not read the array. Before
/// Linux 4.17, only to one who may.
pub fn stat_at(index: c_int) -> Result<(c_int, Record), Errno> {
    // SAFETY: SEM_STAT_ANY writes one semid64_ds.
    match unsafe { fill(index, SEM_STAT_ANY) } {
        // An unknown command and an empty place give the same error. SAFETY: SEM_STAT writes one semid64_ds.
        Err(Errno(libc::EINVAL)) => unsafe { fill(index, SEM_STAT) },
        answer => answer,
    }
}

/// Copies the values of an array, which must have as many semaphores as `values` has room for. Needs read permission.
pub fn values(id: c_int, values: &mut [c_ushort]) -> Result<(), Errno> {
    let mut record = MaybeUninit::<Record>::zeroed();
    let buffer: *mut c_void = record.as_mut_ptr().cast();
    // SAFETY: IPC_STAT writes one semid64_ds.
    unsafe { sys::semctl(id, 0, libc::IPC_STAT, buffer) }?;
    // SAFETY: it is a C structure of integers, and the kernel has filled it. The number of semaphores of an id never
    // changes, and ids are not soon used again.
    let record = unsafe { record.assume_init() };
    if record.sem_nsems as usize != values.len() {
        return Err(Errno(libc::EIDRM));
    }
    // SAFETY: GETALL writes a number for each semaphore, and there is room for that many.
    unsafe { sys::semctl(id, 0, GETALL, values.as_mut_ptr().cast()) }.map(drop)
}

/// Returns, of one semaphore of an array, which process changed it last, and how many threads wait for it to grow
/// and to become zero. Needs read permission.
pub fn state(id: c_int, number: c_int) -> Result<(c_int, c_int, c_int), Errno> {
    // SAFETY: none of these commands uses a buffer.
    let ask = |command| unsafe { sys::semctl(id, number, command, ptr::null_mut()) };
    Ok((ask(GETPID)?, ask(GETNCNT)?, ask(GETZCNT)?))
}

/// Removes an array; a thread that waits for one of its semaphores fails with `EIDRM`.
pub fn remove(id: c_int) -> Result<(), Errno> {
    // SAFETY: IPC_RMID uses no buffer.
    unsafe { sys::semctl(id, 0, libc::IPC_RMID, ptr::null_mut()) }.map(drop)
}

/// Runs a command that answers in a structure.
///
/// # Safety
/// `T` must be the structure that the command writes.
unsafe fn fill<T: Copy>(id: c_int, command: c_int) -> Result<(c_int, T), Errno> {
    let mut record = MaybeUninit::<T>::zeroed();
    // SAFETY: the caller names the right structure, and there is room for one.
    let value = unsafe { sys::semctl(id, 0, command, record.as_mut_ptr().cast()) }?;
    // SAFETY: all `T` here are C structures of integers: zeroes are valid, and so is what the kernel wrote over them.
    Ok((value, unsafe { record.assume_init() }))
}
