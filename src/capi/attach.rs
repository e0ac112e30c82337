//! Attaching and detaching.

use super::failure::{keeping_errno, or_minus_one, or_null, put};
use crate::{
    Error,
    segment::attachment::{
        attach_at, attach_huge, detach, not_attached, populate, size_of_mapping,
    },
    sys,
};
use core::{
    ffi::{c_int, c_void},
    ptr::{self, NonNull},
};

/// The flags that shmat(2) knows.
const ATTACH_FLAGS: c_int = libc::SHM_RDONLY | libc::SHM_RND | libc::SHM_REMAP | libc::SHM_EXEC;

/// Attaches a segment: its memory becomes part of this process, at a page-aligned address that the kernel
/// chooses. A segment can be attached many times. Access to its bytes is not synchronised: what this process
/// writes becomes visible to the others byte by byte, in any order.
///
/// id: as an open function returned it, in this process or in another.
/// flags: 0 to read and write; SHMKEY_READ_ONLY to read; a write then raises SIGSEGV. SHM_RND, SHM_REMAP and
/// SHM_EXEC are those of shmat(2).
///
/// Returns: the address of the first byte; or NULL, never (void *) -1. It is valid until shm_detach(), exec or
/// the end of the process; a child made by fork(2) has the segment attached, too.
/// Errors: EINVAL no segment has this id, or flags has an undefined bit; EIDRM the segment is removed and destroyed
/// during the call (one that was destroyed before gives EINVAL); EACCES its mode does not allow it; ENOMEM there is no
/// address space left; ENOSYS this system has no System V shared memory.
/// Threads: any, also in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_attach(id: c_int, flags: c_int) -> *mut c_void {
    // SAFETY: the kernel refuses SHM_REMAP where no address is given.
    or_null(unsafe { checked_attach(id, ptr::null(), flags) })
}

/// Attaches a segment at an address that the caller chooses. If something is mapped there, SHM_REMAP replaces
/// it, whatever it is; without SHM_REMAP the call fails.
///
/// id: as an open function returned it, in this process or in another.
/// address: a multiple of the page size, or any address with SHM_RND, which rounds it down; NULL lets the
/// kernel choose.
/// flags: 0 to read and write; SHMKEY_READ_ONLY to read. SHM_RND, SHM_REMAP and SHM_EXEC are those of shmat(2).
///
/// Returns: the address of the first byte; or NULL, never (void *) -1. It is valid until shm_detach(), exec or
/// the end of the process; a child made by fork(2) has the segment attached, too.
/// Errors: EINVAL no segment has this id, the address is not aligned or is in use, or flags has an undefined bit; EIDRM
/// the segment is removed and destroyed during the call (one that was destroyed before gives EINVAL); EACCES its mode
/// does not allow it; ENOMEM there is no address space left; ENOSYS this system has no System V shared memory.
/// Threads: any, also in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_attach_at(
    id: c_int,
    address: *const c_void,
    flags: c_int,
) -> *mut c_void {
    // SAFETY: the caller has promised what SHM_REMAP needs.
    or_null(unsafe { checked_attach(id, address, flags) })
}

/// Attaches a segment on huge pages where the system has them: a segment of 2 MiB or more, at a multiple of 2
/// MiB, with MADV_HUGEPAGE. /sys/kernel/mm/transparent_hugepage/shmem_enabled must be "advise" or "always".
/// If there are no huge pages, the segment is attached on ordinary ones.
///
/// id: as an open function returned it, in this process or in another.
/// flags: 0 to read and write; SHMKEY_READ_ONLY to read; SHM_EXEC.
///
/// Returns: the address of the first byte; or NULL. It is valid until shm_detach(), exec or the end of the
/// process; a child made by fork(2) has the segment attached, too.
/// Errors: EINVAL no segment has this id, or flags has an undefined bit; EIDRM the segment is removed and destroyed
/// during the call (one that was destroyed before gives EINVAL); EACCES its mode does not allow the access, or does not
/// allow reading; ENOMEM there is no address space left; ENOSYS this system has no System V shared memory.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_attach_huge(id: c_int, flags: c_int) -> *mut c_void {
    let unknown = flags & !(libc::SHM_RDONLY | libc::SHM_EXEC);
    or_null(if unknown == 0 {
        keeping_errno(|| attach_huge(id, flags))
    } else {
        Err(Error::undefined_flags("shmat", unknown))
    })
}

/// Detaches a segment. No thread of the process can use its memory afterwards.
///
/// addr: exactly what an attach function returned.
///
/// Returns: 0; or -1.
/// Errors: EINVAL no segment is attached at this address: the address is NULL or lies inside a segment, or the
/// segment was detached.
/// Threads: any, also in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_detach(addr: *const c_void) -> c_int {
    // SAFETY: the caller has promised that the memory is no longer used.
    or_minus_one(unsafe { detach(addr) }.map(|()| 0))
}

/// Stores the exact size of the segment that is attached at an address, whichever call attached it.
///
/// addr: exactly what an attach function returned.
/// size: where to store the size in bytes; untouched on failure.
///
/// Returns: 0; or -1.
/// Errors: EINVAL no segment is attached at this address; EFAULT size does not point to memory that this process can
/// write; ENOENT /proc is not mounted; EMFILE, ENFILE the process or the system has no more descriptors.
/// Threads: any; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_attached_size(addr: *const c_void, size: *mut usize) -> c_int {
    or_minus_one(keeping_errno(|| {
        let bytes = size_of_mapping(&attached(addr)?)?;
        // SAFETY: the caller owns the size_t at that address, if there is one; put accepts every pointer.
        unsafe { put(&bytes.to_ne_bytes(), size, "shm_attached_size") }
    }))
}

/// Makes all pages of an attached segment present, so that no later access faults; for writing if the segment
/// is attached for writing. The content does not change. The kernel allocates all pages during the call: 0.1 to
/// 0.6 seconds for each GiB.
///
/// addr: exactly what an attach function returned.
///
/// Returns: 0; or -1.
/// Errors: EINVAL no segment is attached at this address, or the kernel is older than Linux 5.14; ENOMEM there is not
/// enough memory; ENOENT /proc is not mounted; EMFILE, ENFILE the process or the system has no more descriptors.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_prefault(addr: *const c_void) -> c_int {
    or_minus_one(keeping_errno(|| {
        let mapping = attached(addr)?;
        let address =
            NonNull::new(addr.cast_mut().cast()).ok_or_else(|| not_attached(addr as usize))?;
        populate(mapping.id, address, mapping.len, mapping.writable)?;
        Ok(0)
    }))
}

/// # Safety
/// With `SHM_REMAP`, the address must be memory that is no longer in use.
unsafe fn checked_attach(
    id: c_int,
    address: *const c_void,
    flags: c_int,
) -> Result<NonNull<u8>, Error> {
    if flags & !ATTACH_FLAGS != 0 {
        return Err(Error::undefined_flags("shmat", flags & !ATTACH_FLAGS));
    }
    // SAFETY: the caller has promised what SHM_REMAP needs.
    unsafe { attach_at(id, address, flags) }
}

/// Finds what is attached at an address.
fn attached(addr: *const c_void) -> Result<sys::Mapping, Error> {
    match sys::attached_at(addr as usize) {
        Ok(Some(mapping)) => Ok(mapping),
        Ok(None) => Err(not_attached(addr as usize)),
        Err(errno) => Err(Error::no_proc(errno)),
    }
}
