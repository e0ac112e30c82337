//! Copying by relaxed atomics of one size: aligned words of 8 bytes.
//!
//! Rust does not allow two atomic accesses of different sizes to the same bytes to race unless both
//! read. The words of rings and values are `AtomicU64`, and a copy can meet them: a receiver copies a
//! message whose room its sender has begun to use again (a ring that drops the oldest), or a program
//! writes into the bytes of an object. So each access here is of a whole aligned word, too:
//!
//! - A word that lies in the range as a whole is loaded or stored.
//! - A word at either end that lies in it in part is loaded as a whole, and the other bytes are not
//!   used. To write, the word is replaced by one that differs in the bytes of the range alone
//!   (compare and exchange). What another thread or process stores in the other bytes at the same
//!   time is not lost: the exchange fails if the word has changed, whatever the size of the access
//!   that has changed it, and is tried again.
//!
//! The words of 4 bytes in an object's header, in a lock and in a semaphore are the exception. A copy
//! that meets them is one of the program's own (`Attachment::read_at`, `Segment::contents`): for
//! that, the language has no word, and every processor has an answer.
//!
//! The bytes on the private side are accessed as volatile: a C program may pass the address of a
//! message in a ring.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const WORD: usize = size_of::<u64>();

/// The pieces of `len` bytes from an address on: for each, its offset, where it begins in its aligned
/// word, and its length.
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
        // SAFETY: `offset` is below `len`, and the rest of the word is readable, too, as the caller
        // promises. It is 8-byte aligned, and only loaded. Relaxed: the contract promises no order.
        let word = unsafe {
            let word = shared.add(offset).sub(skipped).cast_mut().cast();
            AtomicU64::from_ptr(word).load(Relaxed).to_ne_bytes()
        };
        // SAFETY: the pieces are `len` bytes together, which the caller gives us to write.
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
        // SAFETY: `offset` is below `len`, and the rest of the word is readable and writable, too, as
        // the caller promises. It is 8-byte aligned, and this library accesses it by atomics alone.
        let word = unsafe { AtomicU64::from_ptr(shared.add(offset).sub(skipped).cast()) };
        // SAFETY: `offset` is below `len`.
        let from = unsafe { private.add(offset) };
        // Relaxed, all: the contract promises no order.
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

/// No hint: not every processor takes one.
#[cfg_attr(test, allow(dead_code))] // where there is assembly
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

    /// Two threads write values of which all bytes are equal: a word that is accessed as a whole is
    /// one or the other.
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

    /// Two threads write neighbouring bytes of one word, and each finds what it has written.
    #[test]
    fn neighbours_in_a_word_are_not_lost() {
        let words = Words([const { AtomicU64::new(0) }; 4]);
        let count = |offset: usize, len: usize| {
            for round in 0..ROUNDS {
                let bytes = [round as u8; 16];
                let mut back = [0; 16];
                // SAFETY: each thread has `len` bytes, inside the 32, that no other one writes.
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
