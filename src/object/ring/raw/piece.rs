//! One piece of memory for a slot or a message whose bytes wrap at the end of the ring.

use crate::{
    memory::OutOfMemory,
    sync::{Area, Buffer, Source},
};
use core::sync::atomic::AtomicU64;
use std::alloc::{Layout, alloc_zeroed};

/// The bytes of a slot or of a message, in one piece: in the ring, or in a [`PieceBuffer`].
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub area: Area<'a>,
    /// Where they begin in the area.
    pub start: usize,
}

impl Piece<'_> {
    /// Returns the address of the first byte, 8-byte aligned.
    pub fn address(self) -> *mut u8 {
        self.area.address(self.start)
    }
}

/// Memory of this process that is as large as the ring. It is allocated once, when an end first needs it, so its
/// address is valid as long as the end lives. Pages that are never used take no memory.
#[derive(Default)]
pub(super) struct PieceBuffer {
    words: Vec<AtomicU64>,
}

impl PieceBuffer {
    /// Allocates a buffer for a ring with this room, in bytes, if it is not allocated yet.
    pub fn allocate(&mut self, room: usize) -> Result<(), OutOfMemory> {
        if !self.words.is_empty() {
            return Ok(());
        }
        let len = room / size_of::<AtomicU64>();
        let layout = Layout::array::<AtomicU64>(len).map_err(|_| OutOfMemory)?;
        if layout.size() == 0 {
            return Err(OutOfMemory);
        }
        // SAFETY: the layout's size is not 0.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            return Err(OutOfMemory);
        }
        // SAFETY: the global allocator, which a vector uses, has allocated memory of this layout, and all of it is
        // zero, which is a valid number.
        self.words = unsafe { Vec::from_raw_parts(start.cast(), len, len) };
        Ok(())
    }

    /// Returns the first `len` bytes, or all if there are fewer.
    pub fn source(&self, len: usize) -> Source<'_> {
        let len = len.min(size_of_val(&*self.words));
        // SAFETY: the vector has at least `len` bytes as long as it is borrowed; one thread at a time uses an end.
        unsafe { Source::new(self.words.as_ptr().cast(), len) }
    }

    /// Returns the room of the first `len` bytes, or all if there are fewer.
    pub fn buffer(&mut self, len: usize) -> Buffer<'_> {
        let len = len.min(size_of_val(&*self.words));
        // SAFETY: the vector has at least `len` bytes as long as it is borrowed; one thread at a time uses an end.
        unsafe { Buffer::new(self.words.as_mut_ptr().cast(), len) }
    }

    /// Returns the buffer as a piece; `None` if it is not allocated.
    pub fn piece(&self) -> Option<Piece<'_>> {
        let len = size_of_val(&*self.words);
        // SAFETY: the vector has `len` bytes, a multiple of 8 and not 0, as long as it is borrowed; they are atomics,
        // which may be written through a shared reference.
        let area = || unsafe { Area::new(self.words.as_ptr().cast_mut().cast(), len) };
        (len > 0).then(|| Piece {
            area: area(),
            start: 0,
        })
    }
}
