//! `fork(2)`: a child counts on its own.
//!
//! After a fork, the child's mappings are of the open files that the parent's are of, so both would share the parent's
//! locks, and its slot. So before the fork, the parent opens the table and the file of each attachment anew, takes a
//! slot and makes records for the child, locks their bytes, and maps one page of each. The child inherits these
//! pages, and moves them over its attachments and its table, at their full length. The parent unmaps its own.
//! So the child is counted from its first moment, also if the parent detaches at once, and it opens nothing,
//! which it could not do in a chroot or as another user. If the fork fails, the pages go, and the records are
//! those of the dead.
//!
//! What the parent cannot open stays shared: it counts once until both have detached it.
//!
//! A child made by `vfork` or `posix_spawn` shares its parent's memory until it executes a program; nothing changes for it.
//! One made by a bare `clone` runs no handlers (see `mark`): it maps the table anew, and shares its attachments with its
//! parent.

use super::{
    attachments::Attachment,
    holding,
    layout::{Pid, TOTAL},
    mark,
    open::{first_slot, lock_slot, reopen, use_slot},
    process::{Own, PUBLIC},
    records::{self, Made},
    session::Session,
    table::Table,
};
use crate::sys::{self, Descriptor, Errno, Place};
use core::{
    ffi::c_void,
    sync::atomic::{
        AtomicU32, AtomicUsize,
        Ordering::{AcqRel, Relaxed, Release},
    },
};

/// Registers the handlers when the library is loaded: `pthread_atfork` may allocate, and a signal handler must not.
#[cfg(not(miri))]
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

#[cfg(not(miri))]
pub(super) extern "C" fn start() {
    if IS_REGISTERED.swap(1, AcqRel) == 0 {
        // SAFETY: the functions are as this call needs them.
        unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
    }
}

static IS_REGISTERED: AtomicU32 = AtomicU32::new(0);

/// The thread that has prepared a fork and holds the lock for it; 0 if there is none. In the child, the only thread has the
/// number of the one that forked.
static FORKER: AtomicUsize = AtomicUsize::new(0);

/// Returns whether the calling thread has prepared the fork that it is in.
fn is_prepared() -> bool {
    // Relaxed: a thread finds its own number only if it has stored it itself.
    FORKER.load(Relaxed) == this_thread()
}

fn this_thread() -> usize {
    // SAFETY: returns a number, and cannot fail.
    unsafe { libc::pthread_self() as usize }
}

unsafe extern "C" fn prepare() {
    // Every program that forks comes here, also if it does not use the directory. If another thread begins to use it after
    // this look, `in_child` finds a fork that was not prepared.
    if !mark::exists() {
        return;
    }
    let errno = Errno::last();
    let own = Own::lock();
    let own = if Table::mapped().is_some() {
        match Session::with(own) {
            Ok(mut session) => {
                prepare_table(&mut session);
                prepare_attachments(&mut session);
                session.into_own()
            }
            Err((own, _)) => own,
        }
    } else {
        own
    };
    FORKER.store(this_thread(), Relaxed);
    own.keep_for_fork();
    errno.set();
}

/// A slot and a generation that no process has.
const NO_SLOT: (u32, u32) = (0, 0);

/// Takes a slot for the child, and maps a page of the table.
fn prepare_table(session: &mut Session) {
    session.spare_table = 0;
    session.spare_slot = NO_SLOT;
    let prepared = || {
        let file = reopen(session)?;
        let lock_file = session.holding.lock_file(&file)?;
        let slot = lock_slot(session.holding, &lock_file, first_slot())?;
        let generation = use_slot(session.table, slot)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let page = map_page(session, &file, &lock_file, protection)?;
        Ok::<_, Errno>((page, slot, generation))
    };
    if let Ok((page, slot, generation)) = prepared() {
        session.spare_table = page;
        session.spare_slot = (slot, generation);
    }
}

/// Maps a page that holds the locks of a file for the child.
fn map_page(
    session: &Session,
    file: &Descriptor,
    lock_file: &Descriptor,
    protection: i32,
) -> Result<usize, Errno> {
    if session.holding.is_apart() {
        return holding::hold(lock_file);
    }
    // SAFETY: nothing is replaced.
    let page = unsafe { sys::map_file(Place::Anywhere, sys::page_size(), protection, file) }?;
    Ok(page as usize)
}

/// Makes a record for each attachment that the child will have, and maps a page of it.
fn prepare_attachments(session: &mut Session) {
    if session.spare_table == 0 {
        return;
    }
    let (mut place, mut previous) = (0, -1);
    while let Some(attachment) = session.attachments.list().get(place).copied() {
        // A program may have attached one segment very often.
        let is_collected = core::mem::replace(&mut previous, attachment.id) == attachment.id;
        let prepared = prepare_attachment(session, &attachment, is_collected);
        if prepared == Err(GONE) {
            // What is there now is not to be detached, either.
            holding::let_go(attachment.ticket);
            session.attachments.take(place);
            continue;
        }
        if let Some(attachment) = session.attachments.list().get_mut(place) {
            let (page, record, number) = prepared.unwrap_or_default();
            attachment.spare = page;
            attachment.spare_record = record;
            attachment.spare_number = number;
        }
        place += 1;
    }
    give_up_what_covers_shared(session);
}

/// Has the child share each attachment whose memory it would put over an attachment inside that it shares, and which it
/// could not put back.
fn give_up_what_covers_shared(session: &mut Session) {
    // What is given up can be inside another one.
    while let Some(place) = place_of_cover(session.attachments.list()) {
        let Some(attachment) = session.attachments.list().get_mut(place) else {
            return;
        };
        holding::let_go(core::mem::take(&mut attachment.spare));
        let (id, index) = (attachment.id, attachment.spare_record);
        let number = attachment.spare_number;
        if let Some((_, entry)) = session.table.by_id(id) {
            records::undo(session.table, entry, Made { index, number });
        }
    }
}

/// Returns the place of a prepared attachment that has one inside, made later, which is not prepared.
fn place_of_cover(all: &[Attachment]) -> Option<usize> {
    (0..all.len()).find(|&place| {
        let (outer, later) = (&all[place], &all[place + 1..]);
        let end = outer.address + outer.len;
        let mut inside = later
            .iter()
            .filter(|inner| inner.address < end && outer.address < inner.address + inner.len);
        outer.spare != 0 && inside.any(|inner| inner.spare == 0)
    })
}

/// The error of an attachment that is no longer mapped.
const GONE: Errno = Errno(libc::EINVAL);

/// Returns a page of the segment, and the record and the number of the child's attachment. With `is_collected`, deaths
/// were looked for already.
fn prepare_attachment(
    session: &mut Session,
    attachment: &Attachment,
    is_collected: bool,
) -> Result<(usize, u32, u64), Errno> {
    if attachment.era != session.era || attachment.number == 0 {
        return Err(Errno(libc::ESTALE));
    }
    let (index, entry) = session.table.by_id(attachment.id).ok_or(GONE)?;
    let is_written = attachment.protection & libc::PROT_WRITE != 0;
    let flags = if is_written {
        libc::O_RDWR
    } else {
        libc::O_RDONLY
    };
    let (file, _) = session.open_segment(attachment.id, entry, flags)?;
    // A program can unmap an attachment without detaching it. What is there now is not to be replaced.
    let holding = session.holding;
    let lock_file = holding.lock_file(&file)?;
    if lock_file.is_byte_locked(holding.attachment_byte(attachment.number)) == Ok(false) {
        return Err(GONE);
    }
    // The child's new mapping would replace what the program has mapped there, or what this fork maps in a hole.
    if attachment.has_foreign_part(session) {
        return Err(Errno(libc::ESTALE));
    }
    // As an attach does: a death that is noted later would seem to come after this fork.
    if !is_collected {
        records::collect_others(session, entry, &file);
    }
    let (slot, pid) = (session.spare_slot, session.pid());
    let made = records::add(session, (index, entry), slot, pid)?;
    let map = || {
        lock_file.lock_byte(holding.attachment_byte(made.number), false)?;
        map_page(session, &file, &lock_file, attachment.protection)
    };
    match map() {
        Ok(page) => {
            // As in the kernel, the process that forks is the last one that has attached it.
            entry.attached.store(sys::seconds(), Relaxed);
            entry.last.store(pid.0, Relaxed);
            Ok((page, made.index, made.number))
        }
        Err(errno) => {
            records::undo(session.table, entry, made);
            // A failure to map is none of the attachment.
            Err(if errno == GONE {
                Errno(libc::ENOMEM)
            } else {
                errno
            })
        }
    }
}

unsafe extern "C" fn in_parent() {
    if !is_prepared() {
        return;
    }
    let errno = Errno::last();
    FORKER.store(0, Relaxed);
    let mut own = Own::after_fork();
    holding::let_go(core::mem::take(&mut own.spare_table));
    // From now on, that is another process's.
    own.spare_slot = NO_SLOT;
    for attachment in own.attachments.list() {
        attachment.is_shared |= attachment.spare == 0;
        holding::let_go(core::mem::take(&mut attachment.spare));
    }
    drop(own);
    errno.set();
}

unsafe extern "C" fn in_child() {
    let errno = Errno::last();
    if !is_prepared() {
        if mark::exists() {
            mark::begin_anew();
        }
        errno.set();
        return;
    }
    FORKER.store(0, Relaxed);
    let mut own = Own::after_fork();
    own.pid = Pid::NONE;
    own.unfinished.close_all();
    take_over_table(&mut own);
    take_over_attachments(&mut own);
    mark::set();
    drop(own);
    errno.set();
}

/// Puts the child's own table in the place of the one that it shares with its parent.
fn take_over_table(own: &mut Own) {
    let base = PUBLIC.base.load(Relaxed) as *mut c_void;
    if base.is_null() {
        return;
    }
    let page = core::mem::take(&mut own.spare_table);
    if page != 0 && own.holding.is_apart() {
        holding::let_go(core::mem::replace(&mut own.slot_page, page));
        (own.slot, own.slot_generation) = own.spare_slot;
        return;
    }
    // SAFETY: the page is this process's own, and what is replaced is another mapping of the same file.
    let moved = page != 0
        && unsafe { sys::move_mapping(page as *mut c_void, sys::page_size(), TOTAL, base) }.is_ok();
    if moved {
        (own.slot, own.slot_generation) = own.spare_slot;
    } else {
        holding::let_go(page);
        leave_table(own);
    }
}

/// Unmaps the parent's table: its slot would seem to live as long as this process.
fn leave_table(own: &mut Own) {
    PUBLIC.is_mapped.store(0, Release);
    own.era += 1;
    holding::let_go(core::mem::take(&mut own.slot_page));
    let base = PUBLIC.base.load(Relaxed) as *mut c_void;
    if !base.is_null() {
        // SAFETY: other threads that this child may have started only look segments up there; in zeroes, they find none.
        let _ = unsafe { sys::map_zeroes(base, TOTAL) };
    }
}

/// Puts mappings with locks of the child's own in the place of those that it shares with its parent.
fn take_over_attachments(own: &mut Own) {
    let (pid, is_mapped) = (own.pid(), Table::mapped());
    let is_apart = own.holding.is_apart();
    let mut place = 0;
    while let Some(attachment) = own.attachments.list().get_mut(place) {
        let page = core::mem::take(&mut attachment.spare);
        let (to, len) = (attachment.address as *mut c_void, attachment.len);
        attachment.number = 0;
        if page == 0 {
            place += 1;
            continue;
        }
        if !sys::is_mapped(to, len) && sys::is_free(to, len) {
            // The parent has excluded it from its children (MADV_DONTFORK).
            let record = is_mapped.and_then(|table| table.record(attachment.spare_record));
            if let Some(record) = record {
                // It is no death that another process would note.
                records::mark_detached(record, attachment.spare_number);
            }
            holding::let_go(page);
            own.attachments.take(place);
            continue;
        }
        attachment.number = attachment.spare_number;
        attachment.record = attachment.spare_record;
        attachment.is_shared = false;
        // SAFETY: the page is this process's own. It replaces another mapping of the same file, or nothing where the
        // parent has excluded a part from its children. (Other attachments that are mapped there are put back after
        // this one.)
        let is_moved = !is_apart
            && unsafe { sys::move_mapping(page as *mut c_void, sys::page_size(), len, to) }.is_ok();
        // A page that was not moved stays, and holds the lock.
        let ticket = if is_moved { 0 } else { page };
        holding::let_go(core::mem::replace(&mut attachment.ticket, ticket));
        let record = is_mapped.and_then(|table| table.record(attachment.record));
        if let Some(record) = record {
            record.process.store(pid.0, Relaxed);
        }
        place += 1;
    }
}

/// Unmaps what is the parent's, and goes on sharing its attachments.
pub(super) fn forget_parent() {
    let mut own = Own::seize();
    own.pid = Pid::NONE;
    // Another thread of the parent may have been in the middle of a fork.
    FORKER.store(0, Relaxed);
    own.mask_of_fork = None;
    own.unfinished.close_all();
    holding::let_go(core::mem::take(&mut own.spare_table));
    leave_table(&mut own);
    for attachment in own.attachments.list() {
        attachment.number = 0;
        holding::let_go(core::mem::take(&mut attachment.spare));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_of_a_program_that_does_not_use_the_directory_takes_no_lock() {
        // SAFETY: the handlers run in this order in a thread that forks.
        unsafe { prepare() };
        assert!(!is_prepared());
        assert!(!Own::is_locked());
        // SAFETY: as above.
        unsafe { in_parent() };
        assert!(!mark::exists());
    }
}
