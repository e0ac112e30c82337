//! `shmdt(2)`.
//!
//! A detach does not need the table's lock. It stores the time and the process in the segment's entry while its
//! record still keeps the segment from being destroyed, unmaps the memory, marks the record as detached, and then
//! checks whether the segment is removed. A removal marks the segment as removed, and then counts the attachments.
//! Each of the two has a sequentially consistent fence between its last two steps, so at least one of them sees what
//! the other has done, and destroys the segment.

use super::{
    attachments::Attachment,
    holding,
    layout::{Entry, Record},
    open,
    process::Own,
    records,
    session::Session,
    table::Table,
};
use crate::sys::{self, Descriptor, Errno};
use core::{
    ffi::c_void,
    sync::atomic::{
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

/// Detaches the segment that is attached at an address.
///
/// # Safety
/// As for `backend::detach`.
pub(super) unsafe fn detach(addr: *const c_void) -> Result<(), Errno> {
    let mut own = Own::lock();
    let found = own.attachments.find(addr as usize);
    let place = found.ok_or(Errno(libc::EINVAL))?;
    let attachment = own.attachments.take(place);
    let attachment = attachment.ok_or(Errno(libc::EINVAL))?;
    if !is_still_there(&own, &attachment) {
        holding::let_go(attachment.ticket);
        return Err(Errno(libc::EINVAL));
    }
    let noted = note(&mut own, &attachment);
    // SAFETY: the caller no longer uses the attachment.
    unsafe { unmap(&mut own, place, &attachment) };
    holding::let_go(attachment.ticket);
    let Some((index, entry, record)) = noted else {
        return Ok(());
    };
    if !attachment.is_shared {
        // Otherwise it counts until its lock is gone.
        records::mark_detached(record, attachment.number);
    }
    // Pairs with the fence in `control::remove`.
    fence(SeqCst);
    if entry.is_removed() {
        destroy_if_last(own, index, attachment.id);
    }
    Ok(())
}

/// Unmaps what is left of an attachment that was taken out of the list. If it is one mapping, or there is no `/proc`,
/// that is its whole range, except where other segments were attached inside it later (`SHM_REMAP`). The list has those
/// from `place` on, where this attachment was. Attachments before `place` are older, and have nothing in its range.
///
/// # Safety
/// The attachment must not be used from now on.
unsafe fn unmap(own: &mut Own, place: usize, attachment: &Attachment) {
    // SAFETY: the caller's promise.
    if unsafe { attachment.unmap_parts() } {
        return;
    }
    let mut start = attachment.address;
    let end = start + attachment.len;
    while start < end {
        let later = own.attachments.list().get(place..).unwrap_or_default();
        let next = later
            .iter()
            .filter(|other| other.address < end && other.address + other.len > start)
            .min_by_key(|other| other.address);
        let (gap, behind) = next.map_or((end, end), |other| {
            (other.address, other.address + other.len)
        });
        if gap > start {
            // SAFETY: the caller's promise; no later attachment is in this range.
            unsafe { sys::release(start as *mut c_void, gap - start) };
        }
        start = behind;
    }
}

/// Returns whether the attachment is still mapped: another mapping may have taken its place.
fn is_still_there(own: &Own, attachment: &Attachment) -> bool {
    if attachment.number == 0 || attachment.is_shared {
        // A parent or a child has the lock, too, so the lock proves nothing. In another root directory, /proc may show
        // the file at another path: then the attachment counts as mapped.
        return !open::is_current(own) || attachment.is_left() != Some(false);
    }
    let locked = || {
        if attachment.ticket != 0 {
            return None;
        }
        let directory = own.directory.as_ref()?;
        let path = directory.file(format_args!("s.{}", attachment.id));
        let file = Descriptor::open_file(path.as_c_str(), libc::O_RDONLY, 0).ok()?;
        let byte = own.holding.attachment_byte(attachment.number);
        file.is_byte_locked(byte).ok().filter(|&locked| locked)
    };
    // An attachment of which only a part is left is still there. Without /proc, this is unknown: it counts as mapped.
    locked().unwrap_or_else(|| attachment.is_left() != Some(false))
}

/// Stores in the segment's entry which process detaches it, and when. Returns the entry and the attachment's record;
/// `None` if the attachment has no record in the mapped table.
fn note(own: &mut Own, attachment: &Attachment) -> Option<(u32, &'static Entry, &'static Record)> {
    let table = Table::mapped().filter(|_| attachment.era == own.era && attachment.number != 0)?;
    if open::is_truncated(own) {
        return None;
    }
    let (index, entry) = table.by_id(attachment.id)?;
    let record = table.record(attachment.record)?;
    entry.detached.store(sys::seconds(), Relaxed);
    entry.last.store(own.pid().0, Relaxed);
    Some((index, entry, record))
}

/// Destroys a removed segment if this was its last attachment. If that fails, the next process that checks the
/// segment destroys it.
#[cold]
fn destroy_if_last(own: Own, index: u32, id: i32) {
    if let Ok(mut session) = Session::with(own)
        && let Some((_, entry)) = session.table.by_id(id)
        && entry.is_removed()
    {
        session.settle(index, entry);
    }
}
