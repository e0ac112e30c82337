//! Address space: reserving it, filling it in advance, asking for huge pages.

use super::{Errno, errno::check};
use core::{ffi::c_void, ptr};

/// The size of a huge page on x86-64 and on AArch64 with 4 KiB pages, in bytes.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// The size of a page in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf takes a number and has no other effect. Every system has pages, so the answer
    // is positive.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Reserves `len` bytes of address space at a multiple of `align`. Nothing is readable there until
/// it is replaced.
///
/// `align` is a power of two and a multiple of the page size; `len` is rounded up to whole pages by
/// the kernel.
pub(crate) fn reserve(len: usize, align: usize) -> Result<*mut c_void, Errno> {
    let len = len
        .checked_next_multiple_of(align)
        .ok_or(Errno(libc::ENOMEM))?;
    let room = len.checked_add(align).ok_or(Errno(libc::ENOMEM))?;
    // SAFETY: a new anonymous mapping at an address of the kernel's choosing replaces nothing.
    let start = check(unsafe {
        libc::syscall(
            libc::SYS_mmap,
            ptr::null_mut::<c_void>(),
            room,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0 as libc::c_long,
        )
    })? as usize;
    let aligned = start.next_multiple_of(align);
    // The parts before and behind the aligned range go back at once. If that should fail, they stay
    // reserved: harmless. SAFETY: both ranges lie inside the mapping made above, which nobody else
    // knows of.
    unsafe {
        if aligned > start {
            release(start as *mut c_void, aligned - start);
        }
        release((aligned + len) as *mut c_void, start + room - aligned - len);
    }
    Ok(aligned as *mut c_void)
}

/// Gives address space back.
///
/// # Safety
/// Nobody may use these `len` bytes from now on.
pub(crate) unsafe fn release(addr: *mut c_void, len: usize) {
    if len > 0 {
        // SAFETY: the caller gives the range up.
        unsafe { libc::syscall(libc::SYS_munmap, addr, len) };
    }
}

/// Makes all pages of a range present: writable if `write`, else readable. The content does not
/// change.
pub(crate) fn populate(addr: *mut c_void, len: usize, write: bool) -> Result<(), Errno> {
    let advice = if write {
        libc::MADV_POPULATE_WRITE
    } else {
        libc::MADV_POPULATE_READ
    };
    // SAFETY: populating reads or rewrites pages without changing a byte; a range that is not
    // mapped is an error.
    check(unsafe { libc::syscall(libc::SYS_madvise, addr, len, advice) })?;
    Ok(())
}

/// Asks for huge pages in a range.
pub(crate) fn advise_huge(addr: *mut c_void, len: usize) -> Result<(), Errno> {
    // SAFETY: the advice changes how memory is backed, not what it holds.
    check(unsafe { libc::syscall(libc::SYS_madvise, addr, len, libc::MADV_HUGEPAGE) })?;
    Ok(())
}

/// Copies bytes from a pointer that a C program handed over and that may lead nowhere: the kernel
/// does it, and answers `EFAULT` where this process would crash. Returns how many bytes could be
/// read; fewer than asked for only if the rest is not readable.
pub(crate) fn read_foreign(from: *const u8, to: &mut [u8]) -> Result<usize, Errno> {
    let local = iovec(to.as_mut_ptr(), to.len());
    // SAFETY: the kernel writes at most `to.len()` bytes of `to`, and reads `from` with its own
    // checks.
    unsafe {
        copy_by_kernel(
            libc::SYS_process_vm_readv,
            &local,
            &iovec(from.cast_mut(), to.len()),
        )
    }
}

/// Copies bytes to a pointer that a C program handed over and that may lead nowhere: then the
/// answer is `EFAULT`.
///
/// # Safety
/// If there is memory at `to`, `from.len()` bytes of it must be the caller's to write.
pub(crate) unsafe fn write_foreign(from: &[u8], to: *mut u8) -> Result<(), Errno> {
    let local = iovec(from.as_ptr().cast_mut(), from.len());
    // SAFETY: the kernel reads `from`, and writes `to`, which the caller gives it, with its own
    // checks.
    match unsafe { copy_by_kernel(libc::SYS_process_vm_writev, &local, &iovec(to, from.len())) } {
        Ok(written) if written < from.len() => return Err(Errno(libc::EFAULT)),
        // A seccomp policy forbids the careful way. What C functions do all the time is left.
        Ok(_) | Err(Errno(libc::ENOSYS | libc::EPERM)) => {}
        Err(errno) => return Err(errno),
    }
    // Once more, because valgrind and the sanitizers do not see what the kernel wrote. SAFETY: the
    // caller vouches for the memory, and the kernel has found it writable.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
    Ok(())
}

fn iovec(base: *mut u8, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: base.cast(),
        iov_len: len,
    }
}

/// # Safety
/// `local` must be valid for the call: writable for reading, readable for writing.
unsafe fn copy_by_kernel(
    call: libc::c_long,
    local: &libc::iovec,
    remote: &libc::iovec,
) -> Result<usize, Errno> {
    let (one, no_flags): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: one vector of each kind, as counted; the kernel checks the remote one, which is in
    // this very process.
    let copied = check(unsafe {
        libc::syscall(
            call,
            libc::getpid(),
            ptr::from_ref(local),
            one,
            ptr::from_ref(remote),
            one,
            no_flags,
        )
    })?;
    Ok(copied as usize)
}
