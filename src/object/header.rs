//! The header of an object: its layout in a segment.
//!
//! An object is a header of 512 bytes, 512 bytes for the object's own words, and its payload. The
//! header, in the byte order of the machine, so that a program in any language can read it:
//!
//! | offset | bytes | what |
//! |--:|--:|---|
//! | 0 | 8 | `shmkey\r\n` |
//! | 8 | 4 | the order of bytes: 0x01020304 as this machine writes it |
//! | 12 | 4 | the width of a pointer in bits: 64 |
//! | 16 | 4 | the version of this layout: 5 |
//! | 20 | 4 | what it holds: 1 a mutex, 2 a semaphore, 3 a latest value, 4 a ring, 5 a broadcast, 6 a reader-writer lock, 7 a condition variable |
//! | 24 | 4 | 0 nothing yet, 1 being created, 2 ready (a futex) |
//! | 28 | 4 | 1 once a process of other namespaces than the creator's has opened it: holders need tokens |
//! | 32 | 8 | the creator: the number of a thread, as in `holder` |
//! | 40 | 8 | the creator's namespaces: the inode numbers of `/proc/self/ns/pid` (lower half) and `time` |
//! | 48 | 8 | when it was created, in seconds since 1970 |
//! | 56 | 8 | the size of the payload in bytes |
//! | 64 | 8 | the alignment of the payload in bytes: 64 |
//! | 72 | 8 | the fingerprint of the payload's layout: FNV-1a of its name, size and alignment |
//! | 80 | 4 | the length of the key's text |
//! | 84 | 4 | the length of the layout's name |
//! | 88 | 4 | options of what it holds: of a latest value its size; of a ring, bit 0 many senders, bit 1 drops the oldest; of a broadcast, bit 0 lossy |
//! | 96 | 8 | the file that its key was made from: FNV-1a of device, inode number and project id; 0 if it was opened by its name or key |
//! | 104 | 8 | the capacity of a ring or a broadcast in bytes; 0 for other kinds |
//! | 128 | 256 | the key's text: the name it was opened by; none if it was opened by a path or by its key |
//! | 384 | 128 | the layout's name |
//! | 512 | 512 | the object's own words |
//! | 1024 | | the payload |
//!
//! A segment that was created for an object has a size of 1 more than a multiple of 64. Few other segments have such
//! a size, so a tool that lists all segments attaches only these.
//!
//! A holder (the creator, a lock's owner, a process that has a role) is stored as a number of 64 bits, which `holder`
//! documents. A lock keeps its flags in the two lowest bits.
//!
//! `sync::ready` has the protocol by which one process creates the object while the others wait. A field is read once,
//! and checked against what this process knows by itself.

use crate::{error::fold, sys};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

pub(super) const HEADER: usize = 512;
pub(super) const WORDS: usize = 512;
pub(super) const PAYLOAD: usize = HEADER + WORDS;
/// The alignment of an object in its segment, and of its payload.
pub(super) const ALIGN: usize = 64;

pub(super) const ORDER: u32 = 0x0102_0304;
pub(super) const WIDTH: u32 = usize::BITS;
pub(super) const VERSION: u32 = 5;

/// The header as it lies in the segment.
#[repr(C)]
pub(super) struct Header {
    pub magic: AtomicU64,
    pub order: AtomicU32,
    pub width: AtomicU32,
    pub version: AtomicU32,
    pub kind: AtomicU32,
    pub state: AtomicU32,
    pub mixed: AtomicU32,
    pub creator: AtomicU64,
    pub namespace: AtomicU64,
    pub created: AtomicU64,
    pub size: AtomicU64,
    pub align: AtomicU64,
    pub fingerprint: AtomicU64,
    pub key_len: AtomicU32,
    pub layout_len: AtomicU32,
    pub options: AtomicU32,
    pub reserved: AtomicU32,
    pub file: AtomicU64,
    pub capacity: AtomicU64,
    pub reserved_words: [AtomicU32; 4],
    pub key: [AtomicU8; 256],
    pub layout: [AtomicU8; 128],
}

const _: () = assert!(size_of::<Header>() == HEADER);

impl Header {
    /// Returns whether the ids of all holders in this object belong to this process' PID namespace.
    pub fn is_of_our_namespaces(&self) -> bool {
        // Relaxed: both were written before any holder's number (see `introduce`), and this thread has read such a
        // number with acquire.
        let mine = sys::namespaces();
        mine != sys::NO_NAMESPACE
            && self.mixed.load(Relaxed) == 0
            && self.namespace.load(Relaxed) == mine
    }

    /// Returns whether no header was written here: every field is 0, except those that a process writes before the
    /// rest.
    pub fn is_blank(&self) -> bool {
        let header = self;
        let words = [
            &header.order,
            &header.width,
            &header.version,
            &header.kind,
            &header.state,
            &header.key_len,
            &header.layout_len,
            &header.options,
            &header.reserved,
        ];
        let longs = [
            &header.created,
            &header.size,
            &header.align,
            &header.fingerprint,
            &header.file,
        ];
        // Relaxed: see `Ready::look`.
        words.iter().all(|word| word.load(Relaxed) == 0)
            && longs.iter().all(|long| long.load(Relaxed) == 0)
            && header
                .reserved_words
                .iter()
                .all(|word| word.load(Relaxed) == 0)
            && header
                .key
                .iter()
                .chain(&header.layout)
                .all(|byte| byte.load(Relaxed) == 0)
    }

    /// Returns the namespaces that the holders' ids belong to, for an error that is displayed later.
    pub fn namespaces(&self) -> u32 {
        // Relaxed: as above; and a wrong value makes only the text of the error wrong.
        match self.mixed.load(Relaxed) {
            0 => fold(self.namespace.load(Relaxed)),
            _ => 0,
        }
    }
}

pub(super) fn text_of(room: &[AtomicU8], len: &AtomicU32) -> impl Iterator<Item = u8> {
    let len = (len.load(Relaxed) as usize).min(room.len());
    room[..len].iter().map(|byte| byte.load(Relaxed))
}

pub(super) fn put_text(room: &[AtomicU8], len: &AtomicU32, text: &[u8]) {
    // Relaxed: *ready* releases it.
    for (byte, &value) in room.iter().zip(text.iter().chain(core::iter::repeat(&0))) {
        byte.store(value, Relaxed);
    }
    len.store(text.len() as u32, Relaxed);
}

pub(super) fn has_text(room: &[AtomicU8], len: u32, text: &[u8]) -> bool {
    // Relaxed: *ready* has been acquired.
    len as usize == text.len()
        && room
            .iter()
            .zip(text)
            .all(|(byte, &value)| byte.load(Relaxed) == value)
}
