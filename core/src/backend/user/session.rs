//! A session: a part of a call during which this thread holds the lock of its process and the lock of the table.

use super::{
    layout::{Entry, SLOTS},
    lock::{self, Taken},
    open::{self, slot_lives},
    path::FilePath,
    process::Own,
    repair,
    table::Table,
};
use crate::sys::{Descriptor, Errno, Facts};
use core::{
    cell::Cell,
    ops::{Deref, DerefMut},
    sync::atomic::Ordering::Relaxed,
};

/// Both locks, held. Dropping it releases them.
pub(super) struct Session {
    own: Own,
    pub table: Table,
    /// Whether all records of attachments are known to be in use.
    pub records_are_full: Cell<bool>,
}

impl Session {
    /// Takes both locks, and maps the table if it is not mapped. With `current`, also maps it anew if the directory
    /// has another one now. Returns `EIDRM` if the table was replaced again and again, and `ETIMEDOUT` if a live
    /// process holds the table's lock for seconds.
    pub(super) fn begin(current: bool) -> Result<Session, Errno> {
        let mut own = Own::lock();
        let mut result = Session::lock(&mut own, current);
        if let Err(Errno(libc::ESTALE)) = result {
            result = Session::lock(&mut own, true);
        }
        match result {
            Ok(table) => Ok(Session::held(own, table)),
            Err(Errno(libc::ESTALE)) => Err(Errno(libc::EIDRM)),
            Err(errno) => Err(errno),
        }
    }

    fn held(own: Own, table: Table) -> Session {
        let records_are_full = Cell::new(false);
        Session {
            own,
            table,
            records_are_full,
        }
    }

    /// Takes the table's lock for a caller that holds the lock of its process. On failure, returns the latter.
    pub(super) fn with(mut own: Own) -> Result<Session, (Own, Errno)> {
        match Session::lock(&mut own, false) {
            Ok(table) => Ok(Session::held(own, table)),
            Err(errno) => Err((own, errno)),
        }
    }

    fn lock(own: &mut Own, current: bool) -> Result<Table, Errno> {
        let table = open::table(own, current)?;
        let header = table.header();
        let mut file = None;
        let lives = |slot: u32| {
            if slot >= SLOTS {
                return Ok(false);
            }
            if file.is_none() {
                file = match open::reopen(own) {
                    Ok(file) => Some(file),
                    Err(Errno(libc::ESTALE)) => return Err(Errno(libc::ESTALE)),
                    // In a chroot or as another user, the table's file cannot be opened: the holder may be live.
                    Err(_) => return Ok(true),
                };
            }
            let file = file.as_ref().ok_or(Errno(libc::ESTALE))?;
            open::is_slot_locked(own, file, slot)
        };
        if lock::take(&header.lock, own.slot, lives)? == Taken::Recovered {
            repair::rebuild(table);
        }
        Ok(table)
    }

    /// Releases the table's lock, and returns the lock of this process, still held.
    pub(super) fn into_own(self) -> Own {
        lock::release(&self.table.header().lock);
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, and not dropped.
        unsafe { core::ptr::read(&this.own) }
    }

    /// Opens the file of a segment, with `O_RDONLY` or `O_RDWR`. Returns it and the segment's size. Returns `ESTALE`
    /// if the file is not the one that the entry was made with, has a second name, is shorter than the segment, or,
    /// in a shared directory, belongs to a user other than the entry's.
    pub(super) fn open_segment(
        &self,
        id: i32,
        entry: &Entry,
        flags: i32,
    ) -> Result<(Descriptor, u64), Errno> {
        let (file, facts, size) = self.open_file_of(id, entry, flags)?;
        // All users of a shared directory can write the entry. In a private one, there is one user.
        if self.own.access.is_shared && facts.user != entry.user.load(Relaxed) {
            return Err(Errno(libc::ESTALE));
        }
        Ok((file, size))
    }

    /// Does the same for a file of any owner, and also returns the file's facts. The caller passes the id, because
    /// another process can change that of the entry.
    pub(super) fn open_file_of(
        &self,
        id: i32,
        entry: &Entry,
        flags: i32,
    ) -> Result<(Descriptor, Facts, u64), Errno> {
        let path = self.path_of(id)?;
        let file = match Descriptor::open_file(path.as_c_str(), flags, 0) {
            Err(Errno(libc::ENOENT | libc::ELOOP | libc::EISDIR | libc::ENXIO)) => {
                Err(Errno(libc::ESTALE))
            }
            opened => opened,
        }?;
        let facts = file.facts()?;
        // Loaded once: another process can change it.
        let size = entry.size.load(Relaxed);
        let is_whole = facts.size >= size && size > 0;
        let is_it = facts.is_regular() && facts.id.inode == entry.inode.load(Relaxed);
        if is_it && is_whole && facts.links == 1 {
            Ok((file, facts, size))
        } else {
            Err(Errno(libc::ESTALE))
        }
    }

    /// Returns the user who owns a segment's file, whatever the table says; `EIDRM` if there is no file.
    pub(super) fn owner_of_file(&self, id: i32) -> Result<Option<u32>, Errno> {
        match Facts::of(self.path_of(id)?.as_c_str()) {
            Ok(facts) => Ok(Some(facts.user)),
            Err(Errno(libc::ENOENT)) => Err(Errno(libc::EIDRM)),
            // This process may not enter the directory any more, so it cannot attach the segment, either.
            Err(_) => Ok(None),
        }
    }

    fn path_of(&self, id: i32) -> Result<FilePath, Errno> {
        let directory = self.own.directory.as_ref().ok_or(Errno(libc::ESTALE))?;
        Ok(directory.file(format_args!("s.{id}")))
    }

    /// Returns whether the process that got a slot in a generation is live. If that is unknown, it counts as live.
    pub(super) fn slot_lives(&self, slot: u32, generation: u32) -> bool {
        if slot == self.own.slot && generation == self.own.slot_generation {
            return true;
        }
        open::reopen(&self.own)
            .and_then(|file| slot_lives(&self.own, self.table, &file, slot, generation))
            .unwrap_or(true)
    }
}

impl Deref for Session {
    type Target = Own;

    fn deref(&self) -> &Own {
        &self.own
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Own {
        &mut self.own
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock::release(&self.table.header().lock);
    }
}
