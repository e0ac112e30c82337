//! The ring of pending entries: segments that are being created, whose creator may have died; removed segments, whose
//! last attachment may have ended with its process; and files that could not be removed.
//!
//! No process is notified when another one dies. So a call that creates a segment checks the next two entries of the
//! ring, and one that meets a limit, or counts the segments, checks all of them.

use super::{
    layout::{CREATING, ENTRIES, Entry, FREE, GARBAGE, LIVE},
    open, records,
    session::Session,
    table::Table,
};
use crate::sys::{self, Errno, Instant};
use core::{
    sync::atomic::Ordering::{Relaxed, Release},
    time::Duration,
};

/// How long a call looks at what is left.
const PATIENCE: Duration = Duration::from_secs(1);

impl Table {
    /// Puts an entry into the ring. Does nothing if it is in the ring already.
    pub(super) fn add_pending(self, index: u32, entry: &Entry) {
        if entry.behind.load(Relaxed) != 0 {
            return;
        }
        let header = self.header();
        let first = header.pending.load(Relaxed).checked_sub(1);
        let first = first.and_then(|index| self.entry(index).map(|entry| (index, entry)));
        // In an empty ring, the entry is its own neighbour.
        let (at, here) = first.unwrap_or((index, entry));
        let last = here.before.load(Relaxed).checked_sub(1);
        let last = last.and_then(|index| self.entry(index).map(|entry| (index, entry)));
        let (end, there) = last.unwrap_or((at, here));
        entry.before.store(end + 1, Relaxed);
        entry.behind.store(at + 1, Relaxed);
        there.behind.store(index + 1, Relaxed);
        here.before.store(index + 1, Relaxed);
        if first.is_none() {
            header.pending.store(index + 1, Relaxed);
        }
    }

    /// Takes an entry out of the ring. Does nothing if it is not in the ring.
    fn drop_pending(self, index: u32, entry: &Entry) {
        let behind = entry.behind.swap(0, Relaxed);
        let before = entry.before.swap(0, Relaxed);
        if behind == 0 {
            return;
        }
        let neighbour = |link: u32| link.checked_sub(1).and_then(|index| self.entry(index));
        let is_alone = behind == index + 1;
        if !is_alone {
            if let Some(next) = neighbour(behind) {
                next.before.store(before, Relaxed);
            }
            if let Some(last) = neighbour(before) {
                last.behind.store(behind, Relaxed);
            }
        }
        let header = self.header();
        if header.pending.load(Relaxed) == index + 1 {
            let next = if is_alone { 0 } else { behind };
            header.pending.store(next, Relaxed);
        }
    }

    /// Frees an entry whose file is gone.
    fn free(self, index: u32, entry: &Entry) {
        self.drop_pending(index, entry);
        entry.record.store(0, Relaxed);
        entry.state.store(FREE, Release);
    }
}

impl Session {
    /// Checks the next entries of the ring, at most `most` of them.
    pub(super) fn sweep(&mut self, most: u32) {
        let table = self.table;
        let header = table.header();
        let (start, mut first_left) = (Instant::now(), None);
        for _ in 0..most.min(ENTRIES) {
            let Some(index) = header.pending.load(Relaxed).checked_sub(1) else {
                return;
            };
            // All of them were checked; or there are so many attachments as only a hostile peer writes.
            if first_left == Some(index) || start.elapsed() > PATIENCE {
                return;
            }
            let Some(entry) = table.entry(index) else {
                header.pending.store(0, Relaxed);
                return;
            };
            let next = entry.behind.load(Relaxed);
            if next == 0 {
                // The entry is not in the ring: the table is corrupted.
                super::repair::rebuild(table);
                return;
            }
            header.pending.store(next, Relaxed);
            self.settle(index, entry);
            if entry.behind.load(Relaxed) != 0 {
                first_left.get_or_insert(index);
            }
        }
    }

    /// Checks an entry. Destroys its segment if its creator is dead, or if it is removed and no process has it
    /// attached.
    pub(super) fn settle(&mut self, index: u32, entry: &'static Entry) {
        match entry.state.load(Relaxed) {
            CREATING => {
                let maker = entry.maker.load(Relaxed);
                if !self.slot_lives(maker, entry.maker_generation.load(Relaxed)) {
                    self.destroy(index, entry);
                }
            }
            LIVE if entry.is_removed() => {
                if records::count(self, entry) == 0 {
                    self.destroy(index, entry);
                }
            }
            GARBAGE => self.destroy(index, entry),
            _ => self.table.drop_pending(index, entry),
        }
    }

    /// Returns the segment with an id; `EINVAL` if there is none. First destroys it if it is removed and its last
    /// attachment has ended with its process.
    pub(super) fn existing(&mut self, id: i32) -> Result<(u32, &'static Entry), Errno> {
        let (index, entry) = self.table.by_id(id).ok_or(Errno(libc::EINVAL))?;
        if entry.is_removed() {
            self.settle(index, entry);
        }
        self.table.by_id(id).ok_or(Errno(libc::EINVAL))
    }

    /// Destroys a segment that no process has attached. If this process may not remove its file, the entry stays in
    /// the ring for a process that may.
    pub(super) fn destroy(&mut self, index: u32, entry: &'static Entry) {
        let table = self.table;
        table.add_pending(index, entry);
        table.retire(index, entry);
        records::free_all(table, entry);
        if self.remove_file(entry).is_ok() {
            table.free(index, entry);
        }
    }

    /// Removes the file of a segment, if it still exists.
    fn remove_file(&self, entry: &Entry) -> Result<(), Errno> {
        let directory = self.directory.as_ref().ok_or(Errno(libc::ESTALE))?;
        let path = directory.file(format_args!("s.{}", entry.id.load(Relaxed)));
        match sys::unlink(path.as_c_str()) {
            // But in another root directory, it is still where the table is.
            Err(Errno(libc::ENOENT)) if open::is_current(self) => Ok(()),
            result => result,
        }
    }

    /// Takes the entry of a segment whose creation is complete out of the ring.
    pub(super) fn is_settled(&self, index: u32, entry: &Entry) {
        self.table.drop_pending(index, entry);
    }
}
