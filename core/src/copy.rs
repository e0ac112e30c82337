//! Copying between this process and memory that others write at the same time.
//!
//! The compiler assumes that no other thread writes the memory of a `memcpy` or a `&[u8]` at the same time. A
//! segment gives no such promise. These two functions may be called at any time: they access each byte once or
//! more, as relaxed atomics do, in no particular order. Bytes of different writers can mix, which the caller must
//! prevent or detect, but the behaviour of this process is always defined.
//!
//! On x86-64 and AArch64, inline assembly copies (`assembly`): the processor allows accesses of different sizes to
//! the same bytes, which Rust's atomics do not. Elsewhere, and under Miri and ThreadSanitizer, which must see
//! the accesses, atomics copy word by word (`words`).

#[cfg(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(any(miri, shmkey_tsan))
))]
mod assembly;
#[cfg(any(
    test,
    not(all(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        not(any(miri, shmkey_tsan))
    ))
))]
mod words;

#[cfg(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(any(miri, shmkey_tsan))
))]
use assembly as way;
#[cfg(not(all(
    any(target_arch = "x86_64", target_arch = "aarch64"),
    not(any(miri, shmkey_tsan))
)))]
use words as way;

/// Copies `len` bytes out of a segment.
///
/// # Safety
/// `shared` must be readable for `len` bytes and for the rest of each aligned word of 8 bytes that
/// they begin or end in, as the pages of a segment are; `private` writable for `len` bytes that no
/// other thread of this process uses at the same time. `private` may lie in shared memory, too.
#[inline(always)]
pub unsafe fn copy_out(shared: *const u8, private: *mut u8, len: usize) {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { way::copy_out(shared, private, len) }
}

/// Copies `len` bytes into a segment.
///
/// # Safety
/// `shared` must be readable and writable for `len` bytes and for the rest of each aligned word of 8
/// bytes that they begin or end in, as the pages of a segment are; `private` readable for `len` bytes
/// that no other thread of this process writes at the same time. `private` may lie in shared memory,
/// too.
#[inline(always)]
pub unsafe fn copy_in(private: *const u8, shared: *mut u8, len: usize) {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { way::copy_in(private, shared, len) }
}

/// Hints to the processor that the cache line of an address will be written soon. The address need not be
/// valid.
#[inline(always)]
pub fn fetch_to_write(address: *mut u8) {
    way::fetch_to_write(address);
}

#[cfg(test)]
mod tests {
    use super::*;

    type Copy = unsafe fn(*const u8, *mut u8, usize);

    /// The implementations of `copy_in` and `copy_out` in this build.
    fn ways() -> [[Copy; 2]; 2] {
        [
            [copy_in, copy_out],
            [words::copy_in, words::copy_out], // what other processors have
        ]
    }

    /// Miri is slow.
    const STEP: usize = if cfg!(miri) { 5 } else { 1 };

    /// Room for the test's bytes and their neighbours, aligned like a segment.
    #[repr(align(64))]
    struct Shared([u8; 208]);

    #[test]
    fn every_length_and_alignment_arrives_and_nothing_beside_it() {
        let pattern: Vec<u8> = (0..200u8).collect();
        for [copy_in, copy_out] in ways() {
            for offset in (0..17).step_by(STEP) {
                for len in (0..180).step_by(STEP) {
                    let mut shared = Shared([0xaa; 208]);
                    let mut back = [0x55; 200];
                    let address = shared.0.as_mut_ptr();
                    // SAFETY: offset + len stays below the size of each array, also when it is rounded
                    // up to a whole word, and no other thread knows of them.
                    unsafe {
                        copy_in(pattern.as_ptr(), address.add(offset), len);
                        copy_out(address.add(offset), back.as_mut_ptr(), len);
                    }
                    let shared = shared.0;
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

    #[test]
    fn a_long_copy_arrives() {
        let pattern: Vec<u8> = (0..70_001u32 / STEP.pow(3) as u32)
            .map(|i| (i % 251) as u8)
            .collect();
        for [copy_in, copy_out] in ways() {
            let mut shared = vec![0u64; 9_000];
            let mut back = vec![0; pattern.len()];
            // SAFETY: 3 + 70,001 bytes are fewer than 72,000, and no other thread knows of them.
            unsafe {
                let address = shared.as_mut_ptr().cast::<u8>().add(3);
                copy_in(pattern.as_ptr(), address, pattern.len());
                copy_out(address, back.as_mut_ptr(), back.len());
            }
            assert!(back == pattern);
        }
    }
}
