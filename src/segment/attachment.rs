//! Attachments: a segment's memory in this process.

use crate::{
    Error, Plain, Segment, Status, backend, copy, plain,
    segment::status,
    sys::{self, Errno},
};
use core::{
    ffi::{c_int, c_void},
    ptr::{self, NonNull},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// How to attach a segment: built by [`Attachment::options`], used by [`attach`](AttachOptions::attach).
///
/// ```
/// use shmkey::{Attachment, Key, Segment};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// let segment = Segment::options().size(8 << 20).open(Key::PRIVATE)?;
/// let memory = Attachment::options()
///     .huge_pages(true)   // if the system allows them
///     .prefault(true)     // no page faults later
///     .attach(&segment)?;
/// segment.remove()?;      // destroyed when `memory` is dropped
/// assert_eq!(memory.size()?, 8 << 20);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until a segment is attached with them"]
pub struct AttachOptions {
    read_only: bool,
    address: usize,
    huge_pages: bool,
    prefault: bool,
}

impl AttachOptions {
    /// Returns the options that attach for reading and writing, at an address that the kernel chooses.
    pub const fn new() -> AttachOptions {
        AttachOptions {
            read_only: false,
            address: 0,
            huge_pages: false,
            prefault: false,
        }
    }

    /// Sets whether the segment is attached for reading only (`SHM_RDONLY`), for which read permission is
    /// enough. The methods of [`Attachment`] that write then fail, and writing through a raw pointer
    /// raises `SIGSEGV`.
    pub const fn read_only(mut self, read_only: bool) -> AttachOptions {
        self.read_only = read_only;
        self
    }

    /// Sets the address: a multiple of the page size, where nothing is mapped. 0, the default, lets the
    /// kernel choose. If something is mapped there, attaching fails and replaces nothing.
    pub const fn address(mut self, address: usize) -> AttachOptions {
        self.address = address;
        self
    }

    /// Sets whether the segment is attached on huge pages where the system allows them
    /// (`/sys/kernel/mm/transparent_hugepage/shmem_enabled` is `advise` or `always`): a segment of 2 MiB or
    /// more is attached at a multiple of 2 MiB, and the kernel is advised to use huge pages
    /// (`MADV_HUGEPAGE`). If it has none, the segment is attached without them. An
    /// [`address`](AttachOptions::address) that is set stays as it was set.
    pub const fn huge_pages(mut self, huge: bool) -> AttachOptions {
        self.huge_pages = huge;
        self
    }

    /// Sets whether attaching makes all pages present, so that no access faults later
    /// (`MADV_POPULATE_WRITE`, Linux 5.14). See [`Attachment::prefault`].
    pub const fn prefault(mut self, prefault: bool) -> AttachOptions {
        self.prefault = prefault;
        self
    }

    /// Attaches a segment.
    ///
    /// # Errors
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) (`EINVAL`) and
    /// [`Removed`](crate::ErrorKind::Removed) (`EIDRM`);
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EACCES`) if its mode does not allow it;
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory) (`ENOMEM`);
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (`EINVAL`) for an address that is in use or
    /// not a multiple of the page size. Source: `shmop(2)`.
    #[inline]
    pub fn attach(&self, segment: &Segment) -> Result<Attachment, Error> {
        let id = segment.id();
        let flags = if self.read_only { libc::SHM_RDONLY } else { 0 };
        let address = if self.huge_pages && self.address == 0 {
            attach_huge(id, flags)?
        } else {
            // SAFETY: `flags` has no SHM_REMAP.
            unsafe { attach_at(id, self.address as *const c_void, flags)? }
        };
        let attachment = Attachment {
            address,
            id,
            writable: !self.read_only,
            size: AtomicUsize::new(0),
        };
        if self.huge_pages && self.address != 0 {
            // If the advice is refused, the segment is on ordinary pages.
            let _ = sys::advise_huge(attachment.as_ptr().cast(), attachment.size()?);
        }
        if self.prefault {
            attachment.prefault()?;
        }
        Ok(attachment)
    }
}

/// Attaches at an address, NULL for any.
///
/// # Safety
/// With `SHM_REMAP`, the address must be memory that this process no longer uses.
#[inline]
pub(crate) unsafe fn attach_at(
    id: c_int,
    address: *const c_void,
    flags: c_int,
) -> Result<NonNull<u8>, Error> {
    // SAFETY: the caller has promised what SHM_REMAP needs.
    let attached = unsafe { backend::attach(id, address, flags) }
        .map_err(|errno| Error::attach_at(errno, id, address as usize, flags))?;
    NonNull::new(attached.cast()).ok_or_else(|| {
        // A privileged process can have an address rounded down to 0, which is not valid in Rust or C.
        // SAFETY: it has just been attached, and no other code knows its address.
        let _ = unsafe { backend::detach(attached) };
        Error::invalid("shmat", "the address is rounded down to 0, which is none")
    })
}

/// Attaches at a multiple of the huge page's size, if the segment is that large, and advises the kernel
/// to use huge pages. If that fails, attaches at any address.
pub(crate) fn attach_huge(id: c_int, flags: c_int) -> Result<NonNull<u8>, Error> {
    let size = Status::of(id)?.size;
    // If another thread has mapped something there since, the kernel refuses to attach there. SAFETY:
    // without SHM_REMAP, attaching replaces nothing.
    let attach_there = |room| unsafe { attach_at(id, room, flags) };
    if size >= sys::HUGE_PAGE
        && let Ok(room) = sys::find_room(size, sys::HUGE_PAGE)
        && let Ok(address) = attach_there(room)
    {
        // If the advice is refused, the segment is on ordinary pages.
        let _ = sys::advise_huge(address.as_ptr().cast(), size);
        return Ok(address);
    }
    // SAFETY: without SHM_REMAP, attaching replaces nothing.
    unsafe { attach_at(id, ptr::null(), flags) }
}

/// A segment's memory in this process. Dropping it detaches the memory.
///
/// ```
/// use shmkey::{Key, Segment};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// let segment = Segment::options().size(4096).open(Key::PRIVATE)?;
/// let memory = segment.attach()?;
/// segment.remove()?; // the memory stays until it is detached
///
/// memory.write_at(0, b"a few bytes")?;
/// memory.set(64, [1.5_f64, 2.5])?;           // a value of a type that is `Plain`
/// assert_eq!(memory.get::<[f64; 2]>(64)?, [1.5, 2.5]);
/// assert_eq!(memory.get::<u8>(0)?, b'a');
/// # Ok(())
/// # }
/// ```
///
/// Every other thread and process may write the same bytes at any time, so there is no `&[u8]` of them:
/// the methods copy bytes in and out, and check every offset. Bytes that one process writes can become
/// visible to another in any order. To pass a whole value, use an object, such as [`Mutex`](crate::Mutex),
/// [`Latest`](crate::Latest) or [`Ring`](crate::Ring), or notify the reader when the value is complete.
///
/// An attachment outlives its [`Segment`] and the segment's removal.
///
/// *Threads*: several threads may use an `Attachment` at the same time. *Fork*: a child has the segment attached, too,
/// and the kernel counts that as another attachment. *Exec* detaches it. *Signals*: all methods but
/// [`size`](Attachment::size) in its first call are safe in a signal handler.
#[derive(Debug)]
#[must_use = "the memory is detached when it is dropped"]
pub struct Attachment {
    address: NonNull<u8>,
    id: c_int,
    writable: bool,
    /// The segment's size; 0 until it is first needed, so that attaching makes only one system call.
    size: AtomicUsize,
}

// SAFETY: the memory is mapped for the whole process, and all access through this type is by copies
// that tolerate other writers.
unsafe impl Send for Attachment {}
// SAFETY: as above; through a shared reference, only atomics and shared memory change.
unsafe impl Sync for Attachment {}

impl Attachment {
    /// Returns the options with which to attach a segment.
    pub const fn options() -> AttachOptions {
        AttachOptions::new()
    }

    /// Returns the exact size of the segment in bytes. The first call, or the first copy, asks the kernel.
    ///
    /// # Errors
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) (`EINVAL`) if other code of this process has
    /// detached the memory by its address;
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EACCES`) only if this process has lost
    /// read permission since it attached the segment, on kernels before Linux 4.17.
    pub fn size(&self) -> Result<usize, Error> {
        // Relaxed: the size of a segment never changes, and the load orders nothing else.
        match self.size.load(Relaxed) {
            0 => {
                let size = self.ask_size()?;
                self.size.store(size, Relaxed);
                Ok(size)
            }
            size => Ok(size),
        }
    }

    #[cold]
    fn ask_size(&self) -> Result<usize, Error> {
        let address = self.as_ptr() as usize;
        match sys::attached_at(address) {
            Ok(Some(mapping)) => size_of_mapping(&mapping),
            Ok(None) => Err(not_attached(address)),
            Err(errno) => match size_of_attached(self.id)? {
                size if sys::is_mapped(self.as_ptr().cast(), size) => Ok(size),
                _ => Err(Error::no_proc(errno)),
            },
        }
    }

    /// Returns the id of the segment.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Returns whether the segment has been removed. A removed segment stays for the processes that have it
    /// attached, but no process finds it by its key. Makes one system call, which takes about 0.3 µs.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) (`EACCES`) only if this process has lost
    /// read permission since it attached the segment, on kernels before Linux 4.17.
    pub fn is_removed(&self) -> Result<bool, Error> {
        backend::is_removed(self.id)
            .map_err(|errno| Error::control(errno, "shmctl IPC_STAT", self.id, libc::IPC_STAT))
    }

    /// Returns whether the segment is attached for writing.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Reads bytes from an offset onwards, and fills `bytes` with them.
    ///
    /// # Errors
    /// [`OutOfRange`](crate::ErrorKind::OutOfRange) (`EINVAL`) if the range does not lie inside the
    /// segment, and then nothing is read; those of [`size`](Attachment::size).
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let shared = self.range(offset, bytes.len())?;
        // SAFETY: `range` has checked that the bytes lie inside the attached segment, which is
        // readable; no other thread uses `bytes`, which is borrowed mutably.
        unsafe { copy::copy_out(shared, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Writes bytes from an offset onwards.
    ///
    /// # Errors
    /// [`OutOfRange`](crate::ErrorKind::OutOfRange) (`EINVAL`) if the range does not lie inside the
    /// segment, and [`ReadOnly`](crate::ErrorKind::ReadOnly) (`EACCES`) if it is attached for reading only,
    /// and then nothing is written; those of [`size`](Attachment::size).
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        if !self.writable {
            return Err(Error::read_only(self.id));
        }
        let shared = self.range(offset, bytes.len())?;
        // SAFETY: `range` has checked that the bytes lie inside the attached segment, which is
        // writable; `bytes` is borrowed, so no thread of this process writes it.
        unsafe { copy::copy_in(bytes.as_ptr(), shared, bytes.len()) };
        Ok(())
    }

    /// Returns a copy of the value at an offset, which needs no alignment. While another thread or process
    /// writes there, the value can be a mixture of both; every mixture is a valid value of a type that is
    /// [`Plain`].
    ///
    /// # Errors
    /// Those of [`read_at`](Attachment::read_at).
    pub fn get<T: Plain>(&self, offset: usize) -> Result<T, Error> {
        plain::read(|bytes| self.read_at(offset, bytes))
    }

    /// Writes a value at an offset, which needs no alignment.
    ///
    /// # Errors
    /// Those of [`write_at`](Attachment::write_at).
    pub fn set<T: Plain>(&self, offset: usize, value: T) -> Result<(), Error> {
        self.write_at(offset, plain::bytes_of(&value))
    }

    /// Makes all pages present, so that no later access faults: for writing if the segment is attached for writing. The
    /// contents do not change. The kernel allocates all of the memory during the call, which takes 0.1 to 0.6 seconds
    /// for each GiB, and less on huge pages.
    ///
    /// # Errors
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory) (`ENOMEM`);
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) (`EINVAL`) before Linux 5.14.
    pub fn prefault(&self) -> Result<(), Error> {
        populate(self.id, self.address, self.size()?, self.writable)
    }

    /// Returns the address of the first byte, a multiple of the page size. [`size`](Attachment::size)
    /// bytes are valid there until this is dropped.
    ///
    /// Use it for atomics, volatile accesses or copies by a foreign function; never make a `&T`, `&mut T`
    /// or `&[u8]` of bytes that another process can write, unless `T` is made of atomics. Writing to a
    /// segment that is attached for reading only raises `SIGSEGV`.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Detaches the memory, as dropping does, and returns the error if that fails.
    ///
    /// # Errors
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) (`EINVAL`) if other code of this process has
    /// detached the memory by its address.
    pub fn detach(self) -> Result<(), Error> {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: only `self` and raw pointers lead to this memory, and the documentation of `as_ptr`
        // limits raw pointers to the lifetime of `self`.
        unsafe { detach(this.as_ptr().cast()) }
    }

    /// Returns the address of `len` bytes at `offset`. Fails if the segment does not have them.
    fn range(&self, offset: usize, len: usize) -> Result<*mut u8, Error> {
        let size = self.size()?;
        match offset.checked_add(len) {
            // SAFETY: the offset is at most the size of the attached segment.
            Some(end) if end <= size => Ok(unsafe { self.as_ptr().add(offset) }),
            _ => Err(Error::out_of_range("copy", self.id, offset, len, size)),
        }
    }
}

impl Drop for Attachment {
    #[inline]
    fn drop(&mut self) {
        // It fails only if other code has detached the memory by its address; then nothing is left to do.
        // SAFETY: as in `detach`.
        let _ = unsafe { backend::detach(self.as_ptr().cast()) };
    }
}

/// Detaches the segment that is attached at an address.
///
/// # Safety
/// No code of this process may use that memory afterwards.
#[inline]
pub(crate) unsafe fn detach(address: *const c_void) -> Result<(), Error> {
    // SAFETY: the caller has promised that the memory is no longer used.
    unsafe { backend::detach(address) }
        .map_err(|errno| Error::on_address(errno, "shmdt", address as usize))
}

/// Returns the exact size of a segment that this process has attached, even if the process has lost read
/// permission.
pub(crate) fn size_of_attached(id: c_int) -> Result<usize, Error> {
    match backend::stat(id) {
        Ok(record) => Ok(record.shm_segsz),
        Err(errno) => status::any(id)
            .map(|status| status.size)
            .ok_or_else(|| Error::control(errno, "shmctl IPC_STAT", id, libc::IPC_STAT)),
    }
}

/// Returns the error for an address at which nothing is attached.
pub(crate) fn not_attached(address: usize) -> Error {
    Error::on_address(Errno(libc::EINVAL), "attachment", address)
}

/// Returns the size that the kernel reports for the id of a mapping, but at most the length of the mapping:
/// after a change of the IPC namespace, another segment can have that id.
pub(crate) fn size_of_mapping(mapping: &sys::Mapping) -> Result<usize, Error> {
    Ok(size_of_attached(mapping.id)?.min(mapping.len))
}

/// Makes the pages of an attached segment present.
pub(crate) fn populate(
    id: c_int,
    address: NonNull<u8>,
    size: usize,
    write: bool,
) -> Result<(), Error> {
    sys::populate(address.as_ptr().cast(), size, write)
        .map_err(|errno| Error::on_memory(errno, "madvise", id))
}
