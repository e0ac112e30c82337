//! `shmat(2)`.

use super::{
    attachments::Attachment,
    holding::{self, Holding},
    open, records,
    session::Session,
};
use crate::sys::{self, Descriptor, Errno, Place};
use core::{
    ffi::{c_int, c_void},
    sync::atomic::Ordering::Relaxed,
};

/// The arguments of `shmat(2)`, checked and translated.
#[derive(Clone, Copy, Debug)]
struct Request {
    id: c_int,
    place: Place,
    protection: c_int,
    /// The permissions that the caller needs, as in a mode.
    access: c_int,
    /// The flags for `open(2)`.
    open: c_int,
}

impl Request {
    /// Makes the checks that need no segment, in the kernel's order.
    fn new(id: c_int, address: usize, flags: c_int) -> Result<Request, Errno> {
        let invalid = Err(Errno(libc::EINVAL));
        let replaces = flags & libc::SHM_REMAP != 0;
        if id < 0 {
            return invalid;
        }
        let rest = address % sys::page_size();
        if rest != 0 && flags & libc::SHM_RND == 0 {
            return invalid;
        }
        let start = address - rest;
        if start == 0 && replaces {
            return invalid;
        }
        let place = match start {
            // An address that `SHM_RND` rounds down to 0 is the address 0, where a privileged program may map.
            0 if address == 0 => Place::Anywhere,
            _ if replaces => Place::Replacing(start),
            _ => Place::Free(start),
        };
        let (mut protection, mut access, open) = if flags & libc::SHM_RDONLY != 0 {
            (libc::PROT_READ, 0o444, libc::O_RDONLY)
        } else {
            (libc::PROT_READ | libc::PROT_WRITE, 0o666, libc::O_RDWR)
        };
        if flags & libc::SHM_EXEC != 0 {
            protection |= libc::PROT_EXEC;
            access |= 0o111;
        }
        Ok(Request {
            id,
            place,
            protection,
            access,
            open,
        })
    }
}

/// Attaches a segment.
///
/// # Safety
/// As for `backend::attach`.
pub(super) unsafe fn attach(
    id: c_int,
    addr: *const c_void,
    flags: c_int,
) -> Result<*mut c_void, Errno> {
    let request = Request::new(id, addr as usize, flags)?;
    let mut session = Session::begin(false)?;
    // SAFETY: the caller's promise.
    let mut attached = unsafe { in_session(&mut session, &request) };
    if attached == Err(Errno(libc::ESTALE)) {
        let is_current = open::is_current(&session);
        if is_current {
            // Another program has removed, replaced or truncated the segment's file.
            return Err(Errno(libc::EIDRM));
        }
        drop(session);
        session = Session::begin(true)?;
        // SAFETY: as above.
        attached = unsafe { in_session(&mut session, &request) };
    }
    match attached {
        Err(Errno(libc::ESTALE)) => Err(Errno(libc::EIDRM)),
        attached => attached,
    }
}

/// # Safety
/// As for `attach`.
unsafe fn in_session(session: &mut Session, request: &Request) -> Result<*mut c_void, Errno> {
    let table = session.table;
    let (index, entry) = session.existing(request.id)?;
    if entry.permissions().deny(request.access) {
        return Err(Errno(libc::EACCES));
    }
    let (file, size) = session.open_segment(request.id, entry, request.open)?;
    // Deaths are noted before this attach, so that `shm_lpid` is this process afterwards.
    records::collect_others(session, entry, &file);
    if entry.is_removed() && entry.record.load(Relaxed) == 0 {
        session.destroy(index, entry);
        return Err(Errno(libc::EINVAL));
    }
    session.attachments.reserve()?;
    let slot = (session.slot, session.slot_generation);
    let pid = session.pid();
    let made = records::add(session, (index, entry), slot, pid)?;
    // SAFETY: the caller's promise.
    let mapped = unsafe { map(session.holding, size, request, made.number, &file) };
    let (address, len, ticket) = mapped.inspect_err(|_| records::undo(table, entry, made))?;
    entry.attached.store(sys::seconds(), Relaxed);
    entry.last.store(pid.0, Relaxed);
    session.forget_replaced(address, len);
    let era = session.era;
    session.attachments.push(Attachment {
        address,
        len,
        id: request.id,
        number: made.number,
        record: made.index,
        era,
        protection: request.protection,
        spare: 0,
        spare_record: 0,
        spare_number: 0,
        ticket,
        is_shared: false,
    });
    Ok(address as *mut c_void)
}

/// Locks the attachment's byte, and maps the file. Returns the address, the number of bytes, and the address of the
/// page that holds the lock; 0 if the attachment itself holds it.
///
/// # Safety
/// As for `attach`.
unsafe fn map(
    holding: Holding,
    size: u64,
    request: &Request,
    number: u64,
    file: &Descriptor,
) -> Result<(usize, usize, usize), Errno> {
    let len = size.next_multiple_of(sys::page_size() as u64) as usize;
    if let Place::Free(start) = request.place
        && start.checked_add(len).is_none()
    {
        return Err(Errno(libc::EINVAL));
    }
    let lock_file = holding.lock_file(file)?;
    lock_file.lock_byte(holding.attachment_byte(number), false)?;
    let ticket = if holding.is_apart() {
        holding::hold(&lock_file)?
    } else {
        0
    };
    // SAFETY: the caller's promise.
    let mapped = unsafe { sys::map_file(request.place, len, request.protection, file) };
    mapped
        .map(|address| (address as usize, len, ticket))
        .map_err(|errno| {
            holding::let_go(ticket);
            match errno.0 {
                libc::EEXIST => Errno(libc::EINVAL),
                _ => errno,
            }
        })
}

impl Session {
    /// Forgets the attachments that `SHM_REMAP` has just replaced as a whole: those that lie entirely within a range.
    /// An attachment of which a part is left can still be detached at its address.
    fn forget_replaced(&mut self, start: usize, len: usize) {
        let end = start + len;
        while let Some(place) = self
            .attachments
            .list()
            .iter()
            .position(|old| start <= old.address && old.address + old.len <= end)
        {
            let Some(attachment) = self.attachments.take(place) else {
                return;
            };
            holding::let_go(attachment.ticket);
            if attachment.era == self.era
                && let Some((index, entry)) = self.table.by_id(attachment.id)
            {
                // If a part of the old mapping is left, it still holds the lock, and the attachment counts.
                records::count(self, entry);
                self.settle(index, entry);
            }
        }
    }
}
