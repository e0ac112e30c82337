//! The memory of messages and values, accessed by offsets: no offset, whatever it is, reaches memory outside. Only
//! `stretch_unchecked` relies on its caller for that.

use super::atomic::AtomicU64;
use core::marker::PhantomData;

/// Bytes to send or to publish: a slice, or bytes at an address that a C program has passed. The latter may lie in
/// shared memory, where other processes can write at any time (a peeked message, for example), so they are only
/// copied, and no `&[u8]` refers to them.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    start: *const u8,
    len: usize,
    bytes: PhantomData<&'a [u8]>,
}

impl<'a, B: AsRef<[u8]> + ?Sized> From<&'a B> for Source<'a> {
    #[inline(always)]
    fn from(bytes: &'a B) -> Source<'a> {
        let bytes = bytes.as_ref();
        // SAFETY: the slice has that many bytes as long as it is borrowed.
        unsafe { Source::new(bytes.as_ptr(), bytes.len()) }
    }
}

impl Source<'_> {
    /// # Safety
    /// As long as this is used, `len` bytes from `start` on must be readable, and no other thread of this process may
    /// write them. If `len` is 0, `start` may be anything.
    #[inline(always)]
    pub unsafe fn new(start: *const u8, len: usize) -> Self {
        Source {
            start,
            len,
            bytes: PhantomData,
        }
    }

    /// Returns the number of bytes.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Returns the first `len` bytes, or all if there are fewer, and the rest.
    #[inline(always)]
    pub fn split_at(self, len: usize) -> (Self, Self) {
        let len = len.min(self.len);
        let rest = Source {
            start: self.start.wrapping_add(len),
            len: self.len - len,
            ..self
        };
        (Source { len, ..self }, rest)
    }
}

/// Room to receive into: a slice, or memory at an address that a C program has passed.
#[derive(Clone, Copy)]
pub struct Buffer<'a> {
    start: *mut u8,
    len: usize,
    bytes: PhantomData<&'a mut [u8]>,
}

impl<'a, B: AsMut<[u8]> + ?Sized> From<&'a mut B> for Buffer<'a> {
    #[inline(always)]
    fn from(bytes: &'a mut B) -> Buffer<'a> {
        let bytes = bytes.as_mut();
        // SAFETY: the slice has that many bytes, and is borrowed exclusively.
        unsafe { Buffer::new(bytes.as_mut_ptr(), bytes.len()) }
    }
}

impl Buffer<'_> {
    /// # Safety
    /// As long as this is used, `len` bytes from `start` on must be writable, and no other thread of this process may
    /// use them. If `len` is 0, `start` may be anything.
    #[inline(always)]
    pub unsafe fn new(start: *mut u8, len: usize) -> Self {
        Buffer {
            start,
            len,
            bytes: PhantomData,
        }
    }

    /// Returns the number of bytes.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Returns `len` bytes from an offset on; `None` if there are fewer.
    #[inline(always)]
    pub fn part(self, offset: usize, len: usize) -> Option<Self> {
        let fits = offset <= self.len && len <= self.len - offset;
        fits.then_some(Buffer {
            start: self.start.wrapping_add(offset),
            len,
            ..self
        })
    }

    /// Returns the room behind the first `len` bytes, which may be empty.
    #[inline(always)]
    pub fn behind(self, len: usize) -> Self {
        let len = len.min(self.len);
        Buffer {
            start: self.start.wrapping_add(len),
            len: self.len - len,
            ..self
        }
    }
}

/// A range of a segment, at least 8 bytes long and 8-byte aligned.
#[cfg(not(loom))]
#[derive(Clone, Copy)]
pub struct Area<'a> {
    base: *mut u8,
    len: usize,
    memory: PhantomData<&'a AtomicU64>,
}

#[cfg(not(loom))]
impl Area<'_> {
    /// # Safety
    /// `len` bytes from `base` on must be attached as long as the area lives (read-only if it is never written).
    /// `base` and `len` must be multiples of 8, and `len` not 0. Then each aligned word that a copy accesses lies in the
    /// area.
    #[inline(always)]
    pub unsafe fn new(base: *mut u8, len: usize) -> Self {
        Area {
            base,
            len,
            memory: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Returns the address of a range, and the length of its part inside the area. Branches instead of computing
    /// minima: the processor predicts the branch, and need not wait for the offset.
    #[inline(always)]
    fn range(self, offset: usize, len: usize) -> (*mut u8, usize) {
        if offset > self.len || len > self.len - offset {
            return self.cut(offset, len);
        }
        // SAFETY: the offset is at most the length, so the address is inside the area or at its end.
        (unsafe { self.base.add(offset) }, len)
    }

    #[cold]
    fn cut(self, offset: usize, len: usize) -> (*mut u8, usize) {
        let offset = offset.min(self.len);
        // SAFETY: as above.
        (unsafe { self.base.add(offset) }, len.min(self.len - offset))
    }

    /// Returns the aligned word that has the byte at an offset; the first word if the offset is beyond the area.
    #[inline(always)]
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        let offset = offset & !7;
        let offset = if offset < self.len {
            offset
        } else {
            Self::nowhere()
        };
        // SAFETY: the offset and the length are multiples of 8, so the word lies in the area and is aligned. It is an
        // atomic, so others may write it, and no code has a reference to the area's bytes that forbids that.
        unsafe { &*self.base.add(offset).cast() }
    }

    #[cold]
    fn nowhere() -> usize {
        0
    }

    /// Stores 0 in every word that lies a multiple of `APART` bytes behind an aligned offset, within `len` bytes from
    /// there on. Leaves out words that would lie outside the area.
    #[inline(always)]
    pub fn clear_words<const APART: usize>(self, offset: usize, len: usize) {
        const { assert!(APART != 0 && APART.is_multiple_of(8)) }
        let (first, len) = self.range(offset & !7, len & !7);
        let clear = |at: usize| {
            // SAFETY: `at` is less than `len`, and all of these numbers are multiples of 8, so the word lies in the `len`
            // bytes, which lie in the area, and is aligned. It is an atomic, as in `word`.
            let word: &AtomicU64 = unsafe { &*first.add(at).cast() };
            // Relaxed: the caller orders it.
            word.store(0, super::atomic::Ordering::Relaxed);
        };
        let mut done = 0;
        // Four at a time, because a round of a loop takes longer than a store.
        while len - done >= 4 * APART {
            (0..4).for_each(|index| clear(done + index * APART));
            done += 4 * APART;
        }
        while done < len {
            clear(done);
            done += APART;
        }
    }

    /// Copies bytes in, except for those that would lie outside.
    #[inline(always)]
    pub fn write(self, offset: usize, bytes: Source) {
        let (to, len) = self.range(offset, bytes.len);
        // SAFETY: `len` bytes at `to` lie in the area, and `bytes` has at least as many.
        unsafe { crate::copy::copy_in(bytes.start, to, len) }
    }

    /// Copies bytes out. Does not change the part of the buffer for bytes outside.
    #[inline(always)]
    pub fn read(self, offset: usize, buffer: Buffer) {
        let (from, len) = self.range(offset, buffer.len);
        // SAFETY: `len` bytes at `from` lie in the area, and the buffer has at least as many.
        unsafe { crate::copy::copy_out(from, buffer.start, len) }
    }

    /// Hints to the processor that the cache line at an offset (the last line, if the offset is beyond the area) will
    /// be written soon.
    #[inline(always)]
    pub fn fetch_to_write(self, offset: usize) {
        crate::copy::fetch_to_write(self.base.wrapping_add(offset.min(self.len - 8)));
    }

    /// Returns the address of an offset, which is inside the area or at its end.
    #[inline(always)]
    pub fn address(self, offset: usize) -> *mut u8 {
        self.range(offset, 0).0
    }
}

/// A word of an area and bytes behind it: those of a message in a frame. The range is checked once for all accesses.
#[cfg(not(loom))]
#[derive(Clone, Copy)]
pub struct Stretch<'a> {
    /// The address of the word.
    start: *mut u8,
    /// The number of bytes behind the word.
    len: usize,
    memory: PhantomData<&'a AtomicU64>,
}

#[cfg(not(loom))]
impl<'a> Area<'a> {
    /// Returns the aligned word that has the byte at an offset, and `len` bytes behind it; `None` if they do not all
    /// lie inside.
    #[inline(always)]
    pub fn stretch(self, offset: usize, len: usize) -> Option<Stretch<'a>> {
        let offset = offset & !7;
        // The area has at least one word.
        if offset.saturating_add(len) > self.len - 8 {
            return None;
        }
        // SAFETY: by the check above, the area has these bytes; the offset is a multiple of 8.
        Some(unsafe { self.stretch_unchecked(offset, len) })
    }

    /// Returns the word at an offset, and `len` bytes behind it, without checking that they lie inside.
    ///
    /// # Safety
    /// The offset is a multiple of 8, and the area has at least 8 + `len` bytes from there on.
    #[inline(always)]
    pub unsafe fn stretch_unchecked(self, offset: usize, len: usize) -> Stretch<'a> {
        Stretch {
            // SAFETY: by the caller's promise, the address is inside the area.
            start: unsafe { self.base.add(offset) },
            len,
            memory: PhantomData,
        }
    }
}

#[cfg(not(loom))]
impl<'a> Stretch<'a> {
    /// Returns the number of bytes behind the word.
    #[inline(always)]
    pub fn len(self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn word(self) -> &'a AtomicU64 {
        // SAFETY: a stretch lies in the area, and its word is aligned; the rest as in `Area::word`.
        unsafe { &*self.start.cast() }
    }

    /// Returns the address of the byte `at` bytes behind the word, and the length of the part of `len` bytes that lies
    /// inside.
    #[inline(always)]
    fn range(self, at: usize, len: usize) -> (*mut u8, usize) {
        let at = at.min(self.len);
        // SAFETY: a stretch lies in the area, its word and the bytes behind it.
        (unsafe { self.start.add(8 + at) }, len.min(self.len - at))
    }

    /// Copies bytes in, except for those that would lie outside.
    #[inline(always)]
    pub fn write(self, at: usize, bytes: Source) {
        let (to, len) = self.range(at, bytes.len);
        // SAFETY: `len` bytes at `to` lie in the stretch, so in the area, and `bytes` has at least as many.
        unsafe { crate::copy::copy_in(bytes.start, to, len) }
    }

    /// Copies the first bytes out. Does not change the part of the buffer for bytes outside.
    #[inline(always)]
    pub fn read(self, buffer: Buffer) {
        let (from, len) = self.range(0, buffer.len);
        // SAFETY: `len` bytes at `from` lie in the stretch, so in the area, and the buffer has at least as many.
        unsafe { crate::copy::copy_out(from, buffer.start, len) }
    }
}

impl Area<'_> {
    /// Returns whether `len` bytes at an offset wrap at the end of the area.
    #[inline]
    pub fn wraps(self, offset: usize, len: usize) -> bool {
        len > self.len().saturating_sub(offset)
    }

    /// Copies bytes in, and continues at the beginning where the area ends.
    #[inline]
    pub fn write_wrapping(self, offset: usize, bytes: Source) {
        let offset = self.wrap(offset);
        let (first, rest) = bytes.split_at(self.len() - offset);
        self.write(offset, first);
        if !rest.is_empty() {
            self.write(0, rest);
        }
    }

    /// Copies bytes out, and continues at the beginning where the area ends.
    #[inline]
    pub fn read_wrapping(self, offset: usize, buffer: Buffer) {
        let offset = self.wrap(offset);
        let to_end = self.len() - offset;
        match buffer.part(0, to_end) {
            Some(first) if to_end < buffer.len() => {
                self.read(offset, first);
                self.read(0, buffer.behind(to_end));
            }
            _ => self.read(offset, buffer),
        }
    }

    /// Returns an offset that is behind the end as one from the beginning, once around at most.
    #[inline]
    pub fn wrap(self, offset: usize) -> usize {
        if offset >= self.len() {
            offset.wrapping_sub(self.len()).min(self.len())
        } else {
            offset
        }
    }
}

/// In a model of loom, the area consists of loom's words.
#[cfg(loom)]
#[derive(Clone, Copy)]
pub struct Area<'a>(pub &'a [AtomicU64]);

/// As in other builds.
#[cfg(loom)]
#[derive(Clone, Copy)]
pub struct Stretch<'a> {
    area: Area<'a>,
    offset: usize,
    len: usize,
}

#[cfg(loom)]
impl<'a> Stretch<'a> {
    pub fn len(self) -> usize {
        self.len
    }

    pub fn word(self) -> &'a AtomicU64 {
        &self.area.0[self.offset / 8]
    }

    pub fn write(self, at: usize, bytes: Source) {
        let (inside, _) = bytes.split_at(self.len - at);
        self.area.write(self.offset + 8 + at, inside);
    }

    pub fn read(self, buffer: Buffer) {
        self.area.read(self.offset + 8, buffer);
    }
}

#[cfg(loom)]
impl<'a> Area<'a> {
    pub fn stretch(self, offset: usize, len: usize) -> Option<Stretch<'a>> {
        let fits = offset < self.len() && len <= self.len() - offset - 8;
        // SAFETY: loom's words are a slice, whose indexes are checked.
        fits.then(|| unsafe { self.stretch_unchecked(offset, len) })
    }

    /// # Safety
    /// As in other builds.
    pub unsafe fn stretch_unchecked(self, offset: usize, len: usize) -> Stretch<'a> {
        Stretch {
            area: self,
            offset,
            len,
        }
    }
}

#[cfg(loom)]
impl Area<'_> {
    pub fn len(self) -> usize {
        self.0.len() * 8
    }

    pub fn word(&self, offset: usize) -> &AtomicU64 {
        &self.0[offset / 8]
    }

    pub fn write(self, offset: usize, bytes: Source) {
        // SAFETY: in a model, the source is a slice.
        let bytes = unsafe { core::slice::from_raw_parts(bytes.start, bytes.len) };
        for (i, piece) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.0[offset / 8 + i]
                .store(u64::from_ne_bytes(word), super::atomic::Ordering::Relaxed);
        }
    }

    pub fn fetch_to_write(self, _: usize) {}

    pub fn clear_words<const APART: usize>(self, offset: usize, len: usize) {
        for at in (offset..(offset + len).min(self.len())).step_by(APART) {
            self.word(at).store(0, super::atomic::Ordering::Relaxed);
        }
    }

    pub fn read(self, offset: usize, buffer: Buffer) {
        // SAFETY: in a model, the buffer is a slice.
        let bytes = unsafe { core::slice::from_raw_parts_mut(buffer.start, buffer.len) };
        for (i, piece) in bytes.chunks_mut(8).enumerate() {
            let word = self.0[offset / 8 + i].load(super::atomic::Ordering::Relaxed);
            piece.copy_from_slice(&word.to_ne_bytes()[..piece.len()]);
        }
    }
}
