//! Memory that may be refused: the standard library's `Box::new` and `Arc::new` end the process if there is none.

use crate::{Error, ErrorKind};
use core::{
    alloc::Layout,
    fmt,
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};

/// There is no memory for a handle, or for a part of it.
pub(crate) struct OutOfMemory;

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Error {
        Error::new(ErrorKind::OutOfMemory, libc::ENOMEM, "allocate memory")
    }
}

/// Puts a value into a box.
pub(crate) fn boxed<T>(value: T) -> Result<Box<T>, OutOfMemory> {
    const { assert!(size_of::<T>() > 0) }
    // SAFETY: the layout's size is not 0.
    let room = unsafe { std::alloc::alloc(Layout::new::<T>()) }.cast::<T>();
    let room = NonNull::new(room).ok_or(OutOfMemory)?;
    // SAFETY: the global allocator, which a box uses, has allocated room for a `T`, which is initialised before
    // the box has it.
    unsafe {
        room.write(value);
        Ok(Box::from_raw(room.as_ptr()))
    }
}

/// A value that several owners share, and the last of them drops: an `Arc` without weak references, whose memory may be
/// refused.
pub(crate) struct Shared<T> {
    counted: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

struct Counted<T> {
    owners: AtomicU64,
    value: T,
}

// SAFETY: as for an `Arc`: owners in several threads have references to the value, and any of them may drop it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(value: T) -> Result<Shared<T>, OutOfMemory> {
        let owners = AtomicU64::new(1);
        let counted = boxed(Counted { owners, value })?;
        Ok(Shared {
            counted: NonNull::from(Box::leak(counted)),
            owns: PhantomData,
        })
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: it is from a box, which the last owner frees, and `self` is an owner.
        unsafe { self.counted.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        // Relaxed: this owner exists, so no other one frees the value; passing the new one to another thread orders
        // the rest. The count does not overflow: adding 2⁶⁴ owners takes centuries.
        self.counted().owners.fetch_add(1, Relaxed);
        Shared { ..*self }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Release: pairs with the fence, so that the last owner drops the value after all others have used it.
        if self.counted().owners.fetch_sub(1, Release) == 1 {
            fence(Acquire);
            // SAFETY: it is from a box, and no other owner is left.
            drop(unsafe { Box::from_raw(self.counted.as_ptr()) });
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

/// Text of at most `N` bytes, without an allocation. Of a longer one its beginning is kept, `N` bytes, so `N` is more
/// than any valid length.
#[derive(Clone)]
pub(crate) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub fn new(text: &[u8]) -> Text<N> {
        text.iter().copied().collect()
    }
}

impl<const N: usize> FromIterator<u8> for Text<N> {
    fn from_iter<I: IntoIterator<Item = u8>>(text: I) -> Text<N> {
        let (mut bytes, mut len) = ([0; N], 0);
        for (to, byte) in bytes.iter_mut().zip(text) {
            *to = byte;
            len += 1;
        }
        Text { bytes, len }
    }
}

impl<const N: usize> Deref for Text<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> PartialEq for Text<N> {
    fn eq(&self, other: &Text<N>) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(self), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicU32, thread};

    #[test]
    fn the_last_owner_drops_the_value() {
        struct Counts<'a>(&'a AtomicU32);
        impl Drop for Counts<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Relaxed);
            }
        }
        let dropped = AtomicU32::new(0);
        let Ok(first) = Shared::new(Counts(&dropped)) else {
            panic!("no memory");
        };
        let second = first.clone();
        drop(first);
        assert_eq!(dropped.load(Relaxed), 0);
        thread::scope(|scope| {
            scope.spawn(|| drop(second));
        });
        assert_eq!(dropped.load(Relaxed), 1);
    }

    #[test]
    fn a_text_that_is_too_long_has_its_whole_room() {
        assert_eq!(&*Text::<4>::new(b"abc"), b"abc");
        assert_eq!(&*Text::<4>::new(b"abcdefg"), b"abcd");
    }
}
