//! Finding or making the table of a namespace, and getting a slot in it.

use super::{
    directory,
    holding::{self, Holding},
    layout::{ENTRIES_AT, Header, SLOTS, TOTAL},
    limits::Limits,
    lock::{self, Taken},
    path::FilePath,
    process::{Own, PUBLIC, mapped_file},
    repair, space,
    table::Table,
};
use crate::sys::{self, Descriptor, Errno, Facts, Instant, Place};
use core::{
    sync::atomic::Ordering::{Relaxed, Release},
    time::Duration,
};

/// How long to wait for another process that makes the table.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a check that the table is still in its directory stays valid, in nanoseconds.
const TRUST: u64 = 4_000_000;

/// Returns whether the last check that the table is still in its directory, and whole, is valid.
pub(super) fn is_fresh() -> bool {
    let checked = PUBLIC.checked.load(Relaxed);
    sys::about_now().wrapping_sub(checked) < TRUST
}

/// Returns whether the mapped table was truncated, so that an access would raise `SIGBUS`. A valid check is not
/// repeated.
pub(super) fn is_truncated(own: &Own) -> bool {
    let Some(directory) = own.directory.as_ref().filter(|_| !is_fresh()) else {
        return false;
    };
    let facts = Facts::of(path_of_table(directory).as_c_str());
    let Some(facts) = facts.ok().filter(|facts| facts.id == mapped_file()) else {
        return false;
    };
    let is_truncated = facts.size < TOTAL as u64;
    if !is_truncated {
        PUBLIC.checked.store(sys::about_now(), Relaxed);
    }
    is_truncated
}

/// Returns the table. Maps it first if it is not mapped, or was truncated; with `current`, also if another file is at
/// its path now.
pub(super) fn table(own: &mut Own, current: bool) -> Result<Table, Errno> {
    match Table::mapped() {
        Some(table) if current && is_current(own) => Ok(table),
        Some(table) if !current && !is_truncated(own) => Ok(table),
        _ => map(own),
    }
}

/// Returns whether the table that is mapped is the one at its path, and whole.
pub(super) fn is_current(own: &Own) -> bool {
    let Some(directory) = &own.directory else {
        return false;
    };
    let is_current = match Facts::of(path_of_table(directory).as_c_str()) {
        Ok(facts) => facts.id == mapped_file() && facts.size == TOTAL as u64,
        // A process that has become another user keeps the table that it has mapped.
        Err(errno) => errno == Errno(libc::EACCES),
    };
    if is_current {
        PUBLIC.checked.store(sys::about_now(), Relaxed);
    }
    is_current
}

pub(super) fn path_of_table(directory: &FilePath) -> FilePath {
    directory.file(format_args!("table"))
}

/// Opens the file of the mapped table. Returns `ESTALE` if it is no longer at its path.
pub(super) fn reopen(own: &Own) -> Result<Descriptor, Errno> {
    let directory = own.directory.as_ref().ok_or(Errno(libc::ESTALE))?;
    let file = Descriptor::open_file(path_of_table(directory).as_c_str(), libc::O_RDWR, 0);
    match file {
        Ok(file) if file.facts()?.id == mapped_file() => Ok(file),
        Ok(_) | Err(Errno(libc::ENOENT)) => Err(Errno(libc::ESTALE)),
        Err(errno) => Err(errno),
    }
}

/// Maps the table of the namespace, and takes a slot in it.
#[cold]
fn map(own: &mut Own) -> Result<Table, Errno> {
    let directory = match own.directory {
        Some(directory) => directory,
        None => directory::choose()?,
    };
    own.access = directory::open(&directory)?;
    let (file, facts) = open(own, &directory)?;
    let (place, protection) = match PUBLIC.base.load(Relaxed) {
        0 => (Place::Anywhere, libc::PROT_READ | libc::PROT_WRITE),
        base => (Place::Replacing(base), libc::PROT_READ | libc::PROT_WRITE),
    };
    let mut start = [0; 24];
    file.read(&mut start)?;
    let flags = u32::from_ne_bytes([start[20], start[21], start[22], start[23]]);
    let holding = Holding::new(flags, facts.id);
    let lock_file = holding.lock_file(&file)?;
    let slot = lock_slot(holding, &lock_file, first_slot())?;
    let slot_page = if holding.is_apart() {
        holding::hold(&lock_file)?
    } else {
        0
    };
    PUBLIC.is_mapped.store(0, Relaxed);
    own.holding = holding;
    holding::let_go(core::mem::replace(&mut own.slot_page, slot_page));
    // SAFETY: what is replaced is the table that this process had mapped, which lookups check as they read it.
    let base = unsafe { sys::map_file(place, TOTAL, protection, &file) }? as usize;
    let table = Table::at(base).ok_or(Errno(libc::ENOMEM))?;
    PUBLIC.base.store(base, Relaxed);
    if !table.header().is_ours() {
        return Err(Errno(libc::EINVAL));
    }
    PUBLIC.device.store(facts.id.device, Relaxed);
    PUBLIC.inode.store(facts.id.inode, Relaxed);
    PUBLIC.checked.store(sys::about_now(), Relaxed);
    own.slot = slot;
    own.slot_generation = use_slot(table, slot)?;
    take_over_lock(table, slot)?;
    own.era += 1;
    own.limits = Limits::read(&directory, own.access.owner);
    name_segment_files(&directory, &file);
    own.directory = Some(directory);
    // Release: pairs with the acquire in `Table::mapped`.
    PUBLIC.is_mapped.store(1, Release);
    Ok(table)
}

/// Says where the segments' files are, as /proc will show it: without symbolic links and `..`.
fn name_segment_files(directory: &FilePath, table: &Descriptor) {
    let mut buffer = [0; 512];
    let path = table.path(&mut buffer).ok();
    let real = path.and_then(|path| path.strip_suffix(b"/table"));
    sys::name_segment_files(real.unwrap_or(directory.as_bytes()));
}

/// Opens the table's file, and makes it if there is none.
fn open(own: &Own, directory: &FilePath) -> Result<(Descriptor, Facts), Errno> {
    let (path, start) = (path_of_table(directory), Instant::now());
    loop {
        match Descriptor::open_file(path.as_c_str(), libc::O_RDWR, 0) {
            Ok(file) => {
                let mut facts = file.facts()?;
                if facts.links == 2 {
                    drop_old_name(directory, &facts);
                    facts = file.facts()?;
                }
                return check(own, &facts).map(|()| (file, facts));
            }
            Err(Errno(libc::ENOENT)) => {}
            // A symbolic link, a directory, or a socket.
            Err(Errno(libc::ELOOP | libc::EISDIR | libc::ENXIO)) => {
                return Err(Errno(libc::EACCES));
            }
            Err(errno) => return Err(errno),
        }
        match make(own, directory, &path) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(Errno(libc::EAGAIN)) if start.elapsed() < PATIENCE => {
                sys::sleep(Duration::from_millis(1));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Removes the name that a table had before it was complete, if it still has it: where `sys::rename_new` takes two steps,
/// its maker may have died between them.
fn drop_old_name(directory: &FilePath, table: &Facts) {
    let new = path_of_new(directory, table.user);
    if Facts::of(new.as_c_str()).is_ok_and(|facts| facts.id == table.id) {
        // If that fails, the table still has two names, and is refused.
        let _ = sys::unlink(new.as_c_str());
    }
}

/// Returns the path of a table that a user makes.
fn path_of_new(directory: &FilePath, user: u32) -> FilePath {
    directory.file(format_args!("new.{user}"))
}

/// Returns `EACCES` for a file that this user must not trust, and `EINVAL` for one of another format.
fn check(own: &Own, facts: &Facts) -> Result<(), Errno> {
    let user = sys::effective_user();
    let is_trusted = own.access.is_shared || facts.user == user || facts.user == 0;
    if !facts.is_regular() || facts.links != 1 || !is_trusted {
        return Err(Errno(libc::EACCES));
    }
    if facts.size != TOTAL as u64 {
        return Err(Errno(libc::EINVAL));
    }
    Ok(())
}

/// Makes a table. Until it is complete, its file is called `new.UID`, and a lock on its first byte shows that its
/// maker is live. The next process of that user takes over the file of a dead maker. Returns `EAGAIN` while another
/// process makes the table, and `EEXIST` if it has just made it.
fn make(own: &Own, directory: &FilePath, path: &FilePath) -> Result<(), Errno> {
    let new = path_of_new(directory, sys::effective_user());
    let create = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    let mut file = Descriptor::open_file(new.as_c_str(), create, 0o600);
    if let Err(Errno(libc::EEXIST)) = file {
        file = Descriptor::open_file(new.as_c_str(), libc::O_RDWR, 0);
    }
    let file = match file {
        // Another process has just renamed it.
        Err(Errno(libc::ENOENT)) => return Err(Errno(libc::EAGAIN)),
        file => file?,
    };
    file.lock_byte(0, true)?;
    let facts = file.facts()?;
    let is_own = facts.is_regular() && facts.links == 1 && facts.user == sys::effective_user();
    if !is_own {
        return Err(Errno(libc::EACCES));
    }
    if facts.mode & 0o600 != 0o600 {
        // The umask excludes its owner, who may have to take it over.
        file.set_mode(0o600)?;
    }
    // Another process may have renamed it before this one got the lock.
    if Facts::of(new.as_c_str()).map(|facts| facts.id) != Ok(facts.id) {
        return Err(Errno(libc::EAGAIN));
    }
    if TOTAL as u64 > sys::file_size_limit() {
        return Err(Errno(libc::ENOMEM));
    }
    file.resize(0)?;
    space::reserve(&file, 0, ENTRIES_AT as u64)?;
    let flags = holding::find_out(&file, new.as_c_str(), facts.id)?;
    file.write_at(&Header::new_bytes(flags), 0)?;
    file.resize(TOTAL as u64)?;
    if own.access.is_shared {
        // Fails if this user is not a member of that group; the file then keeps this user's group.
        let _ = file.set_owner(u32::MAX, own.access.group);
    }
    file.set_mode(own.access.common)?;
    sys::rename_new(new.as_c_str(), path.as_c_str())
}

/// The last slot is not used: its number plus one would not fit into the lock's word.
const LAST: u32 = SLOTS - 1;

/// Returns the slot to try first, which is likely to be free.
pub(super) fn first_slot() -> u32 {
    sys::process_id() as u32 % LAST
}

/// Locks the byte of the first free slot, beginning with the slot `first`. Returns the slot. Returns `ENOSPC` if all
/// are taken, and `ENOSYS` if there are no such locks here.
pub(super) fn lock_slot(holding: Holding, file: &Descriptor, first: u32) -> Result<u32, Errno> {
    for distance in 0..LAST {
        let slot = (first + distance) % LAST;
        match file.lock_byte(holding.slot_byte(slot), true) {
            Ok(()) => return Ok(slot),
            Err(Errno(libc::EAGAIN | libc::EACCES)) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno(libc::ENOSPC))
}

/// Begins to use a slot whose byte is locked. Returns its generation.
pub(super) fn use_slot(table: Table, slot: u32) -> Result<u32, Errno> {
    // Only its holder changes a slot's generation.
    let generation = table.slot_generation(slot).ok_or(Errno(libc::ENOSPC))?;
    let new = generation.load(Relaxed).wrapping_add(1).max(1);
    generation.store(new, Relaxed);
    Ok(new)
}

/// Takes the table's lock over from a dead process that had the slot of this one, and releases it: a holder with this
/// slot seems to live from now on, and others would wait for it until this process needs the lock.
fn take_over_lock(table: Table, slot: u32) -> Result<(), Errno> {
    let word = &table.header().lock;
    if lock::is_held_by(word, slot) {
        if lock::take(word, slot, |_| Ok(true))? == Taken::Recovered {
            repair::rebuild(table);
        }
        lock::release(word);
    }
    Ok(())
}

/// Returns whether the process that got a slot in a generation is live.
pub(super) fn slot_lives(
    own: &Own,
    table: Table,
    file: &Descriptor,
    slot: u32,
    generation: u32,
) -> Result<bool, Errno> {
    let now = table.slot_generation(slot);
    Ok(now.is_some_and(|now| now.load(Relaxed) == generation) && is_slot_locked(own, file, slot)?)
}

/// Returns whether a live process has a slot.
pub(super) fn is_slot_locked(own: &Own, file: &Descriptor, slot: u32) -> Result<bool, Errno> {
    let lock_file = own.holding.lock_file(file)?;
    lock_file.is_byte_locked(own.holding.slot_byte(slot))
}
