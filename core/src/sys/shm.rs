//! The four System V calls, straight to the kernel.
//!
//! They do not call libc's functions of these names: the drop-in exports these names, and would call itself for
//! ever. They are inlined, because processors lose their return predictions in a system call, and each frame
//! between it and the program's own code then costs about 15 ns.

use super::{Errno, errno::check};
use core::ffi::{c_int, c_void};

/// `shmget(2)`.
#[inline]
pub fn shmget(key: c_int, size: usize, flags: c_int) -> Result<c_int, Errno> {
    // SAFETY: shmget takes three integers and touches no memory of this process.
    let id = check(unsafe { libc::syscall(libc::SYS_shmget, key, size, flags) })?;
    Ok(id as c_int)
}

/// `shmat(2)`.
///
/// # Safety
/// With `SHM_REMAP` in `flags` the kernel replaces the mappings at `addr`, which must not be in use. Without it the
/// call is safe for every argument.
#[inline]
pub unsafe fn shmat(id: c_int, addr: *const c_void, flags: c_int) -> Result<*mut c_void, Errno> {
    // SAFETY: the kernel checks all three arguments; the caller's promise covers SHM_REMAP.
    let address = check(unsafe { libc::syscall(libc::SYS_shmat, id, addr, flags) })?;
    Ok(address as *mut c_void)
}

/// `shmdt(2)`.
///
/// # Safety
/// If a segment is attached at `addr`, that memory must not be used from now on.
#[inline]
pub unsafe fn shmdt(addr: *const c_void) -> Result<(), Errno> {
    // SAFETY: the kernel rejects an address at which no segment is attached; the caller no longer uses the one
    // that is.
    check(unsafe { libc::syscall(libc::SYS_shmdt, addr) })?;
    Ok(())
}

/// `shmctl(2)`.
///
/// # Safety
/// `buf` must be what the command needs: a `shmid_ds`, `shminfo` or `shm_info` to be read or written, or anything
/// for a command that uses none. (The kernel returns `EFAULT` only for an address that it cannot use.)
pub unsafe fn shmctl(id: c_int, command: c_int, buf: *mut c_void) -> Result<c_int, Errno> {
    // SAFETY: the caller provides the buffer that the command asks for.
    let value = check(unsafe { libc::syscall(libc::SYS_shmctl, id, command, buf) })?;
    Ok(value as c_int)
}

/// Returns the key in a segment's permissions. The field's name differs between libcs, but it is always the first.
pub fn key_of(permissions: &libc::ipc_perm) -> libc::key_t {
    // SAFETY: a key is a number, and the structure begins with it.
    unsafe { *core::ptr::from_ref(permissions).cast() }
}

/// Sets the key in a segment's permissions.
pub fn set_key_of(permissions: &mut libc::ipc_perm, key: libc::key_t) {
    // SAFETY: as in `key_of`.
    unsafe { *core::ptr::from_mut(permissions).cast() = key };
}
