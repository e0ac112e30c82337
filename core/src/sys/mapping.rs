//! Mappings of files.

use super::{Errno, errno::check, file::Descriptor, page_size};
use core::ffi::{c_int, c_void};

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The kernel chooses.
    Anywhere,
    /// At an address at which nothing is mapped; `EEXIST` if something is.
    Free(usize),
    /// At an address, in place of what is mapped there.
    Replacing(usize),
}

/// Maps a file from its start on, shared with other processes.
///
/// # Safety
/// What `Place::Replacing` replaces must not be in use.
pub unsafe fn map_file(
    place: Place,
    len: usize,
    protection: c_int,
    file: &Descriptor,
) -> Result<*mut c_void, Errno> {
    let (address, more) = match place {
        Place::Anywhere => (0, 0),
        Place::Free(address) => (address, libc::MAP_FIXED_NOREPLACE),
        Place::Replacing(address) => (address, libc::MAP_FIXED),
    };
    // SAFETY: the caller's promise.
    unsafe {
        map(
            address,
            len,
            protection,
            libc::MAP_SHARED | more,
            file.number(),
        )
    }
}

/// Maps a file from its start on, or memory with the number −1. With `MAP_FIXED_NOREPLACE`, returns `EEXIST` if something is
/// mapped there.
///
/// # Safety
/// What `MAP_FIXED` replaces must not be in use.
unsafe fn map(
    address: usize,
    len: usize,
    protection: c_int,
    flags: c_int,
    file: c_int,
) -> Result<*mut c_void, Errno> {
    // SAFETY: the caller's promise.
    let start = check(unsafe {
        libc::syscall(
            libc::SYS_mmap,
            address,
            len,
            protection,
            flags,
            file,
            0 as libc::c_long,
        )
    })? as *mut c_void;
    if flags & libc::MAP_FIXED_NOREPLACE != 0 && start as usize != address {
        // Linux before 4.17 takes the flag for a hint.
        // SAFETY: the mapping was made above, and no other code knows of it.
        unsafe { super::release(start, len) };
        return Err(Errno(libc::EEXIST));
    }
    Ok(start)
}

/// Private memory without a file, for which no space is reserved.
const NOTHING: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;

/// Maps a file, privately, so that it cannot be accessed.
pub fn map_untouchable(len: usize, file: &Descriptor) -> Result<*mut c_void, Errno> {
    // SAFETY: the kernel chooses the address, so no mapping is replaced.
    unsafe { map(0, len, libc::PROT_NONE, libc::MAP_PRIVATE, file.number()) }
}

/// Maps memory that begins with zeroes, and which this process shares with children that it makes later.
pub fn map_shared(len: usize) -> Result<*mut c_void, Errno> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the kernel chooses the address, so no mapping is replaced.
    unsafe {
        map(
            0,
            len,
            protection,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
        )
    }
}

/// Moves a mapping to an address, in place of what is mapped there, and makes it larger or smaller.
///
/// # Safety
/// The mapping must be the caller's, and what is replaced must not be in use, except by code that finds the same
/// there.
pub unsafe fn move_mapping(
    from: *mut c_void,
    len: usize,
    new_len: usize,
    to: *mut c_void,
) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    check(unsafe {
        libc::syscall(
            libc::SYS_mremap,
            from,
            len,
            new_len,
            libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
            to,
        )
    })
    .map(drop)
}

/// Returns whether one mapping has all of a range. False also if that is unknown.
///
/// For a moment, the mapping also has the page behind the range, if that is free. A thread that maps exactly this page at that
/// moment with `MAP_FIXED`, without having reserved it, loses it again. Such a thread could as well replace what another
/// thread's `mmap` has just got there, and mmap(2) warns of that. Reading `/proc/self/maps` has no such moment, but takes
/// longer than a whole detach.
pub fn is_one_mapping(address: usize, len: usize) -> bool {
    let resize = |from: usize, to: usize| {
        // SAFETY: the mapping stays where it is, and keeps what it has; no other mapping is replaced.
        check(unsafe { libc::syscall(libc::SYS_mremap, address, from, to, 0) })
    };
    // mremap(2) makes a mapping larger only if the range to its end is one mapping, and checks that first.
    let larger = len + page_size();
    match resize(len, larger) {
        Ok(_) => {
            let _ = resize(larger, len);
            true
        }
        // No address space behind it, or none that may be locked.
        Err(Errno(libc::ENOMEM | libc::EAGAIN)) => true,
        Err(_) => false,
    }
}

/// Returns whether nothing is mapped in a range. False also if that is unknown.
pub fn is_free(address: *mut c_void, len: usize) -> bool {
    let flags = NOTHING | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: MAP_FIXED_NOREPLACE replaces nothing.
    let mapped = unsafe { map(address as usize, len, libc::PROT_NONE, flags, -1) };
    if let Ok(start) = mapped {
        // SAFETY: the mapping was made above, and no other code knows of it.
        unsafe { super::release(start, len) };
    }
    mapped.is_ok()
}

/// Maps memory that reads as zeroes and cannot be written, in place of what is mapped there.
///
/// # Safety
/// What is replaced must not be in use, except by code that only reads it and accepts zeroes.
pub unsafe fn map_zeroes(address: *mut c_void, len: usize) -> Result<(), Errno> {
    let flags = NOTHING | libc::MAP_FIXED;
    // SAFETY: the caller's promise.
    unsafe { map(address as usize, len, libc::PROT_READ, flags, -1) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::release;

    #[test]
    fn a_range_is_free_except_while_zeroes_are_in_it() {
        // Neither the kernel nor libc uses these addresses by itself.
        let start: *mut c_void = core::ptr::without_provenance_mut(0x1100_0000_0000);
        let (middle, len) = (start.wrapping_byte_add(page_size()), 3 * page_size());
        assert!(is_free(start, len));
        // SAFETY: nothing is replaced, and no other code knows of the mapping.
        unsafe {
            map_zeroes(middle, page_size()).unwrap();
            assert_eq!(middle.cast::<u8>().read_volatile(), 0);
            assert!(!is_free(start, len));
            release(middle, page_size());
        }
        assert!(is_free(start, len));
    }
}
