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

/// Attaches a segment: its memory becomes part of this process, at a page-aligned address that the
/// kernel chooses. The same segment may be attached many times.
///
/// flags: exactly shmat's, from <sys/shm.h>: 0 to read and write, or SHM_RDONLY (then writing kills
/// the process), SHM_EXEC.
///
/// Returns: the address of the first byte; or NULL, and never (void *) -1. It is valid until
/// shm_detach(), exec or the end of the process; a child made by fork() has it, too.
/// Errors: EINVAL no such id, or flags that nobody defined; EIDRM removed and destroyed; EACCES the
/// segment's mode does not allow it; ENOMEM no address space left; ENOSYS.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_attach(id: c_int, flags: c_int) -> *mut c_void {
    // SAFETY: the kernel refuses SHM_REMAP where no address is given.
    or_null(unsafe { checked_attach(id, ptr::null(), flags) })
}

/// Attaches a segment at an address of the caller's choosing: a multiple of the page size, or any
/// with SHM_RND, which rounds it down. NULL lets the kernel choose. What is mapped there is never
/// replaced, unless flags has SHM_REMAP: then it is, whatever it was.
///
/// flags, result, errors: as for shm_attach(); EINVAL also if the address is not aligned or in use.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_attach_at(
    id: c_int,
    address: *const c_void,
    flags: c_int,
) -> *mut c_void {
    // SAFETY: the caller vouches for SHM_REMAP.
    or_null(unsafe { checked_attach(id, address, flags) })
}

/// Attaches a segment on huge pages where the system can: one of 2 MiB or more at a multiple of 2
/// MiB, with the kernel advised to use huge pages (MADV_HUGEPAGE;
/// /sys/kernel/mm/transparent_hugepage/shmem_enabled must be "advise" or "always"). It is advice:
/// without huge pages the segment is attached all the same.
///
/// flags: SHM_RDONLY and SHM_EXEC. Result, errors: as for shm_attach(); EACCES also without read
/// permission.
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

/// Detaches the segment at an address, which must be the very one that attaching returned. From
/// then on the memory is gone for all threads of the process.
///
/// Returns: 0, or -1.
/// Errors: EINVAL nothing is attached at this address (NULL, one inside a segment, one that was
/// detached already).
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_detach(addr: *const c_void) -> c_int {
    // SAFETY: the caller gives the memory up.
    or_minus_one(unsafe { detach(addr) }.map(|()| 0))
}

/// The exact size in bytes of the segment that is attached at an address, by whatever call attached
/// it.
///
/// size: where to store it; untouched on failure.
///
/// Returns: 0, or -1.
/// Errors: EINVAL nothing is attached at this address; EFAULT size is NULL or points nowhere;
/// ENOENT /proc is not mounted.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_attached_size(addr: *const c_void, size: *mut usize) -> c_int {
    or_minus_one(keeping_errno(|| {
        let bytes = size_of_mapping(&attached(addr)?)?;
        // SAFETY: the caller gives us the memory of one size_t, if there is any at that address.
        unsafe { put(&bytes.to_ne_bytes(), size, "shm_attached_size") }
    }))
}

/// Makes all pages of the segment that is attached at an address present, so that no access faults
/// later; for writing if it is attached for writing. The content does not change. It takes the
/// memory at once, and 0.1 to 0.6 seconds a GiB.
///
/// Returns: 0, or -1.
/// Errors: EINVAL nothing is attached at this address, or a kernel before Linux 5.14; ENOMEM;
/// ENOENT /proc is not mounted.
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
/// With `SHM_REMAP`, the address must be memory that nobody uses any more.
unsafe fn checked_attach(
    id: c_int,
    address: *const c_void,
    flags: c_int,
) -> Result<NonNull<u8>, Error> {
    if flags & !ATTACH_FLAGS != 0 {
        return Err(Error::undefined_flags("shmat", flags & !ATTACH_FLAGS));
    }
    // SAFETY: the caller vouches for SHM_REMAP.
    unsafe { attach_at(id, address, flags) }
}

/// What is attached at an address.
fn attached(addr: *const c_void) -> Result<sys::Mapping, Error> {
    match sys::attached_at(addr as usize) {
        Ok(Some(mapping)) => Ok(mapping),
        Ok(None) => Err(not_attached(addr as usize)),
        Err(errno) => Err(Error::no_proc(errno)),
    }
}
