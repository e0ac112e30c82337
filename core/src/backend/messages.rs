//! System V message queues: listing, creating and removing them.

use crate::sys::{self, Errno};
use core::{
    ffi::{c_int, c_ushort},
    mem::MaybeUninit,
    ptr,
};

pub use crate::sys::msgget as create_or_get;

// Commands of <linux/msg.h>.
const MSG_STAT: c_int = 11;
const MSG_INFO: c_int = 12;
const MSG_STAT_ANY: c_int = 13;

/// `struct msginfo`: what the system allows; and, from [`usage`], in three of its fields what is in use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From [`usage`]: how many queues there are.
    pub msgpool: c_int,
    /// From [`usage`]: how many messages all queues have together.
    pub msgmap: c_int,
    /// The largest message, in bytes.
    pub msgmax: c_int,
    /// How many bytes the messages of a new queue may have together.
    pub msgmnb: c_int,
    /// How many queues there may be.
    pub msgmni: c_int,
    msgssz: c_int,
    /// From [`usage`]: how many bytes the messages of all queues have together.
    pub msgtql: c_int,
    msgseg: c_ushort,
}

/// Returns what the system allows.
pub fn limits() -> Result<Limits, Errno> {
    // SAFETY: IPC_INFO writes one msginfo.
    unsafe { fill(0, super::IPC_INFO) }.map(|(_, limits)| limits)
}

/// Returns the highest index of the kernel's table that is in use, and how much is in use.
pub fn usage() -> Result<(c_int, Limits), Errno> {
    // SAFETY: MSG_INFO writes one msginfo.
    unsafe { fill(0, MSG_INFO) }
}

/// Returns the id and the record at an index of the kernel's table, also to a user who may not read the queue. Before
/// Linux 4.17, only to one who may.
pub fn stat_at(index: c_int) -> Result<(c_int, libc::msqid_ds), Errno> {
    // SAFETY: MSG_STAT_ANY writes one msqid_ds.
    match unsafe { fill(index, MSG_STAT_ANY) } {
        // An unknown command and an empty place give the same error. SAFETY: MSG_STAT writes one msqid_ds.
        Err(Errno(libc::EINVAL)) => unsafe { fill(index, MSG_STAT) },
        answer => answer,
    }
}

/// Removes a queue and its messages; a thread that waits for it fails with `EIDRM`.
pub fn remove(id: c_int) -> Result<(), Errno> {
    // SAFETY: IPC_RMID uses no buffer.
    unsafe { sys::msgctl(id, libc::IPC_RMID, ptr::null_mut()) }.map(drop)
}

/// Runs a command that answers in a structure.
///
/// # Safety
/// `T` must be the structure that the command writes.
unsafe fn fill<T: Copy>(id: c_int, command: c_int) -> Result<(c_int, T), Errno> {
    let mut record = MaybeUninit::<T>::zeroed();
    // SAFETY: the caller names the right structure, and there is room for one.
    let value = unsafe { sys::msgctl(id, command, record.as_mut_ptr().cast()) }?;
    // SAFETY: all `T` here are C structures of integers: zeroes are valid, and so is what the kernel wrote over them.
    Ok((value, unsafe { record.assume_init() }))
}
