//! `shmctl(2)`.

use super::{
    entries::index_of,
    layout::{Entry, LIVE},
    open, records,
    session::Session,
};
use crate::{
    backend::{IPC_INFO, Limits, SHM_INFO, SHM_LOCKED, SHM_STAT, SHM_STAT_ANY, Usage},
    sys::{self, Capability, Errno},
};
use core::{
    ffi::{c_int, c_ulong, c_void},
    mem::{MaybeUninit, zeroed},
    slice,
    sync::atomic::{
        Ordering::{Relaxed, Release, SeqCst},
        fence,
    },
};

/// Runs a command.
///
/// # Safety
/// As for `backend::control`.
pub(super) unsafe fn control(
    id: c_int,
    command: c_int,
    buffer: *mut c_void,
) -> Result<c_int, Errno> {
    if id < 0 || command < 0 {
        return Err(Errno(libc::EINVAL));
    }
    // SAFETY: for each of these commands, the caller's buffer has room for one such structure.
    unsafe {
        match command {
            IPC_INFO => write(buffer, limits()?),
            SHM_INFO => write(buffer, usage()?),
            libc::IPC_STAT | SHM_STAT | SHM_STAT_ANY => write(buffer, stat(id, command)?),
            libc::IPC_SET => set(id, &read(buffer)?),
            libc::IPC_RMID => remove(id),
            libc::SHM_LOCK | libc::SHM_UNLOCK => lock(id, command),
            _ => Err(Errno(libc::EINVAL)),
        }
    }
}

/// Copies a result to the caller's buffer. Returns `EFAULT` if that is not writable memory.
///
/// # Safety
/// `buffer` must have room for a `T` or be no memory of this process; `T` must consist of integers.
unsafe fn write<T>(buffer: *mut c_void, (value, result): (c_int, T)) -> Result<c_int, Errno> {
    let bytes = (&raw const result).cast();
    // SAFETY: the bytes of a structure that was filled with zeroes first.
    let bytes = unsafe { slice::from_raw_parts(bytes, size_of::<T>()) };
    // SAFETY: the caller's promise.
    unsafe { sys::write_foreign(bytes, buffer.cast()) }?;
    Ok(value)
}

/// Copies a record from the caller's buffer. Returns `EFAULT` if that is not readable memory.
fn read(buffer: *const c_void) -> Result<libc::shmid_ds, Errno> {
    let mut record = MaybeUninit::<libc::shmid_ds>::zeroed();
    let len = size_of::<libc::shmid_ds>();
    // SAFETY: the bytes of this record.
    let bytes = unsafe { slice::from_raw_parts_mut(record.as_mut_ptr().cast::<u8>(), len) };
    if sys::read_foreign(buffer.cast(), bytes)? < len {
        return Err(Errno(libc::EFAULT));
    }
    // SAFETY: it consists of integers, for which all bytes are valid.
    Ok(unsafe { record.assume_init() })
}

fn limits() -> Result<(c_int, Limits), Errno> {
    let mut session = Session::begin(true)?;
    session.sweep(u32::MAX);
    let limits = session.limits;
    let result = Limits {
        shmmax: limits.shmmax as c_ulong,
        shmmin: 1,
        shmmni: limits.shmmni as c_ulong,
        shmseg: limits.shmmni as c_ulong,
        shmall: limits.shmall as c_ulong,
        unused: [0; 4],
    };
    Ok((session.table.highest() as c_int, result))
}

fn usage() -> Result<(c_int, Usage), Errno> {
    let mut session = Session::begin(true)?;
    session.sweep(u32::MAX);
    let table = session.table;
    let header = table.header();
    let pages = header.pages.load(Relaxed) as c_ulong;
    // SAFETY: integers, for which zeroes are valid.
    let mut usage: Usage = unsafe { zeroed() };
    usage.used_ids = header.used.load(Relaxed) as c_int;
    usage.shm_tot = pages;
    // All space is reserved when a segment is created.
    usage.shm_rss = pages;
    Ok((table.highest() as c_int, usage))
}

fn stat(id: c_int, command: c_int) -> Result<(c_int, libc::shmid_ds), Errno> {
    // A lookup does not look more often whether the table is still in its directory, either.
    let mut session = Session::begin(!open::is_fresh())?;
    let table = session.table;
    // SHM_STAT and SHM_STAT_ANY take an index, and find the segment that is there.
    let id = if command == libc::IPC_STAT {
        id
    } else {
        let live = table.live(index_of(id)).ok_or(Errno(libc::EINVAL))?;
        live.id.load(Relaxed)
    };
    let (_, entry) = session.existing(id)?;
    if command != SHM_STAT_ANY && entry.permissions().deny(0o444) {
        return Err(Errno(libc::EACCES));
    }
    let attached = records::count(&session, entry);
    let value = if command == libc::IPC_STAT { 0 } else { id };
    let mut result = record(&mut session, entry, attached);
    // All users of a shared directory can write the entry, but not give a file to another user.
    if session.access.is_shared
        && let Some(user) = session.owner_of_file(id)?
    {
        result.shm_perm.uid = user;
    }
    Ok((value, result))
}

/// Returns the status of a segment, in the kernel's structure.
fn record(session: &mut Session, entry: &Entry, attached: u32) -> libc::shmid_ds {
    let pid = session.pid();
    let permissions = entry.permissions();
    // SAFETY: integers, for which zeroes are valid.
    let mut record: libc::shmid_ds = unsafe { zeroed() };
    sys::set_key_of(&mut record.shm_perm, entry.key.load(Relaxed));
    record.shm_perm.uid = permissions.user;
    record.shm_perm.gid = permissions.group;
    record.shm_perm.cuid = permissions.creating_user;
    record.shm_perm.cgid = permissions.creating_group;
    record.shm_perm.mode = permissions.mode as _;
    record.shm_perm.__seq = (entry.id.load(Relaxed) >> 15) as _;
    record.shm_segsz = entry.size.load(Relaxed) as usize;
    record.shm_atime = entry.attached.load(Relaxed);
    record.shm_dtime = entry.detached.load(Relaxed);
    record.shm_ctime = entry.changed.load(Relaxed);
    record.shm_cpid = super::layout::Pid(entry.creator.load(Relaxed)).seen_by(pid);
    record.shm_lpid = entry.last().seen_by(pid);
    record.shm_nattch = attached.into();
    record
}

fn set(id: c_int, record: &libc::shmid_ds) -> Result<c_int, Errno> {
    let mut session = Session::begin(true)?;
    let (_, entry) = session.existing(id)?;
    let old = entry.permissions();
    if !old.may_change() {
        return Err(Errno(libc::EPERM));
    }
    let (user, group) = (record.shm_perm.uid, record.shm_perm.gid);
    if user == u32::MAX || group == u32::MAX {
        return Err(Errno(libc::EINVAL));
    }
    let bits = u32::from(record.shm_perm.mode) & 0o777;
    if session.access.is_shared {
        set_file(&session, (id, entry), (user, group), bits)?;
    }
    let header = session.table.header();
    let flags = old.mode & !0o777;
    super::lock::begin_change(header);
    // A process that is killed here leaves a mix of old and new, whose mode has no bit that one of them lacks. Release
    // keeps the order of the stores.
    entry.mode.store(flags | old.mode & bits, Relaxed);
    entry.user.store(user, Release);
    entry.group.store(group, Release);
    entry.mode.store(flags | bits, Release);
    super::lock::end_change(header);
    entry.changed.store(sys::seconds(), Relaxed);
    Ok(0)
}

/// Gives the segment's file the owner, the group and the mode, so that the kernel enforces them. Returns `EPERM` if
/// this process may not.
fn set_file(
    session: &Session,
    (id, entry): (c_int, &Entry),
    (user, group): (u32, u32),
    bits: u32,
) -> Result<(), Errno> {
    if sys::knows_user(user) == Some(false) || sys::knows_group(group) == Some(false) {
        return Err(Errno(libc::EINVAL));
    }
    // The file may have any owner: a process of root may have been killed after it changed the owner of the file, and
    // before it changed that of the entry.
    let opened = session.open_file_of(id, entry, libc::O_RDONLY);
    let (file, facts, _) = opened.map_err(|errno| match errno.0 {
        libc::EACCES => Errno(libc::EPERM),
        // Another program has removed, replaced or truncated the file.
        libc::ESTALE => Errno(libc::EIDRM),
        _ => errno,
    })?;
    if (facts.user, facts.group) != (user, group) {
        file.set_owner(user, group)?;
    }
    file.set_mode(file_mode(bits))
}

/// Returns the mode of a segment's file. The owner can always open it: to change the segment, to count its
/// attachments, and to prepare a fork. What the segment's mode denies the owner, this backend denies; the kernel
/// could not, because a file's owner can change its mode.
pub(super) fn file_mode(bits: u32) -> u32 {
    bits & 0o777 | 0o600
}

fn remove(id: c_int) -> Result<c_int, Errno> {
    let mut session = Session::begin(true)?;
    let (index, entry) = session.existing(id)?;
    if !entry.permissions().may_change() {
        return Err(Errno(libc::EPERM));
    }
    session.table.mark_removed(index, entry);
    // Pairs with the fence in `detach`.
    fence(SeqCst);
    session.table.add_pending(index, entry);
    session.settle(index, entry);
    Ok(0)
}

fn lock(id: c_int, command: c_int) -> Result<c_int, Errno> {
    let mut session = Session::begin(true)?;
    let (_, entry) = session.existing(id)?;
    let limit = sys::locked_memory();
    let may_lock = sys::is_capable(Capability::IpcLock);
    let is_allowed = entry.permissions().is_owner() && (command != libc::SHM_LOCK || limit != 0);
    if !may_lock && !is_allowed {
        return Err(Errno(libc::EPERM));
    }
    let is_locked = entry.mode.load(Relaxed) & SHM_LOCKED != 0;
    if command == libc::SHM_UNLOCK {
        entry.mode.fetch_and(!SHM_LOCKED, Relaxed);
    } else if !is_locked {
        let user = sys::effective_user();
        let fits = |session: &Session| {
            let pages = locked_by(session, user).saturating_add(entry.pages());
            pages.saturating_mul(sys::page_size() as u64) <= limit
        };
        if !may_lock && !fits(&session) {
            // What only the dead had attached does not count.
            session.sweep(u32::MAX);
            if !fits(&session) {
                return Err(Errno(libc::ENOMEM));
            }
        }
        entry.locker.store(user, Relaxed);
        entry.mode.fetch_or(SHM_LOCKED, Relaxed);
    }
    Ok(0)
}

/// Returns the number of pages that a user has locked.
fn locked_by(session: &Session, user: u32) -> u64 {
    let table = session.table;
    (0..table.entries())
        .filter_map(|index| table.entry(index))
        .filter(|entry| entry.is(LIVE) && entry.mode.load(Relaxed) & SHM_LOCKED != 0)
        .filter(|entry| entry.locker.load(Relaxed) == user)
        .map(Entry::pages)
        .fold(0, u64::saturating_add)
}
