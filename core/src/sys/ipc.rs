//! The control calls of System V semaphores and message queues, straight to the kernel.

use super::{Errno, errno::check};
use core::ffi::{c_int, c_ulong, c_void};

/// `semctl(2)`. The last argument is a pointer: every member of `union semun` fits into one.
///
/// # Safety
/// `argument` must be what the command needs: a buffer to be written, or anything for a command that uses none.
pub unsafe fn semctl(
    id: c_int,
    number: c_int,
    command: c_int,
    argument: *mut c_void,
) -> Result<c_int, Errno> {
    // SAFETY: the caller provides the buffer that the command asks for.
    let value = check(unsafe {
        libc::syscall(
            libc::SYS_semctl,
            id,
            number,
            command,
            argument as usize as c_ulong,
        )
    })?;
    Ok(value as c_int)
}

/// `msgctl(2)`.
///
/// # Safety
/// `buffer` must be what the command needs: a buffer to be written, or anything for a command that uses none.
pub unsafe fn msgctl(id: c_int, command: c_int, buffer: *mut c_void) -> Result<c_int, Errno> {
    // SAFETY: the caller provides the buffer that the command asks for.
    let value = check(unsafe { libc::syscall(libc::SYS_msgctl, id, command, buffer) })?;
    Ok(value as c_int)
}

/// `semget(2)`.
pub fn semget(key: c_int, count: c_int, flags: c_int) -> Result<c_int, Errno> {
    // SAFETY: semget takes three integers and touches no memory of this process.
    let id = check(unsafe { libc::syscall(libc::SYS_semget, key, count, flags) })?;
    Ok(id as c_int)
}

/// `msgget(2)`.
pub fn msgget(key: c_int, flags: c_int) -> Result<c_int, Errno> {
    // SAFETY: msgget takes two integers and touches no memory of this process.
    let id = check(unsafe { libc::syscall(libc::SYS_msgget, key, flags) })?;
    Ok(id as c_int)
}
