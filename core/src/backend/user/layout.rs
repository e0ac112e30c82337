//! The format of the file `table` of a namespace.
//!
//! | offset | content |
//! |---|---|
//! | 0 | the header |
//! | 4 KiB | the heads of the hash chains, which find a segment by its key |
//! | 64 KiB | the slots' generations: one number for each process that can use the namespace at the same time |
//! | 192 KiB | the entries: one for each segment; an entry's index is the low 15 bits of the segment's id |
//! | 4.2 MiB | the records: one for each attachment |
//!
//! The file has its full size from the start, but space on the file system only up to the entries, and for the entries
//! and records below the header's `…_ready`. Only these are accessed, so no access fails because the file system is full. All numbers have fixed
//! widths, so programs with different C libraries can share the file. The header states the version, the byte order
//! and the page size; a program for which these differ refuses the file.
//!
//! A reference to an entry or a record is its index plus one; 0 ends a chain. Every process that uses the namespace
//! can write to the file, so each index is checked, and each walk is bounded by the number of elements.

use crate::sys;
use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"shmkey-t");
pub(super) const ORDER: u32 = 0x0102_0304;
pub(super) const VERSION: u32 = 1;

/// The largest numbers of entries, records and slots, and the number of hash chains.
pub(super) const ENTRIES: u32 = 1 << 15;
pub(super) const RECORDS: u32 = 1 << 17;
pub(super) const SLOTS: u32 = 1 << 15;
pub(super) const HEADS: u32 = 1 << 13;

pub(super) const HEADS_AT: usize = 4096;
pub(super) const SLOTS_AT: usize = 64 << 10;
pub(super) const ENTRIES_AT: usize = SLOTS_AT + 4 * SLOTS as usize;
pub(super) const RECORDS_AT: usize = ENTRIES_AT + size_of::<Entry>() * ENTRIES as usize;
pub(super) const TOTAL: usize = RECORDS_AT + size_of::<Record>() * RECORDS as usize;

/// The byte of the file `table` that slot 0 locks, far behind the data.
pub(super) const SLOT_BYTE: u64 = 1 << 40;

/// The byte of a segment's file that an attachment with the number 0 would lock, far behind the data.
pub(super) const ATTACHMENT_BYTE: u64 = 1 << 62;

#[repr(C)]
pub(super) struct Header {
    pub magic: AtomicU64,
    pub order: AtomicU32,
    pub version: AtomicU32,
    /// The size of a page, in bytes.
    pub page: AtomicU32,
    /// Where the locks are; see `holding`.
    pub flags: AtomicU32,
    /// The size of the file, in bytes.
    pub total: AtomicU64,
    unused: [AtomicU64; 4],
    /// The lock of all that follows; see `lock`.
    pub lock: AtomicU32,
    unused2: [AtomicU32; 15],
    /// Odd while an entry or a chain changes.
    pub sequence: AtomicU32,
    unused3: [AtomicU32; 15],
    /// The number of segments, including those that are being created.
    pub used: AtomicU32,
    /// The index after the one that was given last.
    pub cursor: AtomicU32,
    /// The number of pages of all segments together.
    pub pages: AtomicU64,
    /// The upper bits of the id that was given last.
    pub generation: AtomicU32,
    /// A reference to the next entry to check; 0 if there is none. See `pending`.
    pub pending: AtomicU32,
    /// How many entries and records have space on the file system.
    pub entries_ready: AtomicU32,
    pub records_ready: AtomicU32,
    unused4: [AtomicU32; 2],
    /// A reference to the first free record, and how many records have ever been used.
    pub record_free: AtomicU32,
    pub records_used: AtomicU32,
    /// The number of the newest attachment.
    pub attachments: AtomicU64,
}

/// The values of an entry's `state`.
pub(super) const FREE: u32 = 0;
/// The process in `maker` makes the segment's file.
pub(super) const CREATING: u32 = 1;
/// The segment exists; it may be removed and still attached.
pub(super) const LIVE: u32 = 2;
/// The segment is destroyed, but its file remains to be removed.
pub(super) const GARBAGE: u32 = 3;

/// A segment.
#[repr(C)]
pub(super) struct Entry {
    pub state: AtomicU32,
    pub id: AtomicI32,
    pub key: AtomicI32,
    /// The next entry in the chain of its key.
    pub next: AtomicU32,
    /// In bytes.
    pub size: AtomicU64,
    /// The inode number of its file.
    pub inode: AtomicU64,
    /// The permission bits, `SHM_DEST` and `SHM_LOCKED`.
    pub mode: AtomicU32,
    pub user: AtomicU32,
    pub group: AtomicU32,
    pub creating_user: AtomicU32,
    pub creating_group: AtomicU32,
    /// The user who has locked it (`SHM_LOCKED`).
    pub locker: AtomicU32,
    /// The process that created it, and the one that attached or detached it last; see [`Pid`].
    pub creator: AtomicU64,
    pub last: AtomicU64,
    /// The times of the last attach, the last detach and the last change, in seconds since 1970; 0 for never.
    pub attached: AtomicI64,
    pub detached: AtomicI64,
    pub changed: AtomicI64,
    /// A reference to the first record of its attachments.
    pub record: AtomicU32,
    /// The slot of the process that creates it, and the slot's generation.
    pub maker: AtomicU32,
    pub maker_generation: AtomicU32,
    /// References to its neighbours in the ring of `pending`; 0 if it is not in the ring.
    pub before: AtomicU32,
    pub behind: AtomicU32,
    unused: [AtomicU32; 3],
}

/// The low two bits of a record's word; the others are the attachment's number.
pub(super) const ATTACHED: u64 = 1;
pub(super) const DETACHED: u64 = 2;
pub(super) const STATE: u64 = 3;

/// An attachment.
#[repr(C)]
pub(super) struct Record {
    /// The attachment's number and state; 0 if the record is free.
    pub word: AtomicU64,
    /// The process that attached the segment; see [`Pid`].
    pub process: AtomicU64,
    /// The index and the id of its segment.
    pub entry: AtomicU32,
    pub id: AtomicI32,
    /// A reference to the next record of the segment, or to the next free one.
    pub next: AtomicU32,
    /// The slot of the process, and the slot's generation.
    pub slot: AtomicU32,
    pub slot_generation: AtomicU32,
    unused: [AtomicU32; 7],
}

const _: () = {
    assert!(size_of::<Header>() <= 4096);
    assert!(size_of::<Entry>() == 128);
    assert!(size_of::<Record>() == 64);
    assert!(HEADS_AT + 4 * HEADS as usize <= SLOTS_AT);
    assert!(TOTAL.is_multiple_of(64 << 10));
};

impl Header {
    /// Returns whether this program can use a table with this header.
    pub(super) fn is_ours(&self) -> bool {
        // Relaxed, here and for all fields at which no other comment stands: see `lock`.
        self.magic.load(Relaxed) == MAGIC
            && self.order.load(Relaxed) == ORDER
            && self.version.load(Relaxed) == VERSION
            && self.page.load(Relaxed) as usize == sys::page_size()
            && self.total.load(Relaxed) == TOTAL as u64
    }

    /// Returns the first bytes of a new table.
    pub(super) fn new_bytes(flags: u32) -> [u8; 32] {
        let mut bytes = [0; 32];
        let page = sys::page_size() as u32;
        bytes[..8].copy_from_slice(&MAGIC.to_ne_bytes());
        bytes[8..12].copy_from_slice(&ORDER.to_ne_bytes());
        bytes[12..16].copy_from_slice(&VERSION.to_ne_bytes());
        bytes[16..20].copy_from_slice(&page.to_ne_bytes());
        bytes[20..24].copy_from_slice(&flags.to_ne_bytes());
        bytes[24..32].copy_from_slice(&(TOTAL as u64).to_ne_bytes());
        bytes
    }
}

/// The id of a process and the inode number of its PID namespace, in one word. A process of another PID namespace
/// reads the id as 0, because there the number would name another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pid(pub u64);

impl Pid {
    pub(super) const NONE: Pid = Pid(0);

    pub(super) fn new(process: i32, namespace: u64) -> Pid {
        Pid(u64::from(process as u32) | namespace << 32)
    }

    /// Returns the id as a process of the namespace of `reader` sees it.
    pub(super) fn seen_by(self, reader: Pid) -> i32 {
        if self.0 >> 32 == reader.0 >> 32 {
            self.0 as u32 as i32
        } else {
            0
        }
    }
}
