//! The list of this process's attachments: which address belongs to which record.

use crate::sys::{self, Errno};
use core::{ffi::c_void, slice};

/// An attachment of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attachment {
    pub address: usize,
    /// The number of bytes mapped.
    pub len: usize,
    pub id: i32,
    /// Its number, which is that of the byte that it locks. 0 if it shares its parent's lock, and so has no record of
    /// its own.
    pub number: u64,
    /// The index of its record, and the era of the table that has the record; see `Private::era`.
    pub record: u32,
    pub era: u32,
    /// As for `mmap(2)`.
    pub protection: i32,
    /// During a fork: the address of a page that holds the lock of the child's attachment, and the index and the
    /// number of the child's record.
    pub spare: usize,
    pub spare_record: u32,
    pub spare_number: u64,
    /// The address of a page that holds the lock in place of the attachment's mapping; 0 if that mapping holds it.
    pub ticket: usize,
    /// A child may have it, too, and share its lock.
    pub is_shared: bool,
}

/// How many attachments fit before the list needs memory of its own.
const FIRST: usize = 32;

const NOTHING: Attachment = Attachment {
    address: 0,
    len: 0,
    id: 0,
    number: 0,
    record: 0,
    era: 0,
    protection: 0,
    spare: 0,
    spare_record: 0,
    spare_number: 0,
    ticket: 0,
    is_shared: false,
};

/// The attachments, from the oldest to the newest.
pub(super) struct Attachments {
    first: [Attachment; FIRST],
    /// The address of the memory that is used in place of `first`; 0 if there is none.
    mapped: usize,
    /// How many attachments fit into that memory.
    room: usize,
    count: usize,
}

impl Attachments {
    pub(super) const EMPTY: Attachments = Attachments {
        first: [NOTHING; FIRST],
        mapped: 0,
        room: 0,
        count: 0,
    };

    /// Makes room for one more.
    pub(super) fn reserve(&mut self) -> Result<(), Errno> {
        let room = self.all().len();
        if self.count < room {
            return Ok(());
        }
        let len = 2 * room * size_of::<Attachment>();
        let new = sys::map_memory(len)?;
        // SAFETY: the mapping has room for twice as many, of which these are valid; no other code knows of it.
        unsafe {
            let old = self.all();
            new.cast::<Attachment>()
                .copy_from_nonoverlapping(old.as_ptr(), self.count);
        }
        let old = core::mem::replace(&mut self.mapped, new as usize);
        let old_room = core::mem::replace(&mut self.room, 2 * room);
        if old != 0 {
            // SAFETY: `reserve` has mapped it, and this was the only reference.
            unsafe { sys::release(old as *mut c_void, old_room * size_of::<Attachment>()) };
        }
        Ok(())
    }

    /// Adds an attachment, for which there must be room.
    pub(super) fn push(&mut self, attachment: Attachment) {
        let count = self.count;
        if let Some(place) = self.all().get_mut(count) {
            *place = attachment;
            self.count += 1;
        }
    }

    /// Returns the attachments.
    pub(super) fn list(&mut self) -> &mut [Attachment] {
        let count = self.count;
        self.all().get_mut(..count).unwrap_or_default()
    }

    /// Returns the index of the attachment at an address.
    pub(super) fn find(&mut self, address: usize) -> Option<usize> {
        // The newest one is the likeliest to be detached.
        self.list()
            .iter()
            .rposition(|attachment| attachment.address == address)
    }

    /// Takes an attachment out of the list.
    pub(super) fn take(&mut self, index: usize) -> Option<Attachment> {
        let list = self.list();
        let taken = *list.get(index)?;
        list.copy_within(index + 1.., index);
        self.count -= 1;
        Some(taken)
    }

    fn all(&mut self) -> &mut [Attachment] {
        if self.mapped == 0 {
            return &mut self.first;
        }
        // SAFETY: `reserve` has mapped room for that many, all of them zeroes or copies, which are valid.
        unsafe { slice::from_raw_parts_mut(self.mapped as *mut Attachment, self.room) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_attachments_than_the_first_room_are_kept_in_order() {
        let mut attachments = Attachments::EMPTY;
        for address in 1..=200 {
            attachments.reserve().unwrap();
            let number = address as u64;
            attachments.push(Attachment {
                address,
                number,
                ..NOTHING
            });
        }
        assert_eq!(attachments.find(100), Some(99));
        assert_eq!(attachments.take(99).unwrap().number, 100);
        assert_eq!(attachments.find(100), None);
        assert_eq!(attachments.find(200), Some(198));
        let addresses = attachments
            .list()
            .iter()
            .map(|attachment| attachment.address);
        assert!(addresses.eq((1..=200).filter(|&address| address != 100)));
    }
}
