//! `shmget(2)`: finding a segment by its key, and creating one.
//!
//! A segment is created in three steps, so that other processes do not wait while the space of a large one is
//! reserved. First, under the table's lock, it gets an id and a file, and counts as being created. Then, without the
//! lock, its space is reserved. Last, under the lock again, it gets its key. If the process dies before that, its slot shows its
//! death, and another process removes the unfinished segment. If another process creates a segment with the same key
//! in between, this one is discarded.

use super::{
    control::file_mode,
    entries::{Found, pages},
    layout::{CREATING, Entry, Pid},
    open, process,
    session::Session,
    space,
    table::{Part, Table, grow},
};
use crate::sys::{self, Capability, Descriptor, Errno, FileId};
use core::{ffi::c_int, sync::atomic::Ordering::Relaxed};

/// How many pending entries each creation checks.
const SWEEP: u32 = 2;

/// The arguments of `shmget(2)`.
#[derive(Clone, Copy, Debug)]
struct Request {
    key: c_int,
    size: u64,
    flags: c_int,
}

/// Returns the id of the segment with a key, or creates one.
pub(super) fn create_or_get(key: c_int, size: usize, flags: c_int) -> Result<c_int, Errno> {
    let size = size as u64;
    let request = Request { key, size, flags };
    if key != libc::IPC_PRIVATE
        && let Some(found) = find(key)?
    {
        return request.existing(&found);
    }
    if key != libc::IPC_PRIVATE && flags & libc::IPC_CREAT == 0 {
        return Err(Errno(libc::ENOENT));
    }
    request.create()
}

/// Leaves a segment that is being created to other calls, which remove it as they remove those of dead processes.
fn disown(entry: &Entry, id: c_int, (slot, generation): (u32, u32)) {
    let is_own = entry.is(CREATING)
        && entry.id.load(Relaxed) == id
        && entry.maker.load(Relaxed) == slot
        && entry.maker_generation.load(Relaxed) == generation;
    if is_own {
        // No slot has the generation 0. The table's lock is not needed: other calls leave the entry alone before this store.
        entry.maker_generation.store(0, Relaxed);
    }
}

/// Looks a segment up by its key.
fn find(key: c_int) -> Result<Option<Found>, Errno> {
    if let Some(table) = Table::mapped()
        && open::is_fresh()
        && let Ok(Some(found)) = table.peek_by_key(key)
    {
        return Ok(Some(found));
    }
    // Not found, or the last check that the table is still in its directory is too old.
    let table = open::table(&mut process::Own::lock(), true)?;
    match table.peek_by_key(key) {
        Ok(found) => Ok(found),
        Err(()) => Session::begin(false).map(|session| session.table.by_key(key)),
    }
}

impl Request {
    /// Checks the request against an existing segment, in the kernel's order, and returns its id.
    fn existing(&self, found: &Found) -> Result<c_int, Errno> {
        let exclusive = libc::IPC_CREAT | libc::IPC_EXCL;
        if self.flags & exclusive == exclusive {
            return Err(Errno(libc::EEXIST));
        }
        if found.size < self.size {
            return Err(Errno(libc::EINVAL));
        }
        if found.permissions.deny(self.flags) {
            return Err(Errno(libc::EACCES));
        }
        Ok(found.id)
    }

    fn create(&self) -> Result<c_int, Errno> {
        let mut session = Session::begin(true)?;
        if let Some(found) = self.found(&session) {
            return self.existing(&found);
        }
        self.check(&mut session)?;
        let (index, entry) = self.claim(&mut session)?;
        let id = entry.id.load(Relaxed);
        let (era, slot) = (session.era, (session.slot, session.slot_generation));
        let (made, place) = self.make(session, id);
        let mut session = Session::begin(false).inspect_err(|_| {
            let mut own = process::Own::lock();
            own.unfinished.remove(place);
            if own.era == era && !open::is_truncated(&own) {
                disown(entry, id, slot);
            }
        })?;
        session.unfinished.remove(place);
        // The table may have been replaced or corrupted in between.
        let entry = session.table.entry(index);
        let is_ours = |entry: &&Entry| {
            session.era == era && entry.is(CREATING) && entry.id.load(Relaxed) == id
        };
        let entry = entry.filter(is_ours);
        let entry = entry.ok_or(Errno(libc::EIDRM))?;
        let found = self.found(&session);
        match (made, found) {
            (Ok(inode), None) => {
                entry.inode.store(inode, Relaxed);
                session.table.publish(index, entry);
                session.is_settled(index, entry);
                Ok(id)
            }
            (_, Some(found)) => {
                session.destroy(index, entry);
                self.existing(&found)
            }
            (Err(errno), None) => {
                session.destroy(index, entry);
                Err(errno)
            }
        }
    }

    fn found(&self, session: &Session) -> Option<Found> {
        match self.key {
            libc::IPC_PRIVATE => None,
            key => session.table.by_key(key),
        }
    }

    /// Checks the size and the limits, in the kernel's order.
    fn check(&self, session: &mut Session) -> Result<(), Errno> {
        let limits = session.limits;
        if self.size < 1 || self.size > limits.shmmax {
            return Err(Errno(libc::EINVAL));
        }
        if self.size > u64::MAX - sys::page_size() as u64 {
            return Err(Errno(libc::ENOSPC));
        }
        session.sweep(SWEEP);
        let is_over = |session: &Session| {
            let total = session.table.header().pages.load(Relaxed);
            total
                .checked_add(pages(self.size))
                .is_none_or(|total| total > limits.shmall)
        };
        if is_over(session) {
            session.sweep(u32::MAX);
            if is_over(session) {
                return Err(Errno(libc::ENOSPC));
            }
        }
        if self.flags & libc::SHM_HUGETLB != 0 {
            return Err(self.without_huge_pages());
        }
        // The kernel makes no larger file.
        if self.size > i64::MAX as u64 {
            return Err(Errno(libc::EINVAL));
        }
        let is_full = |session: &Session| {
            u64::from(session.table.header().used.load(Relaxed)) >= limits.shmmni
        };
        if is_full(session) {
            session.sweep(u32::MAX);
            if is_full(session) {
                return Err(Errno(libc::ENOSPC));
            }
        }
        Ok(())
    }

    /// Returns the error of a kernel that has no free huge pages.
    fn without_huge_pages(&self) -> Errno {
        let kib = match self.flags as u32 >> libc::MAP_HUGE_SHIFT & libc::MAP_HUGE_MASK as u32 {
            0 => sys::huge_page_kib(),
            log => Some((1_u64 << log) / 1024),
        };
        if !kib.is_some_and(|kib| matches!(sys::huge_pages(kib), Ok(Some(_)))) {
            return Errno(libc::EINVAL);
        }
        let group = sys::huge_page_group();
        if sys::is_capable(Capability::IpcLock) || group.is_some_and(sys::is_member) {
            Errno(libc::ENOMEM)
        } else {
            Errno(libc::EPERM)
        }
    }

    /// Takes a free id, and fills its entry.
    fn claim(&self, session: &mut Session) -> Result<(u32, &'static Entry), Errno> {
        let table = session.table;
        if table.record(0).is_none() {
            // With the first segment, because later ones may fill the file system, and could then not be attached.
            grow(table, Part::Records, 0, &open::reopen(session)?)?;
        }
        let place = table.next_id().ok_or(Errno(libc::ENOSPC))?;
        let entry = table.claim(place, || open::reopen(session))?;
        let (user, group) = (sys::effective_user(), sys::effective_group());
        entry.key.store(self.key, Relaxed);
        entry.size.store(self.size, Relaxed);
        entry.inode.store(0, Relaxed);
        entry.mode.store(self.flags as u32 & 0o777, Relaxed);
        entry.user.store(user, Relaxed);
        entry.group.store(group, Relaxed);
        entry.creating_user.store(user, Relaxed);
        entry.creating_group.store(group, Relaxed);
        entry.creator.store(session.pid().0, Relaxed);
        entry.last.store(Pid::NONE.0, Relaxed);
        entry.attached.store(0, Relaxed);
        entry.detached.store(0, Relaxed);
        entry.changed.store(sys::seconds(), Relaxed);
        entry.record.store(0, Relaxed);
        entry.maker.store(session.slot, Relaxed);
        entry
            .maker_generation
            .store(session.slot_generation, Relaxed);
        table.account(entry);
        table.add_pending(place.0, entry);
        Ok((place.0, entry))
    }

    /// Makes the segment's file, and reserves its space without the locks. Returns its inode number, and the file's place
    /// in `unfinished`.
    fn make(&self, mut session: Session, id: c_int) -> (Result<u64, Errno>, Option<usize>) {
        let opened = self.open(&session, id);
        let (file, file_id) = match opened {
            Ok(opened) => opened,
            Err(errno) => return (Err(errno), None),
        };
        let place = session.unfinished.add(&file, file_id);
        drop(session);
        let len = pages(self.size) * sys::page_size() as u64;
        let reserved = space::reserve(&file, 0, len);
        (reserved.map(|()| file_id.inode), place)
    }

    /// Makes the segment's file.
    fn open(&self, session: &Session, id: c_int) -> Result<(Descriptor, FileId), Errno> {
        let directory = session.directory.as_ref().ok_or(Errno(libc::ENOENT))?;
        let path = directory.file(format_args!("s.{id}"));
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let file = match Descriptor::open_file(path.as_c_str(), flags, 0o600) {
            // A file of an earlier table in this directory.
            Err(Errno(libc::EEXIST)) => {
                sys::unlink(path.as_c_str())?;
                Descriptor::open_file(path.as_c_str(), flags, 0o600)
            }
            file => file,
        }?;
        let facts = file.facts()?;
        // In a private directory, the file keeps the mode 0600: the segment's mode is in the table, and the owner
        // must always be able to count the attachments.
        if session.access.is_shared {
            file.set_mode(file_mode(self.flags as u32))?;
        } else if facts.mode & 0o600 != 0o600 {
            // The umask excludes the owner.
            file.set_mode(0o600)?;
        }
        Ok((file, facts.id))
    }
}
