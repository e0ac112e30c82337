//! A copy of the beginning of an object, from which its state is read without using the object.

use super::{
    Kind,
    header::{ALIGN, Header, ORDER, PAYLOAD, VERSION, WIDTH, WORDS, text_of},
    holder::{Holder, Life},
};
use crate::sync::{self, MAGIC, READY};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A copy of the beginning of an object.
#[repr(C, align(64))]
pub(crate) struct Snapshot {
    header: Header,
    /// Atomics, because `words` returns a reference to a type that is made of atomics, and such a
    /// reference must not be derived from one to immutable memory.
    words: [AtomicU64; WORDS / 8],
    /// The first words of the payload.
    payload: [AtomicU64; (SNAPSHOT - PAYLOAD) / 8],
}

const _: () = assert!(size_of::<Snapshot>() == SNAPSHOT);

/// The size of a snapshot in bytes, for every kind of object: a reader-writer lock has most words.
pub(crate) const SNAPSHOT: usize = PAYLOAD + size_of::<sync::RwLock>();

impl Snapshot {
    /// Copies these bytes, at most the size of a snapshot; the rest is 0.
    pub fn new(bytes: &[u8]) -> Box<Snapshot> {
        // SAFETY: a snapshot is made of integer atomics, for which all zeroes are valid.
        let mut snapshot: Box<Snapshot> = unsafe { Box::new(core::mem::zeroed()) };
        let len = bytes.len().min(SNAPSHOT);
        // SAFETY: both have at least `len` bytes, and no other reference to the box exists.
        unsafe {
            let to: *mut Snapshot = &mut *snapshot;
            to.cast::<u8>()
                .copy_from_nonoverlapping(bytes.as_ptr(), len);
        }
        snapshot
    }

    /// Returns the kind of the object; `None` if it is no object of this machine and this version.
    pub fn kind(&self) -> Option<Kind> {
        let header = &self.header;
        // Relaxed, here and below: no other thread has this copy.
        let known = header.magic.load(Relaxed) == MAGIC
            && header.order.load(Relaxed) == ORDER
            && header.width.load(Relaxed) == WIDTH
            && header.version.load(Relaxed) == VERSION;
        let kind = header.kind.load(Relaxed);
        let mut all = Kind::ALL.into_iter();
        all.find(|&known_kind| known && known_kind as u32 == kind)
    }

    /// Returns whether it is ready for use.
    pub fn is_ready(&self) -> bool {
        self.header.state.load(Relaxed) == READY
    }

    /// Returns the thread that created it.
    pub fn creator(&self) -> Holder {
        Holder::from_bits(self.header.creator.load(Relaxed))
    }

    /// Returns when it was created, in seconds since 1970.
    pub fn created(&self) -> u64 {
        self.header.created.load(Relaxed)
    }

    /// Returns the size of the payload, in bytes.
    pub fn size(&self) -> u64 {
        self.header.size.load(Relaxed)
    }

    /// Returns the capacity of a ring or a broadcast in bytes; 0 for other kinds.
    pub fn capacity(&self) -> u64 {
        self.header.capacity.load(Relaxed)
    }

    /// Returns the options of its kind.
    pub fn options(&self) -> u32 {
        self.header.options.load(Relaxed)
    }

    /// Returns the name that it was opened by.
    pub fn name(&self) -> Vec<u8> {
        text_of(&self.header.key, &self.header.key_len).collect()
    }

    /// Returns the hash of the file and project id that its key was made from; 0 for none.
    pub fn file(&self) -> u64 {
        self.header.file.load(Relaxed)
    }

    /// Returns the name of its layout.
    pub fn layout(&self) -> Vec<u8> {
        text_of(&self.header.layout, &self.header.layout_len).collect()
    }

    /// Returns whether a holder is live, dead or unknown to this process.
    pub fn life(&self, holder: Holder) -> Life {
        holder.life(|| self.header.is_of_our_namespaces())
    }

    /// Returns whether a holder's id is known to be one of this process' PID namespace.
    pub fn has_id_here(&self, holder: Holder) -> bool {
        holder.has_id_here(|| self.header.is_of_our_namespaces())
    }

    /// Returns the object's own words.
    ///
    /// # Safety
    /// `T` must be made of atomics, and valid whatever its bytes are.
    pub unsafe fn words<T>(&self) -> &T {
        const { assert!(size_of::<T>() <= WORDS && align_of::<T>() <= ALIGN) }
        // SAFETY: `words` is aligned to 64 bytes, as the structure is, and is as large as `T`, which the
        // assertion checks. Both are made of atomics, as the caller has promised of `T`.
        unsafe { &*self.words.as_ptr().cast() }
    }

    /// Returns the words that the payload of some kinds begins with.
    ///
    /// # Safety
    /// As for [`words`](Snapshot::words).
    pub unsafe fn payload_words<T>(&self) -> &T {
        const { assert!(size_of::<T>() <= SNAPSHOT - PAYLOAD && align_of::<T>() <= ALIGN) }
        // SAFETY: as in `words`; the payload begins at a multiple of 64, too.
        unsafe { &*self.payload.as_ptr().cast() }
    }

    /// Returns the first words of the payload.
    pub fn payload(&self) -> impl Iterator<Item = u64> {
        self.payload.iter().map(|word| word.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::header::HEADER, *};
    use crate::sync::Semaphore;

    /// For Miri: the bytes of a segment are read as atomic words.
    #[test]
    fn a_snapshot_is_looked_at_as_what_it_holds() {
        let mut bytes = [0; SNAPSHOT];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, b"shmkey\r\n");
        put(8, &ORDER.to_ne_bytes());
        put(12, &WIDTH.to_ne_bytes());
        put(16, &VERSION.to_ne_bytes());
        put(20, &(Kind::Semaphore as u32).to_ne_bytes());
        put(80, &4_u32.to_ne_bytes());
        put(128, b"name");
        put(HEADER, &14_u32.to_ne_bytes()); // a count of 7, and a bit beside it
        put(PAYLOAD + 8, &9_u64.to_ne_bytes());
        for len in [SNAPSHOT, PAYLOAD + 16] {
            let snapshot = Snapshot::new(&bytes[..len]);
            assert_eq!(snapshot.kind(), Some(Kind::Semaphore));
            assert_eq!(snapshot.name(), b"name");
            // SAFETY: a semaphore is made of atomics, and every pattern of bytes is valid.
            let counter: &Semaphore = unsafe { snapshot.words() };
            assert_eq!(counter.value(), 7);
            assert!(counter.try_take());
            assert_eq!(snapshot.payload().take(3).collect::<Vec<_>>(), [0, 9, 0]);
        }
        assert_eq!(Snapshot::new(&bytes[..10]).kind(), None);
    }
}
