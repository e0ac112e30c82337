//! Which file is locked, and which mapping holds the lock.
//!
//! On most file systems, a slot locks a byte of the table's file, an attachment locks a byte of its segment's file,
//! and the mapping of that file holds the lock. On overlayfs, a mapping belongs to the underlying file, so the lock
//! goes when the descriptor is closed. There, the locks are on bytes of `/dev/zero` instead, which all processes with
//! the same `/dev` share; a mapping of one of its pages, which cannot be accessed, holds each lock. The process that
//! makes a table finds out which of the two works, and sets a flag in the header.

use super::layout::{ATTACHMENT_BYTE, SLOT_BYTE, SLOTS};
use crate::sys::{self, Descriptor, Errno, FileId, Place};
use core::{
    ffi::{CStr, c_void},
    ops::Deref,
};

/// Where the locks of a namespace are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    /// The locks are on `/dev/zero`, from this byte on; 0 if they are on the files themselves.
    apart: u64,
}

/// A file whose bytes are locked.
pub(super) enum LockFile<'a> {
    Itself(&'a Descriptor),
    Apart(Descriptor),
}

impl Deref for LockFile<'_> {
    type Target = Descriptor;

    fn deref(&self) -> &Descriptor {
        match self {
            LockFile::Itself(file) => file,
            LockFile::Apart(file) => file,
        }
    }
}

/// The bit of the header's flags that says that the locks are on `/dev/zero`.
pub(super) const APART: u32 = 1;

/// How many bytes of `/dev/zero` belong to a namespace: a power of two.
const RANGE: u64 = 1 << 32;

impl Holding {
    pub(super) const ITSELF: Holding = Holding { apart: 0 };

    /// Returns where the locks of a namespace are, from the flags of its table's header and the table's identity.
    pub(super) fn new(flags: u32, table: FileId) -> Holding {
        if flags & APART == 0 {
            return Holding::ITSELF;
        }
        // Two namespaces whose ranges coincide each count the other's locks, too. The worst effect is that a dead
        // process counts as live.
        let hash = (table.inode ^ table.device.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Holding {
            apart: (1 << 62) | hash >> 34 << 32,
        }
    }

    /// Returns whether the locks are on `/dev/zero`.
    pub(super) fn is_apart(self) -> bool {
        self.apart != 0
    }

    /// Returns the byte that a slot locks.
    pub(super) fn slot_byte(self, slot: u32) -> u64 {
        match self.apart {
            0 => SLOT_BYTE + u64::from(slot),
            start => start + RANGE - 1 - u64::from(slot),
        }
    }

    /// Returns the byte that an attachment locks.
    pub(super) fn attachment_byte(self, number: u64) -> u64 {
        match self.apart {
            0 => ATTACHMENT_BYTE + (number & (ATTACHMENT_BYTE - 1)),
            // The slots' bytes are at the end of the range.
            start => start + number % (RANGE - (1 << 16)),
        }
    }

    /// Returns the file whose bytes are locked: this one, or `/dev/zero`.
    pub(super) fn lock_file(self, file: &Descriptor) -> Result<LockFile<'_>, Errno> {
        match self.apart {
            0 => Ok(LockFile::Itself(file)),
            _ => open_zero().map(LockFile::Apart),
        }
    }

    /// Returns whether a mapping of `/dev/zero` holds a lock.
    fn holds_apart(self) -> Result<bool, Errno> {
        // No process has the last slot. The lock is shared: another namespace, with the same range, may do the same.
        let byte = self.slot_byte(SLOTS - 1);
        let zero = open_zero()?;
        zero.lock_byte(byte, false)?;
        let page = hold(&zero)?;
        drop(zero);
        let holds = open_zero().and_then(|zero| zero.is_byte_locked(byte));
        let_go(page);
        holds
    }
}

fn open_zero() -> Result<Descriptor, Errno> {
    Descriptor::open_file(c"/dev/zero", libc::O_RDWR, 0)
}

/// Maps a page of `/dev/zero`, which holds the locks of this open file from now on. Returns its address.
pub(super) fn hold(file: &Descriptor) -> Result<usize, Errno> {
    sys::map_untouchable(sys::page_size(), file).map(|page| page as usize)
}

/// Returns the flags for the header of a new table: which file's mappings hold a lock, which is tried out. Returns `ENOSYS`
/// if neither do: then a segment in use would seem to be attached by no process.
pub(super) fn find_out(file: &Descriptor, path: &CStr, table: FileId) -> Result<u32, Errno> {
    if holds_by_mapping(file, path)? {
        Ok(0)
    } else if Holding::new(APART, table).holds_apart()? {
        Ok(APART)
    } else {
        Err(Errno(libc::ENOSYS))
    }
}

/// Returns whether a mapping of this new file would hold a lock, which is tried out with a second descriptor.
fn holds_by_mapping(file: &Descriptor, path: &CStr) -> Result<bool, Errno> {
    let again = Descriptor::open_file(path, libc::O_RDWR, 0)?;
    again.lock_byte(SLOT_BYTE, true)?;
    let len = sys::page_size();
    // SAFETY: nothing is replaced.
    let page = unsafe { sys::map_file(Place::Anywhere, len, libc::PROT_READ, &again) }?;
    drop(again);
    let holds = file.is_byte_locked(SLOT_BYTE);
    // SAFETY: the page was mapped above, and no other code knows of it.
    unsafe { sys::release(page, len) };
    holds
}

/// Unmaps a page that holds a lock. 0 stands for no page.
pub(super) fn let_go(page: usize) {
    if page != 0 {
        // SAFETY: `hold`, or a fork, has mapped it, and only its holder knows of it.
        unsafe { sys::release(page as *mut c_void, sys::page_size()) };
    }
}
