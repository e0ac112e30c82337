//! A token of life: a segment of one byte that exists as long as its process does.
//!
//! The process attaches it, keeps the attachment out of its children, and marks the segment to be
//! destroyed with the last detach. So the kernel destroys it when the process ends or starts another
//! program, however that happens. All processes that share an object share its IPC namespace, in which
//! the kernel says of each id whether its segment exists: across PID namespaces, without `/proc`, and
//! to every user. `ipcs` shows a token with the status *dest*. A process that is killed between creating
//! and removing it leaves an orphan of one byte, which `shmkey remove --orphans` removes.

use crate::{backend, sys, sys::Errno};
use core::{
    ffi::{c_int, c_void},
    mem::ManuallyDrop,
    ptr,
};

/// The size of a token in bytes.
const SIZE: usize = 1;

/// A token that was just made. Dropping it destroys it.
pub(super) struct Token {
    id: c_int,
    address: *mut c_void,
}

impl Token {
    /// Makes a token for the calling process; returns `None` if no more segments can be created.
    pub fn make() -> Option<Token> {
        // Another thread may fork between attaching the token and keeping it from children. Its child
        // would keep the token alive; nattch shows that, and another token is made.
        (0..16).find_map(|_| Token::make_once().filter(Token::is_ours_alone))
    }

    fn make_once() -> Option<Token> {
        let id = backend::create_or_get(libc::IPC_PRIVATE, SIZE, 0o600).ok()?;
        // SAFETY: without SHM_REMAP, attaching replaces nothing.
        let address = unsafe { backend::attach(id, ptr::null(), libc::SHM_RDONLY) };
        let removed = backend::remove(id);
        let token = Token {
            id,
            address: address.ok()?,
        };
        let kept = sys::keep_from_children(token.address, SIZE);
        (removed.is_ok() && kept.is_ok()).then_some(token)
    }

    fn is_ours_alone(&self) -> bool {
        backend::stat(self.id).is_ok_and(|record| record.shm_nattch == 1)
    }

    pub fn id(&self) -> c_int {
        self.id
    }

    /// Keeps it until the process ends.
    pub fn keep(self) {
        let _ = ManuallyDrop::new(self);
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        // SAFETY: the address is known here only. If it cannot be detached, nothing is attached.
        let _ = unsafe { backend::detach(self.address) };
    }
}

/// Returns the id of the process that has a token, in the caller's PID namespace, or 0 if that namespace
/// does not show it; `Ok(None)` if the token does not exist, because its process has ended.
pub(super) fn look(id: c_int) -> Result<Option<c_int>, Errno> {
    let record = match backend::find(id)? {
        backend::Occupant::Holds(record) => record,
        backend::Occupant::GivenTo(_) | backend::Occupant::Empty => return Ok(None),
    };
    let to_be_destroyed = u32::from(record.shm_perm.mode) & backend::SHM_DEST != 0;
    let is_token = to_be_destroyed && record.shm_segsz == SIZE;
    Ok(is_token.then_some(record.shm_cpid))
}
