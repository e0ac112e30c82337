//! The memory that messages and values lie in, as offsets: nothing outside is ever touched, whatever
//! offset is asked for.

use super::atomic::AtomicU64;

/// A range of a segment, at least 8 bytes long and 8-byte aligned.
#[cfg(not(loom))]
#[derive(Clone, Copy)]
pub(crate) struct Area<'a> {
    base: *mut u8,
    len: usize,
    memory: core::marker::PhantomData<&'a AtomicU64>,
}

#[cfg(not(loom))]
impl Area<'_> {
    /// # Safety
    /// `len` bytes from `base` on must be attached as long as the area lives (for reading, if it is
    /// never written), and `base` and `len` be multiples of 8, `len` not 0.
    pub unsafe fn new(base: *mut u8, len: usize) -> Self {
        Area {
            base,
            len,
            memory: core::marker::PhantomData,
        }
    }

    pub fn len(self) -> usize {
        self.len
    }

    /// Where a range begins, and how much of it lies inside. By branches and not by minima: the
    /// processor guesses them right, and need not wait for the offset.
    #[inline(always)]
    fn range(self, offset: usize, len: usize) -> (*mut u8, usize) {
        if offset > self.len || len > self.len - offset {
            return self.cut(offset, len);
        }
        // SAFETY: the offset is at most the length, so this is inside or just behind the area.
        (unsafe { self.base.add(offset) }, len)
    }

    #[cold]
    fn cut(self, offset: usize, len: usize) -> (*mut u8, usize) {
        let offset = offset.min(self.len);
        // SAFETY: as above.
        (unsafe { self.base.add(offset) }, len.min(self.len - offset))
    }

    /// The word at an offset; any other word, if there is none.
    #[inline(always)]
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        let offset = match offset & 7 == 0 && offset <= self.len - 8 {
            true => offset,
            false => Self::nowhere(),
        };
        // SAFETY: it lies in the area, as just made sure, and is aligned as the area is. It is an
        // atomic, so others may write it; where payload lies, nobody holds a reference that
        // forbids that.
        unsafe { &*self.base.add(offset).cast() }
    }

    #[cold]
    fn nowhere() -> usize {
        0
    }

    /// Copies bytes in; those that would not lie inside are left out.
    #[inline(always)]
    pub fn write(self, offset: usize, bytes: &[u8]) {
        let (to, len) = self.range(offset, bytes.len());
        // SAFETY: `len` bytes at `to` lie in the area, and no more than that are read of `bytes`.
        unsafe { crate::copy::copy_in(bytes.as_ptr(), to, len) }
    }

    /// Copies bytes out; what does not lie inside is not changed.
    #[inline(always)]
    pub fn read(self, offset: usize, bytes: &mut [u8]) {
        // SAFETY: the slice has so many bytes.
        unsafe { self.read_to(offset, bytes.as_mut_ptr(), bytes.len()) }
    }

    /// The same, to where there may be nothing yet.
    ///
    /// # Safety
    /// `len` bytes from `to` on must be the caller's to write.
    #[inline(always)]
    pub unsafe fn read_to(self, offset: usize, to: *mut u8, len: usize) {
        let (from, len) = self.range(offset, len);
        // SAFETY: `len` bytes at `from` lie in the area, and the caller gives as many.
        unsafe { crate::copy::copy_out(from, to, len) }
    }

    /// The line of the cache at an offset, or the last one, will be written soon.
    #[inline(always)]
    pub fn fetch_to_write(self, offset: usize) {
        crate::copy::fetch_to_write(self.base.wrapping_add(offset.min(self.len - 8)));
    }

    /// The address of an offset, which is inside or just behind the area.
    #[inline(always)]
    pub fn address(self, offset: usize) -> *mut u8 {
        self.range(offset, 0).0
    }
}

/// In a model, the area is made of words that loom watches.
#[cfg(loom)]
#[derive(Clone, Copy)]
pub(crate) struct Area<'a>(pub &'a [AtomicU64]);

#[cfg(loom)]
impl Area<'_> {
    pub fn len(self) -> usize {
        self.0.len() * 8
    }

    pub fn word(&self, offset: usize) -> &AtomicU64 {
        &self.0[offset / 8]
    }

    pub fn write(self, offset: usize, bytes: &[u8]) {
        for (i, piece) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.0[offset / 8 + i]
                .store(u64::from_ne_bytes(word), super::atomic::Ordering::Relaxed);
        }
    }

    pub fn fetch_to_write(self, _: usize) {}

    pub unsafe fn read_to(self, offset: usize, to: *mut u8, len: usize) {
        // SAFETY: in a model, they are initialised.
        self.read(offset, unsafe { core::slice::from_raw_parts_mut(to, len) });
    }

    pub fn read(self, offset: usize, bytes: &mut [u8]) {
        for (i, piece) in bytes.chunks_mut(8).enumerate() {
            let word = self.0[offset / 8 + i].load(super::atomic::Ordering::Relaxed);
            piece.copy_from_slice(&word.to_ne_bytes()[..piece.len()]);
        }
    }
}
