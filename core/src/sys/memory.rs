//! Address space: finding, mapping and populating it, huge pages, and copying through invalid pointers.

use super::{
    Errno,
    errno::check,
    process::{process_id, thread_id},
};
use core::{
    ffi::{c_int, c_void},
    fmt,
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    slice,
};

/// The size of a huge page on x86-64 and on AArch64 with 4 KiB pages, in bytes.
pub const HUGE_PAGE: usize = 2 << 20;

/// Returns whether all of a range is mapped.
#[expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the kernel checks the address"
)]
pub fn is_mapped(addr: *const c_void, len: usize) -> bool {
    // SAFETY: MS_ASYNC writes nothing and waits for nothing; a range that is not mapped is an error.
    check(unsafe { libc::syscall(libc::SYS_msync, addr, len, libc::MS_ASYNC) }).is_ok()
}

/// Returns the size of a page in bytes.
pub fn page_size() -> usize {
    // SAFETY: sysconf takes a number and has no other effect. It cannot fail for this one.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// Maps private memory of zeroes at an address that the kernel chooses.
pub(super) fn map_anonymous(len: usize, protection: libc::c_int) -> Result<*mut c_void, Errno> {
    // SAFETY: the kernel chooses the address, so no mapping is replaced.
    let start = check(unsafe {
        libc::syscall(
            libc::SYS_mmap,
            ptr::null_mut::<c_void>(),
            len,
            protection,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0 as libc::c_long,
        )
    })?;
    Ok(start as *mut c_void)
}

/// Maps private memory of zeroes that can be read and written.
pub fn map_memory(len: usize) -> Result<*mut c_void, Errno> {
    map_anonymous(len, libc::PROT_READ | libc::PROT_WRITE)
}

/// Maps a page of zeroes for ever. Returns it, and whether the kernel fills it with zeroes again in every child made
/// by `fork` (`MADV_WIPEONFORK`, Linux 4.14).
pub fn page_wiped_on_fork() -> Result<(*mut c_void, bool), Errno> {
    let len = page_size();
    let page = map_anonymous(len, libc::PROT_READ | libc::PROT_WRITE)?;
    let wiped = follows_advice(page, len) && advise(page, len, libc::MADV_WIPEONFORK).is_ok();
    Ok((page, wiped))
}

/// Excludes a mapping from the children that `fork` makes.
pub fn keep_from_children(addr: *mut c_void, len: usize) -> Result<(), Errno> {
    if !follows_advice(addr, len) {
        return Err(Errno(libc::ENOSYS));
    }
    advise(addr, len, libc::MADV_DONTFORK)
}

/// Returns whether advice on this mapping has an effect: some emulators accept every advice, even one that does not
/// exist, and ignore it.
fn follows_advice(addr: *mut c_void, len: usize) -> bool {
    const NO_ADVICE: c_int = -1;
    advise(addr, len, NO_ADVICE).is_err()
}

/// An array of numbers outside of the heap and the stack; dropping it unmaps it.
pub struct Scratch(&'static mut [libc::c_int]);

impl Scratch {
    /// Maps an array of zeroes.
    pub fn new(count: usize) -> Result<Scratch, Errno> {
        let bytes = count.max(1) * size_of::<libc::c_int>();
        let room = map_anonymous(bytes, libc::PROT_READ | libc::PROT_WRITE)?;
        // SAFETY: `count` numbers of value 0, aligned to a page, which stay until `drop` and which no other code
        // knows of.
        Ok(Scratch(unsafe {
            slice::from_raw_parts_mut(room.cast(), count)
        }))
    }

    pub fn numbers(&self) -> &[libc::c_int] {
        self.0
    }

    pub fn numbers_mut(&mut self) -> &mut [libc::c_int] {
        self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let bytes = self.0.len().max(1) * size_of::<libc::c_int>();
        // SAFETY: `new` has mapped them, and their only owner is dropped.
        unsafe { release(self.0.as_mut_ptr().cast(), bytes) };
    }
}

/// A value in pages of its own, outside of the heap. A signal handler that has interrupted `malloc` can make one.
pub struct Mapped<T>(NonNull<T>);

// SAFETY: it owns its value, as a Box does.
unsafe impl<T: Send> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    /// Maps memory and moves the value there. Drops the value if there is no memory.
    pub fn new(value: T) -> Result<Mapped<T>, Errno> {
        const { assert!(align_of::<T>() <= 4096) };
        let room = map_anonymous(size_of::<T>().max(1), libc::PROT_READ | libc::PROT_WRITE)?;
        let room = NonNull::new(room.cast::<T>()).ok_or(Errno(libc::ENOMEM))?;
        // SAFETY: room for a `T`, aligned to a page, which stays until `drop` and which no other code knows of.
        unsafe { room.write(value) };
        Ok(Mapped(room))
    }
}

impl<T> Deref for Mapped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` has written the value, and only this owner has it.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Mapped<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        unsafe { self.0.as_mut() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Mapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: `new` has mapped the room and written the value, and their only owner is dropped.
        unsafe {
            self.0.drop_in_place();
            release(self.0.as_ptr().cast(), size_of::<T>().max(1));
        }
    }
}

/// Unmaps address space.
///
/// # Safety
/// These `len` bytes must not be used from now on.
pub unsafe fn release(addr: *mut c_void, len: usize) {
    // SAFETY: the caller no longer uses the range.
    unsafe { libc::syscall(libc::SYS_munmap, addr, len) };
}

/// Finds `len` bytes of free address space at a multiple of `align`, which must be a power of two and a multiple of
/// the page size. Another thread can take that space at any time.
pub fn find_room(len: usize, align: usize) -> Result<*const c_void, Errno> {
    let room = len
        .checked_next_multiple_of(align)
        .and_then(|len| len.checked_add(align))
        .ok_or(Errno(libc::ENOMEM))?;
    let start = map_anonymous(room, libc::PROT_NONE)? as usize;
    // SAFETY: the mapping was made above and no other code knows of it.
    unsafe { release(start as *mut c_void, room) };
    Ok(start.next_multiple_of(align) as *const c_void)
}

/// Makes all pages of a range present: writable if `write`, else readable. Does not change their content.
pub fn populate(addr: *mut c_void, len: usize, write: bool) -> Result<(), Errno> {
    let advice = if write {
        libc::MADV_POPULATE_WRITE
    } else {
        libc::MADV_POPULATE_READ
    };
    advise(addr, len, advice)
}

/// Asks for huge pages in a range.
pub fn advise_huge(addr: *mut c_void, len: usize) -> Result<(), Errno> {
    advise(addr, len, libc::MADV_HUGEPAGE)
}

/// `madvise(2)`, for advice that changes how memory is backed or inherited, not its content.
fn advise(addr: *mut c_void, len: usize, advice: c_int) -> Result<(), Errno> {
    // SAFETY: no advice in this file changes what this process reads; a range that is not mapped is an error.
    check(unsafe { libc::syscall(libc::SYS_madvise, addr, len, advice) })?;
    Ok(())
}

/// Copies bytes from a pointer from a C program, which may be invalid: the kernel copies, and returns `EFAULT` where
/// this process would crash. Returns the number of bytes copied, which is less than `to.len()` only if the rest
/// is not readable.
pub fn read_foreign(from: *const u8, to: &mut [u8]) -> Result<usize, Errno> {
    // The id of this thread and not of the process: the first thread may have ended.
    read_memory_of(thread_id(), from as usize, to)
}

/// Copies bytes from an address of a process that this one may trace. Returns the number of bytes copied.
pub fn read_memory_of(pid: libc::c_int, from: usize, to: &mut [u8]) -> Result<usize, Errno> {
    let from = ptr::without_provenance_mut(from);
    // SAFETY: the kernel writes at most `to.len()` bytes to `to`, and checks `from`.
    let read = unsafe {
        copy_by_kernel(
            libc::SYS_process_vm_readv,
            pid,
            to.as_mut_ptr(),
            from,
            to.len(),
        )
    };
    match read {
        // A seccomp policy or an emulator rejects the call. A pipe does the same, more slowly.
        Err(Errno(libc::ENOSYS | libc::EPERM)) if [process_id(), thread_id()].contains(&pid) => {
            let pipe = Pipe::new()?;
            let len = pipe.take(from, to.len().min(Pipe::ROOM))?;
            // SAFETY: `to` has room for that many.
            unsafe { pipe.give(to.as_mut_ptr(), len) }
        }
        read => read,
    }
}

/// Copies at most 4096 bytes to a pointer from a C program, which may be invalid: then it returns `EFAULT` and
/// changes nothing.
///
/// # Safety
/// If there is memory at `to`, `from.len()` bytes of it must be the caller's to write.
pub unsafe fn write_foreign(from: &[u8], to: *mut u8) -> Result<(), Errno> {
    let mut there = [0; Pipe::ROOM];
    let there = there.get_mut(..from.len()).ok_or(Errno(libc::EFAULT))?;
    if to.addr() % page_size() + from.len() <= page_size() {
        // Either all of them are writable, or none.
        there.copy_from_slice(from);
    } else if read_foreign(to, there)? < there.len() {
        // Writing the old bytes back shows whether all of them are writable.
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: the kernel reads `there`, and checks `to`, which is the caller's to write.
    let written = unsafe {
        copy_by_kernel(
            libc::SYS_process_vm_writev,
            thread_id(),
            there.as_mut_ptr(),
            to,
            there.len(),
        )
    };
    let written = match written {
        Err(Errno(libc::ENOSYS | libc::EPERM)) => {
            let pipe = Pipe::new()?;
            pipe.take(there.as_ptr(), there.len())?;
            // SAFETY: memory at `to` is the caller's to write.
            unsafe { pipe.give(to, there.len()) }?
        }
        written => written?,
    };
    if written < there.len() {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: the memory is the caller's to write, and the kernel has found it writable. This process writes it,
    // so that valgrind and the sanitizers see that.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
    Ok(())
}

/// Calls `process_vm_readv(2)` or `process_vm_writev(2)`, which need the right to trace the process.
///
/// # Safety
/// `local` must have `len` bytes: writable for reading, readable for writing.
unsafe fn copy_by_kernel(
    call: libc::c_long,
    pid: libc::c_int,
    local: *mut u8,
    remote: *mut u8,
    len: usize,
) -> Result<usize, Errno> {
    let part = |base: *mut u8| libc::iovec {
        iov_base: base.cast(),
        iov_len: len,
    };
    let (local, remote) = (part(local), part(remote));
    let (one, no_flags): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: one vector on each side; the caller promises that the local one is valid, and the kernel checks the
    // remote one.
    let copied = check(unsafe {
        libc::syscall(
            call,
            pid,
            &raw const local,
            one,
            &raw const remote,
            one,
            no_flags,
        )
    })?;
    Ok(copied as usize)
}

/// A pipe through which the kernel copies bytes, and checks addresses.
struct Pipe([libc::c_int; 2]);

impl Pipe {
    /// The number of bytes that every pipe takes without waiting.
    const ROOM: usize = 4096;

    fn new() -> Result<Pipe, Errno> {
        let mut ends = [0; 2];
        // SAFETY: there is room for the two ends.
        check(unsafe { libc::syscall(libc::SYS_pipe2, ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
        Ok(Pipe(ends))
    }

    /// Copies bytes into the pipe. Returns how many could be read.
    fn take(&self, from: *const u8, len: usize) -> Result<usize, Errno> {
        // SAFETY: the kernel checks the address that it reads from.
        check(unsafe { libc::syscall(libc::SYS_write, self.0[1], from, len) }).map(|n| n as usize)
    }

    /// Copies bytes out of the pipe. Returns how many could be written.
    ///
    /// # Safety
    /// If there is memory at `to`, `len` bytes of it must be the caller's to write.
    unsafe fn give(&self, to: *mut u8, len: usize) -> Result<usize, Errno> {
        // SAFETY: the memory is the caller's to write; the kernel checks that it exists.
        check(unsafe { libc::syscall(libc::SYS_read, self.0[0], to, len) }).map(|n| n as usize)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for end in self.0 {
            // SAFETY: `new` has opened the descriptor, and no other code has it.
            unsafe { libc::syscall(libc::SYS_close, end) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_copies_and_checks_addresses() {
        let pipe = Pipe::new().unwrap();
        let text = *b"some bytes";
        assert_eq!(pipe.take(text.as_ptr(), text.len()), Ok(10));
        let mut back = [0; 10];
        // SAFETY: there is room.
        assert_eq!(unsafe { pipe.give(back.as_mut_ptr(), 10) }, Ok(10));
        assert_eq!(back, text);
        let nowhere = ptr::without_provenance_mut(8);
        assert_eq!(pipe.take(nowhere, 10), Err(Errno(libc::EFAULT)));
        pipe.take(text.as_ptr(), text.len()).unwrap();
        // SAFETY: there is no memory.
        assert_eq!(unsafe { pipe.give(nowhere, 10) }, Err(Errno(libc::EFAULT)));
    }
}
