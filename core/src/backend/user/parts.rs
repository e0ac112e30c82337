//! What is mapped where this process has attached a segment.
//!
//! A program can unmap a part of an attachment, and map something else there. The rest holds the lock, so the attachment
//! counts. `/proc/self/maps` tells what the parts are; reading it costs more than a whole detach. So a cheaper question
//! comes first, and an attachment of one page has no parts.

use super::{attachments::Attachment, process::Own};
use crate::sys;
use core::ffi::c_void;

impl Attachment {
    /// Returns whether one mapping has its whole range. False also if that is unknown.
    fn is_one_mapping(&self) -> bool {
        self.len <= sys::page_size() || sys::is_one_mapping(self.address, self.len)
    }

    /// Unmaps what is still of the segment if there is something else in its range. Returns false if nothing was done: it
    /// is one mapping, or there is no `/proc`.
    ///
    /// # Safety
    /// The attachment must not be used from now on.
    pub(super) unsafe fn unmap_parts(&self) -> bool {
        if self.is_one_mapping() {
            return false;
        }
        let unmapped = sys::for_each_part(self.address, self.len, self.id, |part| {
            if part.is_of_segment {
                // SAFETY: the caller's promise; it is a part of the attachment.
                unsafe { sys::release(part.start as *mut c_void, part.end - part.start) };
            }
        });
        unmapped.is_ok()
    }

    /// Returns whether a part of it is still mapped; `None` if that is unknown.
    pub(super) fn is_left(&self) -> Option<bool> {
        let mut is_left = false;
        let read = sys::for_each_part(self.address, self.len, self.id, |part| {
            is_left |= part.is_of_segment;
        });
        read.ok().map(|()| is_left)
    }

    /// Returns whether its range has a hole, or a mapping that is neither of the segment nor of a later attachment.
    /// Returns true also if that is unknown.
    pub(super) fn has_foreign_part(&self, own: &mut Own) -> bool {
        if self.is_one_mapping() {
            return false;
        }
        let all = own.attachments.list();
        let place = all
            .iter()
            .position(|other| (other.number, other.era) == (self.number, self.era));
        // What was attached before this one has nothing in its range.
        let later = place.and_then(|place| all.get(place + 1..));
        let later = later.unwrap_or_default();
        let (mut is_foreign, mut mapped) = (false, 0);
        let read = sys::for_each_part(self.address, self.len, self.id, |part| {
            let start = part.start.max(self.address);
            let is_others = later
                .iter()
                .any(|other| other.address <= start && part.end <= other.address + other.len);
            is_foreign |= !part.is_of_segment && !is_others;
            mapped += part.end - start;
        });
        read.is_err() || is_foreign || mapped < self.len
    }
}
