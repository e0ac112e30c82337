//! System V semaphore arrays: listing, reading, creating and removing them.

use crate::sys::{self, Errno};
use core::{
    ffi::{c_int, c_ulong, c_ushort},
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

/// `struct seminfo`: the system's limits. From [`usage`], two of its fields hold the resources in use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    semmap: c_int,
    /// The largest number of arrays.
    pub semmni: c_int,
    /// The largest number of semaphores in all arrays together.
    pub semmns: c_int,
    semmnu: c_int,
    /// The largest number of semaphores in one array.
    pub semmsl: c_int,
    /// The largest number of operations in one call of `semop(2)`.
    pub semopm: c_int,
    semume: c_int,
    /// From [`usage`]: the number of arrays.
    pub semusz: c_int,
    /// The largest value of a semaphore.
    pub semvmx: c_int,
    /// From [`usage`]: the number of semaphores in all arrays together.
    pub semaem: c_int,
}

/// `struct semid64_ds` of <asm/sembuf.h>, which not every libc has: the kernel's record of an array.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub sem_perm: libc::ipc_perm,
    /// The time of the last operation, in seconds since 1970; 0 if there was none.
    pub sem_otime: libc::time_t,
    #[cfg(target_arch = "x86_64")]
    unused1: c_ulong,
    /// The time of its creation or last change, in seconds since 1970.
    pub sem_ctime: libc::time_t,
    #[cfg(target_arch = "x86_64")]
    unused2: c_ulong,
    /// The number of semaphores in it.
    pub sem_nsems: c_ulong,
    unused: [c_ulong; 2],
}

/// Returns the system's limits.
pub fn limits() -> Result<Limits, Errno> {
    // SAFETY: IPC_INFO writes one seminfo.
    unsafe { fill(0, super::IPC_INFO) }.map(|(_, limits)| limits)
}

/// Returns the highest index in use in the kernel's table, and the resources in use.
pub fn usage() -> Result<(c_int, Limits), Errno> {
    // SAFETY: SEM_INFO writes one seminfo.
    unsafe { fill(0, SEM_INFO) }
}

/// Returns the id and the record of the array at an index of the kernel's table. Needs read permission only
/// before Linux 4.17.
pub fn stat_at(index: c_int) -> Result<(c_int, Record), Errno> {
    // SAFETY: SEM_STAT_ANY writes one semid64_ds.
    match unsafe { fill(index, SEM_STAT_ANY) } {
        // An unknown command and an empty place give the same error, so the older command decides.
        // SAFETY: SEM_STAT writes one semid64_ds.
        Err(Errno(libc::EINVAL)) => unsafe { fill(index, SEM_STAT) },
        answer => answer,
    }
}

/// Copies the values of an array. Needs read permission. `EIDRM` if the array does not have exactly
/// `values.len()` semaphores: the id is then that of another array than the caller's.
pub fn values(id: c_int, values: &mut [c_ushort]) -> Result<(), Errno> {
    // SAFETY: IPC_STAT writes one semid64_ds.
    let (_, record) = unsafe { fill::<Record>(id, libc::IPC_STAT) }?;
    if record.sem_nsems as usize != values.len() {
        return Err(Errno(libc::EIDRM));
    }
    // SAFETY: GETALL writes one number for each semaphore, and `values` has room for them: the number of semaphores of
    // an id never changes, and the kernel does not soon use an id again.
    unsafe { sys::semctl(id, 0, GETALL, values.as_mut_ptr().cast()) }.map(drop)
}

/// Returns the process that last changed one semaphore of an array, the number of threads that wait for it to
/// increase, and the number of those that wait for it to become zero. Needs read permission.
pub fn state(id: c_int, number: c_int) -> Result<(c_int, c_int, c_int), Errno> {
    // SAFETY: none of these commands uses a buffer.
    let ask = |command| unsafe { sys::semctl(id, number, command, ptr::null_mut()) };
    Ok((ask(GETPID)?, ask(GETNCNT)?, ask(GETZCNT)?))
}

/// Removes an array. The calls that wait for its semaphores fail with `EIDRM`.
pub fn remove(id: c_int) -> Result<(), Errno> {
    // SAFETY: IPC_RMID uses no buffer.
    unsafe { sys::semctl(id, 0, libc::IPC_RMID, ptr::null_mut()) }.map(drop)
}

/// Runs a command.
///
/// # Safety
/// `T` must be the structure that the command writes.
unsafe fn fill<T: Copy>(id: c_int, command: c_int) -> Result<(c_int, T), Errno> {
    // SAFETY: the caller's promise.
    unsafe { super::fill(|record| sys::semctl(id, 0, command, record)) }
}
