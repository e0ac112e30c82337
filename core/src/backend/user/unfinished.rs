//! The files of segments that threads of this process are creating.
//!
//! A thread that reserves the space of a segment has its file open and holds no lock, so another thread can fork. The
//! child would keep its copy of the descriptor for ever, and with it the segment's memory after a removal. So it closes
//! the copy.

use crate::sys::{Descriptor, FileId};

/// How many files are remembered.
const MOST: usize = 16;

/// The files that are remembered.
pub(super) struct Unfinished([Option<File>; MOST]);

/// The number of an open file's descriptor, and the file's identity.
#[derive(Clone, Copy)]
struct File {
    number: i32,
    id: FileId,
}

impl Unfinished {
    pub(super) const NONE: Unfinished = Unfinished([None; MOST]);

    /// Remembers an open file. Returns its place; `None` if there is no room.
    pub(super) fn add(&mut self, file: &Descriptor, id: FileId) -> Option<usize> {
        let place = self.0.iter().position(Option::is_none)?;
        let number = file.number();
        *self.0.get_mut(place)? = Some(File { number, id });
        Some(place)
    }

    /// Forgets the file at a place. It may be closed already.
    pub(super) fn remove(&mut self, place: Option<usize>) {
        if let Some(file) = place.and_then(|place| self.0.get_mut(place)) {
            *file = None;
        }
    }

    /// Closes this child's copies of its parent's descriptors.
    pub(super) fn close_all(&mut self) {
        for file in self.0.iter_mut().filter_map(Option::take) {
            Descriptor::close_copy(file.number, file.id);
        }
    }
}
