//! Attachments: a segment's memory in this process.

use crate::{
    Error, Segment, Status, backend, copy,
    segment::status,
    sys::{self, Errno},
};
use core::{
    ffi::{c_int, c_void},
    ptr::{self, NonNull},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// How to attach a segment.
///
/// ```
/// use shmkey::{AttachOptions, Key, Segment};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// let segment = Segment::options().size(8 << 20).open(Key::PRIVATE)?;
/// let memory = AttachOptions::new()
///     .huge_pages(true)   // if the system has them to give
///     .prefault(true)     // no page faults later
///     .attach(&segment)?;
/// segment.remove()?;      // goes when `memory` goes
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
    /// For reading and writing, at an address that the kernel chooses.
    pub const fn new() -> AttachOptions {
        AttachOptions {
            read_only: false,
            address: 0,
            huge_pages: false,
            prefault: false,
        }
    }

    /// For reading only (`SHM_RDONLY`): read permission is enough, and writing is an error here and
    /// a `SIGSEGV` through a raw pointer.
    pub const fn read_only(&mut self, read_only: bool) -> &mut AttachOptions {
        self.read_only = read_only;
        self
    }

    /// At this address, a multiple of the page size, where nothing is mapped yet. 0 lets the kernel
    /// choose. What is mapped somewhere is never replaced; the choice fails instead.
    pub const fn address(&mut self, address: usize) -> &mut AttachOptions {
        self.address = address;
        self
    }

    /// On huge pages where the system can (`/sys/kernel/mm/transparent_hugepage/shmem_enabled` must
    /// be `advise` or `always`): a segment of 2 MiB or more is attached at a multiple of 2 MiB, and
    /// the kernel is advised (`MADV_HUGEPAGE`). Advice it is: without huge pages the segment is
    /// attached all the same. With an [`address`](AttachOptions::address) that address stands.
    pub const fn huge_pages(&mut self, huge: bool) -> &mut AttachOptions {
        self.huge_pages = huge;
        self
    }

    /// Make all pages present before returning, so that no access faults later
    /// (`MADV_POPULATE_WRITE`, Linux 5.14). See [`Attachment::prefault`].
    pub const fn prefault(&mut self, prefault: bool) -> &mut AttachOptions {
        self.prefault = prefault;
        self
    }

    /// Attaches.
    ///
    /// # Errors
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment), [`Removed`](crate::ErrorKind::Removed),
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied),
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory),
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an address that is not
    /// page-aligned or is in use. Source: `shmop(2)`.
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
            // Advice: without huge pages the segment works all the same.
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
/// With `SHM_REMAP`, the address must be memory that nobody uses any more.
#[inline]
pub(crate) unsafe fn attach_at(
    id: c_int,
    address: *const c_void,
    flags: c_int,
) -> Result<NonNull<u8>, Error> {
    // SAFETY: the caller vouches for SHM_REMAP.
    let attached = unsafe { backend::attach(id, address, flags) }
        .map_err(|errno| Error::attach_at(errno, id, address as usize, flags))?;
    NonNull::new(attached.cast()).ok_or_else(|| {
        // Rounded down to 0 by a privileged process: an address that Rust and C take for none.
        // SAFETY: it was attached just now and nobody knows of it.
        let _ = unsafe { backend::detach(attached) };
        Error::invalid("shmat", "the address is rounded down to 0, which is none")
    })
}

/// Attaches at a multiple of the huge page's size, if the segment is that large, and asks for huge
/// pages. If that cannot be had, attaches anywhere.
pub(crate) fn attach_huge(id: c_int, flags: c_int) -> Result<NonNull<u8>, Error> {
    let size = Status::of(id)?.size;
    if size >= sys::HUGE_PAGE
        && let Ok(room) = sys::find_room(size, sys::HUGE_PAGE)
        // Should another thread have taken the place meanwhile, the kernel refuses it.
        // SAFETY: without SHM_REMAP, attaching replaces nothing.
        && let Ok(address) = unsafe { attach_at(id, room, flags) }
    {
        // Advice: without huge pages the segment works all the same.
        let _ = sys::advise_huge(address.as_ptr().cast(), size);
        return Ok(address);
    }
    // SAFETY: without SHM_REMAP, attaching replaces nothing.
    unsafe { attach_at(id, ptr::null(), flags) }
}

/// A segment's memory in this process, detached when this is dropped.
///
/// Any other process, and any other thread, may write the same bytes at any moment, so there is no
/// `&[u8]` to be had: bytes are copied in and out, and every offset is checked. Bytes that one side
/// writes arrive one by one and in any order. Whoever needs whole values must say when they are
/// complete, by a lock or a signal of some kind.
///
/// An attachment outlives its [`Segment`] and the segment's removal. A child made by `fork` has it,
/// too, and the kernel counts it.
#[derive(Debug)]
#[must_use = "the memory is detached when it is dropped"]
pub struct Attachment {
    address: NonNull<u8>,
    id: c_int,
    writable: bool,
    /// The segment's size; 0 until somebody needs it, so that attaching costs one system call and
    /// no more.
    size: AtomicUsize,
}

// SAFETY: the memory is mapped for the whole process, and all access through this type is by copies
// that tolerate other writers.
unsafe impl Send for Attachment {}
// SAFETY: as above; nothing is changed through a shared reference but atomics.
unsafe impl Sync for Attachment {}

impl Attachment {
    /// The segment's exact size in bytes. The first call, or the first copy, asks the kernel.
    ///
    /// # Errors
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) if somebody has detached this address behind
    /// our back;
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) only if this process has lost read
    /// permission since it attached, on kernels before Linux 4.17.
    pub fn size(&self) -> Result<usize, Error> {
        // Relaxed: the number is a constant of the segment, and nothing else is learnt from it.
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

    /// The id of the segment.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// Returns whether the segment has been removed: it stays for the processes that have it attached,
    /// and no other process can find it by its key. Makes one system call, which takes some 0.3 µs.
    ///
    /// # Errors
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) only if this process has lost read
    /// permission since it attached, on kernels before Linux 4.17.
    pub fn is_removed(&self) -> Result<bool, Error> {
        status::is_removed(self.id)
    }

    /// Whether it is attached for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// Copies bytes out, from `offset` on, as many as `bytes` has.
    ///
    /// # Errors
    /// [`OutOfRange`](crate::ErrorKind::OutOfRange), and then nothing is copied.
    pub fn read_at(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let shared = self.range(offset, bytes.len())?;
        // SAFETY: `range` has checked that the bytes lie inside the attached segment, which is
        // readable; `bytes` is ours alone.
        unsafe { copy::copy_out(shared, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Copies bytes in, at `offset` and behind.
    ///
    /// # Errors
    /// [`OutOfRange`](crate::ErrorKind::OutOfRange) or [`ReadOnly`](crate::ErrorKind::ReadOnly),
    /// and then nothing is copied.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        if !self.writable {
            return Err(Error::read_only(self.id));
        }
        let shared = self.range(offset, bytes.len())?;
        // SAFETY: `range` has checked that the bytes lie inside the attached segment, which is
        // writable; `bytes` does not change meanwhile.
        unsafe { copy::copy_in(bytes.as_ptr(), shared, bytes.len()) };
        Ok(())
    }

    /// Makes all pages present, so that no access faults later: for writing if it is attached for
    /// writing. The content does not change. What it takes is the memory, at once, and 0.1 to 0.6
    /// seconds a GiB; less on huge pages.
    ///
    /// # Errors
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory);
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) before Linux 5.14.
    pub fn prefault(&self) -> Result<(), Error> {
        populate(self.id, self.address, self.size()?, self.writable)
    }

    /// The address of the first byte, for those who know better. It is valid until this is dropped,
    /// for [`size`](Attachment::size) bytes, and page-aligned.
    ///
    /// Through it, use atomics, volatile accesses or copies by a foreign function; never a `&T`,
    /// `&mut T` or `&[u8]` of what others can write, unless `T` is made of atomics. Writing where
    /// [`is_writable`](Attachment::is_writable) is false kills the process.
    pub fn as_ptr(&self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// Detaches, and tells whether that worked, which dropping does not.
    ///
    /// # Errors
    /// [`NoSuchSegment`](crate::ErrorKind::NoSuchSegment) if somebody has detached this address
    /// behind our back.
    pub fn detach(self) -> Result<(), Error> {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `self` was the only way to this memory but for raw pointers, whose users were
        // told.
        unsafe { detach(this.as_ptr().cast()) }
    }

    /// The address of `len` bytes at `offset`, if the segment has them.
    fn range(&self, offset: usize, len: usize) -> Result<*mut u8, Error> {
        let size = self.size()?;
        match offset.checked_add(len) {
            // SAFETY: the offset is at most the size of the attached segment.
            Some(end) if end <= size => Ok(unsafe { self.as_ptr().add(offset) }),
            _ => Err(Error::out_of_range(self.id, offset, len, size)),
        }
    }
}

impl Drop for Attachment {
    #[inline]
    fn drop(&mut self) {
        // It can only fail if somebody has detached this address behind our back; then there is
        // nothing left to do. SAFETY: this was the only way to this memory but for raw pointers,
        // whose users were told.
        let _ = unsafe { backend::detach(self.as_ptr().cast()) };
    }
}

/// Detaches what is attached at an address.
///
/// # Safety
/// Nobody may use that memory from now on.
#[inline]
pub(crate) unsafe fn detach(address: *const c_void) -> Result<(), Error> {
    // SAFETY: the caller gives the memory up.
    unsafe { backend::detach(address) }
        .map_err(|errno| Error::on_address(errno, "shmdt", address as usize))
}

/// The exact size of a segment that this process has attached, even if it may not read its status
/// any more.
pub(crate) fn size_of_attached(id: c_int) -> Result<usize, Error> {
    match backend::stat(id) {
        Ok(record) => Ok(record.shm_segsz),
        Err(errno) => status::any(id)
            .map(|status| status.size)
            .ok_or_else(|| Error::control(errno, "shmctl IPC_STAT", id, libc::IPC_STAT)),
    }
}

/// Nothing is attached at an address.
pub(crate) fn not_attached(address: usize) -> Error {
    Error::on_address(Errno(libc::EINVAL), "attachment", address)
}

/// The size that the kernel gives for the id of what is mapped, and never more than is mapped: after
/// a change of the IPC namespace the id could be another segment's.
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
