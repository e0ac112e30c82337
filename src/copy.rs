//! Copying between this process and memory that others write at the same time.
//!
//! An ordinary `memcpy` (or a `&[u8]`) may only touch memory that nobody writes meanwhile: the
//! compiler relies on it. A segment gives no such promise. These two functions may be called at any
//! time: each byte is read or written once or more, as a relaxed atomic access of one byte would,
//! in no particular order. Bytes of different writers can mix; that is for the caller to prevent,
//! and never this process' undefined behaviour.
//!
//! On x86-64 the copy is one instruction, which the compiler does not look into, and which for more
//! than a few hundred bytes is about as fast as `memcpy`. Elsewhere it is the loop of byte atomics
//! that the instruction stands for.

/// Copies `len` bytes out of a segment.
///
/// # Safety
/// `shared` must be readable for `len` bytes, and `private` writable for as many that nobody else
/// uses meanwhile.
pub(crate) unsafe fn copy_out(shared: *const u8, private: *mut u8, len: usize) {
    // SAFETY: the caller's promise is the one that `relaxed` asks for.
    unsafe { relaxed(private, shared, len, Shared::Source) }
}

/// Copies `len` bytes into a segment.
///
/// # Safety
/// `shared` must be writable for `len` bytes, and `private` readable for as many that nobody writes
/// meanwhile.
pub(crate) unsafe fn copy_in(private: *const u8, shared: *mut u8, len: usize) {
    // SAFETY: the caller's promise is the one that `relaxed` asks for.
    unsafe { relaxed(shared, private, len, Shared::Destination) }
}

/// Which side others may use meanwhile.
#[cfg_attr(all(target_arch = "x86_64", not(miri)), allow(dead_code))]
enum Shared {
    Source,
    Destination,
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
unsafe fn relaxed(to: *mut u8, from: *const u8, len: usize, _: Shared) {
    use core::arch::asm;
    // SAFETY: the caller promises `len` bytes on both sides, and the instruction touches those and
    // no others. The processor accesses every byte atomically; the direction flag is clear, as
    // Rust's ABI demands. No `nomem`: the compiler assumes that any memory whose address is known
    // elsewhere was read and written.
    unsafe {
        asm!(
            "rep movsb",
            inout("rdi") to => _,
            inout("rsi") from => _,
            inout("rcx") len => _,
            options(nostack, preserves_flags),
        );
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
unsafe fn relaxed(to: *mut u8, from: *const u8, len: usize, shared: Shared) {
    use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
    for i in 0..len {
        // SAFETY: `i` is below `len`, so both bytes are inside what the caller promises. The shared
        // one is only ever used through byte atomics or assembly by this library. Relaxed: the
        // contract above promises no order.
        unsafe {
            match shared {
                Shared::Source => {
                    *to.add(i) = AtomicU8::from_ptr(from.add(i).cast_mut()).load(Relaxed)
                }
                Shared::Destination => AtomicU8::from_ptr(to.add(i)).store(*from.add(i), Relaxed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_alignment_arrives_and_nothing_beside_it() {
        let pattern: Vec<u8> = (0..200u8).collect();
        for offset in 0..17 {
            for len in 0..150 {
                let mut shared = [0xaa; 200];
                let mut back = [0x55; 200];
                // SAFETY: offset + len stays below the 200 bytes of each array, and no other thread
                // knows of them.
                unsafe {
                    copy_in(pattern.as_ptr(), shared.as_mut_ptr().add(offset), len);
                    copy_out(shared.as_ptr().add(offset), back.as_mut_ptr(), len);
                }
                assert_eq!(&shared[offset..offset + len], &pattern[..len]);
                assert_eq!(&back[..len], &pattern[..len]);
                assert!(
                    shared[..offset]
                        .iter()
                        .chain(&shared[offset + len..])
                        .all(|&b| b == 0xaa)
                );
                assert!(back[len..].iter().all(|&b| b == 0x55));
            }
        }
    }
}
