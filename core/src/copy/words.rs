//! Copying by relaxed atomics of one size: aligned words of 8 bytes.
//!
//! Rust allows two atomic accesses of different sizes to the same bytes to race only if both are reads. The words
//! of rings and latest values are `AtomicU64`, and a copy can race with accesses to them: a receiver copies a
//! message while the sender reuses its room (in a ring that drops the oldest), or a program writes into the bytes
//! of an object. So this module, too, accesses whole aligned words only:
//!
//! - It loads or stores each word that lies entirely in the range.
//! - To read from a word that lies partly in the range, it loads the whole word and ignores the other bytes. To
//!   write, it replaces the word by compare-and-exchange with one that differs only in the bytes of the range. A
//!   simultaneous store to the other bytes is not lost: the exchange fails if the word has changed, whatever the
//!   size of the access that changed it, and is repeated.
//!
//! The 4-byte words in an object's header, a mutex and a semaphore are the exception. A copy meets them only if the
//! program itself asks for it (`Attachment::read_at`, `Segment::contents`). Rust does not define such a race; every
//! processor does.
//!
//! The bytes on the private side are accessed as volatile, because a C program may pass the address of a message
//! in a ring.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const WORD: usize = size_of::<u64>();

/// Splits `len` bytes from an address on at the borders of aligned words. Returns for each piece its offset, the
/// place in its word where it begins, and its length.
fn pieces(address: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let offset = done;
        let skipped = address.wrapping_add(offset) % WORD;
        done += (WORD - skipped).min(len - offset);
        (done > offset).then_some((offset, skipped, done - offset))
    })
}

/// # Safety
/// As for `super::copy_out`.
pub unsafe fn copy_out(shared: *const u8, private: *mut u8, len: usize) {
    for (offset, skipped, piece) in pieces(shared.addr(), len) {
        // SAFETY: `offset` is below `len`, and the caller promises that the rest of the word is readable, too.
        // The word is 8-byte aligned, and only loaded. Relaxed: the contract promises no order.
        let word = unsafe {
            let word = shared.add(offset).sub(skipped).cast_mut().cast();
            AtomicU64::from_ptr(word).load(Relaxed).to_ne_bytes()
        };
        // SAFETY: the pieces are `len` bytes together, which the caller allows this function to write.
        unsafe {
            let to = private.add(offset);
            if piece == WORD {
                to.cast::<[u8; WORD]>().write_volatile(word);
            } else {
                for (i, &byte) in word[skipped..skipped + piece].iter().enumerate() {
                    to.add(i).write_volatile(byte);
                }
            }
        }
    }
}

/// # Safety
/// As for `super::copy_in`.
pub unsafe fn copy_in(private: *const u8, shared: *mut u8, len: usize) {
    for (offset, skipped, piece) in pieces(shared.addr(), len) {
        // SAFETY: `offset` is below `len`, and the caller promises that the rest of the word is readable and
        // writable, too. The word is 8-byte aligned, and this library accesses it by atomics alone.
        let word = unsafe { AtomicU64::from_ptr(shared.add(offset).sub(skipped).cast()) };
        // SAFETY: `offset` is below `len`.
        let from = unsafe { private.add(offset) };
        // Relaxed, here and below: the contract promises no order.
        if piece == WORD {
            // SAFETY: the whole word lies in the `len` bytes.
            let bytes = unsafe { from.cast::<[u8; WORD]>().read_volatile() };
            word.store(u64::from_ne_bytes(bytes), Relaxed);
            continue;
        }
        let mut now = word.load(Relaxed);
        loop {
            let mut next = now.to_ne_bytes();
            for (i, byte) in next[skipped..skipped + piece].iter_mut().enumerate() {
                // SAFETY: the piece lies in the `len` bytes.
                *byte = unsafe { from.add(i).read_volatile() };
            }
            let next = u64::from_ne_bytes(next);
            match word.compare_exchange_weak(now, next, Relaxed, Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
    }
}

/// Does nothing: not every processor has such a hint.
#[cfg_attr(test, allow(dead_code))] // where the assembly is used
pub fn fetch_to_write(_: *mut u8) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Shared by the threads of a test.
    struct Words([AtomicU64; 4]);

    impl Words {
        fn address(&self) -> *mut u8 {
            self.0.as_ptr().cast_mut().cast()
        }
    }

    const ROUNDS: usize = if cfg!(miri) { 50 } else { 200_000 };

    /// Two threads write values whose bytes are all equal; a word that is accessed as a whole has one of the
    /// values.
    #[test]
    fn a_whole_word_is_never_mixed() {
        let words = Words([const { AtomicU64::new(0) }; 4]);
        let write = |byte: u8| {
            let bytes = [byte; 24];
            for _ in 0..ROUNDS {
                // SAFETY: 24 bytes at 8 and 32 bytes in all, accessed by atomics alone.
                unsafe { copy_in(bytes.as_ptr(), words.address().add(8), 24) };
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| write(0x11));
            scope.spawn(|| write(0x77));
            for _ in 0..ROUNDS {
                let mut bytes = [0; 24];
                // SAFETY: as above, and the bytes are this thread's.
                unsafe { copy_out(words.address().add(8), bytes.as_mut_ptr(), 24) };
                let (parts, _) = bytes.as_chunks::<8>();
                assert!(parts.iter().all(|part| *part == [part[0]; 8]), "{bytes:x?}");
            }
        });
    }

    /// Threads write neighbouring bytes of one word, and each reads what it has written.
    #[test]
    fn neighbours_in_a_word_are_not_lost() {
        let words = Words([const { AtomicU64::new(0) }; 4]);
        let count = |offset: usize, len: usize| {
            for round in 0..ROUNDS {
                let bytes = [round as u8; 16];
                let mut back = [0; 16];
                // SAFETY: each thread has `len` bytes inside the 32 that no other thread writes.
                unsafe {
                    copy_in(bytes.as_ptr(), words.address().add(offset), len);
                    copy_out(words.address().add(offset), back.as_mut_ptr(), len);
                }
                assert_eq!(back[..len], bytes[..len]);
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| count(0, 3));
            scope.spawn(|| count(3, 9));
            scope.spawn(|| count(12, 1));
        });
    }
}
