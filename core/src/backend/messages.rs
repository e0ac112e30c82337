//! System V message queues: listing, creating and removing them.

use crate::sys::{self, Errno};
use core::{
    ffi::{c_int, c_ushort},
    ptr,
};

pub use crate::sys::msgget as create_or_get;

// Commands of <linux/msg.h>.
const MSG_STAT: c_int = 11;
const MSG_INFO: c_int = 12;
const MSG_STAT_ANY: c_int = 13;

/// `struct msginfo`: the system's limits. From [`usage`], three of its fields hold the resources in use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From [`usage`]: the number of queues.
    pub msgpool: c_int,
    /// From [`usage`]: the number of messages in all queues together.
    pub msgmap: c_int,
    /// The largest message, in bytes.
    pub msgmax: c_int,
    /// The limit that a new queue has on the size of all its messages together, in bytes.
    pub msgmnb: c_int,
    /// The largest number of queues.
    pub msgmni: c_int,
    msgssz: c_int,
    /// From [`usage`]: the size of the messages in all queues together, in bytes.
    pub msgtql: c_int,
    msgseg: c_ushort,
}

/// Returns the system's limits.
pub fn limits() -> Result<Limits, Errno> {
    // SAFETY: IPC_INFO writes one msginfo.
    unsafe { fill(0, super::IPC_INFO) }.map(|(_, limits)| limits)
}

/// Returns the highest index in use in the kernel's table, and the resources in use.
pub fn usage() -> Result<(c_int, Limits), Errno> {
    // SAFETY: MSG_INFO writes one msginfo.
    unsafe { fill(0, MSG_INFO) }
}

/// Returns the id and the record of the queue at an index of the kernel's table. Needs read permission only
/// before Linux 4.17.
pub fn stat_at(index: c_int) -> Result<(c_int, libc::msqid_ds), Errno> {
    // SAFETY: MSG_STAT_ANY writes one msqid_ds.
    match unsafe { fill(index, MSG_STAT_ANY) } {
        // An unknown command and an empty place give the same error, so the older command decides.
        // SAFETY: MSG_STAT writes one msqid_ds.
        Err(Errno(libc::EINVAL)) => unsafe { fill(index, MSG_STAT) },
        answer => answer,
    }
}

/// Removes a queue and its messages. The calls that wait for it fail with `EIDRM`.
pub fn remove(id: c_int) -> Result<(), Errno> {
    // SAFETY: IPC_RMID uses no buffer.
    unsafe { sys::msgctl(id, libc::IPC_RMID, ptr::null_mut()) }.map(drop)
}

/// Runs a command.
///
/// # Safety
/// `T` must be the structure that the command writes.
unsafe fn fill<T: Copy>(id: c_int, command: c_int) -> Result<(c_int, T), Errno> {
    // SAFETY: the caller's promise.
    unsafe { super::fill(|record| sys::msgctl(id, command, record)) }
}
