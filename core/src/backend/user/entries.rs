//! Segments in the table: finding, adding and removing them.

use super::{
    layout::{CREATING, ENTRIES, Entry, FREE, GARBAGE, Header, LIVE, Pid},
    lock,
    rights::Permissions,
    table::{Part, Table, grow},
};
use crate::{
    backend::SHM_DEST,
    sys::{Descriptor, Errno},
};
use core::sync::atomic::Ordering::{Relaxed, Release};

/// What a lookup needs of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub id: i32,
    pub size: u64,
    pub permissions: Permissions,
}

/// The number of low bits of an id that are the index.
const INDEX_BITS: u32 = 15;

/// Returns the index in an id.
pub(super) fn index_of(id: i32) -> u32 {
    id as u32 & (ENTRIES - 1)
}

impl Entry {
    pub(super) fn is(&self, state: u32) -> bool {
        self.state.load(Relaxed) == state
    }

    /// Returns whether the last detach destroys it.
    pub(super) fn is_removed(&self) -> bool {
        self.mode.load(Relaxed) & SHM_DEST != 0
    }

    pub(super) fn permissions(&self) -> Permissions {
        Permissions {
            mode: self.mode.load(Relaxed),
            user: self.user.load(Relaxed),
            group: self.group.load(Relaxed),
            creating_user: self.creating_user.load(Relaxed),
            creating_group: self.creating_group.load(Relaxed),
        }
    }

    pub(super) fn last(&self) -> Pid {
        Pid(self.last.load(Relaxed))
    }

    /// Returns the number of its pages.
    pub(super) fn pages(&self) -> u64 {
        pages(self.size.load(Relaxed))
    }

    fn found(&self) -> Found {
        Found {
            id: self.id.load(Relaxed),
            size: self.size.load(Relaxed),
            permissions: self.permissions(),
        }
    }
}

/// Returns the number of pages of a segment.
pub(super) fn pages(size: u64) -> u64 {
    size.div_ceil(crate::sys::page_size() as u64)
}

impl Table {
    /// Returns the entry of a segment that exists, by its id.
    pub(super) fn by_id(self, id: i32) -> Option<(u32, &'static Entry)> {
        if id < 0 {
            return None;
        }
        let index = index_of(id);
        let entry = self.live(index)?;
        (entry.id.load(Relaxed) == id).then_some((index, entry))
    }

    /// Returns the entry of a segment that exists, by its index.
    pub(super) fn live(self, index: u32) -> Option<&'static Entry> {
        self.entry(index).filter(|entry| entry.is(LIVE))
    }

    /// Returns the segment with a key. A chain has at most as many links as there are entries: a longer walk is in a
    /// corrupted table.
    pub(super) fn by_key(self, key: i32) -> Option<Found> {
        let mut link = self.head(key).load(Relaxed);
        for _ in 0..ENTRIES {
            let index = link.checked_sub(1)?;
            let entry = self.entry(index)?;
            if entry.key.load(Relaxed) == key && entry.is(LIVE) && !entry.is_removed() {
                return Some(entry.found());
            }
            link = entry.next.load(Relaxed);
        }
        None
    }

    /// Does the same without the lock. Returns `Err` if other processes changed the table at each attempt.
    pub(super) fn peek_by_key(self, key: i32) -> Result<Option<Found>, ()> {
        self.unlocked(|| self.by_key(key))
    }

    /// Reads the table without the lock. Returns `Err` if other processes changed it at each attempt.
    pub(super) fn unlocked<T>(self, read: impl Fn() -> T) -> Result<T, ()> {
        let header = self.header();
        for _ in 0..8 {
            if let Some(sequence) = lock::begin_lookup(header) {
                let value = read();
                if lock::is_unchanged(header, sequence) {
                    return Ok(value);
                }
            }
            core::hint::spin_loop();
        }
        Err(())
    }

    /// Puts a segment into the chain of its key.
    pub(super) fn link(self, index: u32, entry: &Entry) {
        let head = self.head(entry.key.load(Relaxed));
        entry.next.store(head.load(Relaxed), Relaxed);
        head.store(index + 1, Relaxed);
    }

    /// Takes a segment out of the chain of its key, if it is in that chain.
    fn unlink(self, index: u32, entry: &Entry) {
        let mut place = self.head(entry.key.load(Relaxed));
        for _ in 0..ENTRIES {
            let link = place.load(Relaxed);
            if link == index + 1 {
                place.store(entry.next.load(Relaxed), Relaxed);
                return;
            }
            match link.checked_sub(1).and_then(|other| self.entry(other)) {
                Some(other) => place = &other.next,
                None => return,
            }
        }
    }

    /// Makes a new segment visible to all processes.
    pub(super) fn publish(self, index: u32, entry: &Entry) {
        let header = self.header();
        lock::begin_change(header);
        if entry.key.load(Relaxed) != libc::IPC_PRIVATE {
            self.link(index, entry);
        }
        entry.state.store(LIVE, Release);
        lock::end_change(header);
    }

    /// Marks a segment as removed, so that the last detach destroys it, and frees its key.
    pub(super) fn mark_removed(self, index: u32, entry: &Entry) {
        let header = self.header();
        lock::begin_change(header);
        // SeqCst: comes before the fence in `control::remove`; see `detach`.
        entry
            .mode
            .fetch_or(SHM_DEST, core::sync::atomic::Ordering::SeqCst);
        self.unlink(index, entry);
        entry.key.store(libc::IPC_PRIVATE, Relaxed);
        lock::end_change(header);
    }

    /// Marks an entry as garbage: no call finds the segment any more, and only its file remains to be removed.
    pub(super) fn retire(self, index: u32, entry: &Entry) {
        let header = self.header();
        lock::begin_change(header);
        self.unlink(index, entry);
        if !entry.is(GARBAGE) {
            entry.state.store(GARBAGE, Relaxed);
            let used = header.used.load(Relaxed);
            header.used.store(used.saturating_sub(1), Relaxed);
            let pages = header.pages.load(Relaxed);
            header
                .pages
                .store(pages.saturating_sub(entry.pages()), Relaxed);
        }
        lock::end_change(header);
    }

    /// Returns a free index, and the id that a segment gets there. As in the kernel, indexes are given in ascending
    /// order, and the upper bits of an id count how often they have started over.
    pub(super) fn next_id(self) -> Option<(u32, i32)> {
        /// The number of indexes after which the kernel starts over at the earliest.
        const CYCLE: u32 = 64;
        let header = self.header();
        let used = header.used.load(Relaxed);
        let end = (used.saturating_mul(3) / 2).clamp(CYCLE, ENTRIES);
        let cursor = header.cursor.load(Relaxed).min(ENTRIES);
        let is_free = |&index: &u32| self.entry(index).is_none_or(|entry| entry.is(FREE));
        let index = (cursor..end)
            .find(is_free)
            .or_else(|| (0..end).find(is_free))
            // Entries whose files could not be removed occupy indexes, but are not counted in `used`.
            .or_else(|| (0..ENTRIES).find(is_free))?;
        let mut generation = header.generation.load(Relaxed);
        if index < cursor {
            generation = generation.wrapping_add(1);
        }
        if generation >= i32::MAX as u32 >> INDEX_BITS {
            generation = 0;
        }
        Some((index, (generation << INDEX_BITS | index) as i32))
    }

    /// Gives the entry of a free index its space and its id. `file` opens the table's file, if space is needed.
    pub(super) fn claim(
        self,
        (index, id): (u32, i32),
        file: impl FnOnce() -> Result<Descriptor, Errno>,
    ) -> Result<&'static Entry, Errno> {
        if index >= self.entries() {
            grow(self, Part::Entries, index, &file()?)?;
        }
        let entry = self.entry(index).ok_or(Errno(libc::ENOSPC))?;
        let header = self.header();
        header.cursor.store(index + 1, Relaxed);
        header.generation.store(id as u32 >> INDEX_BITS, Relaxed);
        entry.id.store(id, Relaxed);
        Ok(entry)
    }

    /// Marks an entry as being created, and counts it and its pages.
    pub(super) fn account(self, entry: &Entry) {
        let header: &Header = self.header();
        entry.state.store(CREATING, Release);
        let used = header.used.load(Relaxed);
        header.used.store(used.saturating_add(1), Relaxed);
        let pages = header.pages.load(Relaxed);
        header
            .pages
            .store(pages.saturating_add(entry.pages()), Relaxed);
    }

    /// Returns the highest index of a segment that exists; 0 if there is none.
    pub(super) fn highest(self) -> u32 {
        (0..self.entries())
            .rev()
            .find(|&index| self.live(index).is_some())
            .unwrap_or(0)
    }
}
