//! Copying between this process and memory that others write at the same time.
//!
//! An ordinary `memcpy` (or a `&[u8]`) may only touch memory that nobody writes meanwhile: the
//! compiler relies on it. A segment gives no such promise. These two functions may be called at any
//! time: each byte is read or written once or more, as a relaxed atomic access of one byte would,
//! in no particular order. Bytes of different writers can mix; that is for the caller to prevent,
//! and never this process' undefined behaviour.
//!
//! On x86-64 the copy is done by instructions that the compiler does not look into: a few moves of
//! 16 bytes for short lengths, and for long ones a call of libc's `memcpy`, which picks the fastest
//! way for this processor. Elsewhere it is the loop of byte atomics that they stand for; also under
//! miri and ThreadSanitizer, which want to see it.

/// Copies `len` bytes out of a segment.
///
/// # Safety
/// `shared` must be readable for `len` bytes, and `private` writable for as many that nobody else
/// uses meanwhile.
#[inline(always)]
pub(crate) unsafe fn copy_out(shared: *const u8, private: *mut u8, len: usize) {
    // SAFETY: the caller's promise is the one that `relaxed` asks for.
    unsafe { relaxed(private, shared, len, Shared::Source) }
}

/// Copies `len` bytes into a segment.
///
/// # Safety
/// `shared` must be writable for `len` bytes, and `private` readable for as many that nobody writes
/// meanwhile.
#[inline(always)]
pub(crate) unsafe fn copy_in(private: *const u8, shared: *mut u8, len: usize) {
    // SAFETY: the caller's promise is the one that `relaxed` asks for.
    unsafe { relaxed(shared, private, len, Shared::Destination) }
}

/// Asks the processor for the line of the cache that an address lies in, to be written soon. A hint:
/// it changes nothing, and the address may be anything. All x86-64 processors have the instruction,
/// some as one that does nothing.
#[inline(always)]
pub(crate) fn fetch_to_write(address: *mut u8) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, shmkey_tsan))))]
    // SAFETY: the instruction accesses no memory as far as a program can see, and never faults.
    unsafe {
        core::arch::asm!(
            "prefetchw [{address}]",
            address = in(reg) address,
            options(nostack, preserves_flags),
        );
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, shmkey_tsan)))))]
    let _ = address;
}

/// Which side others may use meanwhile.
#[cfg_attr(
    all(target_arch = "x86_64", not(any(miri, shmkey_tsan))),
    allow(dead_code)
)]
enum Shared {
    Source,
    Destination,
}

/// The processor accesses every byte atomically, whatever the width of the move; and each piece of
/// assembly is without `nomem`: the compiler assumes that any memory whose address is known
/// elsewhere was read and written.
#[cfg(all(target_arch = "x86_64", not(any(miri, shmkey_tsan))))]
#[inline(always)]
unsafe fn relaxed(to: *mut u8, from: *const u8, len: usize, _: Shared) {
    // SAFETY: the caller promises `len` bytes on both sides, and each of these is called with what
    // it needs of them.
    unsafe {
        match len {
            0..16 => x86_64::short(to, from, len),
            16..=128 => x86_64::medium(to, from, len),
            _ => x86_64::long(to, from, len),
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(any(miri, shmkey_tsan))))]
mod x86_64 {
    use core::arch::asm;

    /// A move through a register, of 1, 2, 4 or 8 bytes.
    macro_rules! through {
        ($class:ident, $size:literal, $modifier:literal, $to:expr, $from:expr) => {
            asm!(
                concat!("mov {value:", $modifier, "}, ", $size, " ptr [{from}]"),
                concat!("mov ", $size, " ptr [{to}], {value:", $modifier, "}"),
                value = out($class) _,
                from = in(reg) $from,
                to = in(reg) $to,
                options(nostack, preserves_flags),
            )
        };
    }

    /// Up to 15 bytes: two moves, which overlap unless the length is a power of two.
    ///
    /// # Safety
    /// As for `relaxed`.
    #[inline(always)]
    pub unsafe fn short(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: each move lies inside the first `len` bytes on both sides.
        unsafe {
            match len {
                8.. => {
                    through!(reg, "qword", "r", to.add(len - 8), from.add(len - 8));
                    through!(reg, "qword", "r", to, from);
                }
                4.. => {
                    through!(reg, "dword", "e", to.add(len - 4), from.add(len - 4));
                    through!(reg, "dword", "e", to, from);
                }
                2.. => {
                    through!(reg, "word", "x", to.add(len - 2), from.add(len - 2));
                    through!(reg, "word", "x", to, from);
                }
                1 => through!(reg_byte, "byte", "", to, from),
                0 => {}
            }
        }
    }

    /// Moves of 16 bytes, as many at the end as at the beginning, which meet or overlap. The first
    /// bytes are written last: where they lie in one line of the cache with a word that somebody
    /// waits for, that line is taken from there once, and not twice.
    macro_rules! from_both_ends {
        ($to:expr, $from:expr, $len:expr, $($a:ident $end:literal,)+ / $($b:ident $start:literal,)+) => {
            asm!(
                $(concat!("movups {", stringify!($a), "}, [{from} + {len} - ", $end, "]"),)+
                $(concat!("movups {", stringify!($b), "}, [{from} + ", $start, "]"),)+
                $(concat!("movups [{to} + {len} - ", $end, "], {", stringify!($a), "}"),)+
                $(concat!("movups [{to} + ", $start, "], {", stringify!($b), "}"),)+
                $($a = out(xmm_reg) _,)+
                $($b = out(xmm_reg) _,)+
                from = in(reg) $from,
                to = in(reg) $to,
                len = in(reg) $len,
                options(nostack, preserves_flags),
            )
        };
    }

    /// 16 to 128 bytes.
    ///
    /// # Safety
    /// As for `relaxed`, with a length in this range.
    #[inline(always)]
    pub unsafe fn medium(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: each move of 16 lies inside the first `len` bytes on both sides.
        unsafe {
            match len {
                ..=32 => from_both_ends!(to, from, len, a 16, / b 0,),
                33..=64 => from_both_ends!(to, from, len, a 16, b 32, / c 16, d 0,),
                _ => from_both_ends!(
                    to, from, len,
                    a 16, b 32, c 48, d 64, / e 48, f 32, g 16, h 0,
                ),
            }
        }
    }

    /// Any length, by libc.
    ///
    /// # Safety
    /// As for `relaxed`.
    #[inline(always)]
    pub unsafe fn long(to: *mut u8, from: *const u8, len: usize) {
        // SAFETY: `memcpy` is called as C calls it: its three arguments in their registers, the
        // registers that it may change marked as changed, and the stack aligned, as it is in
        // assembly without `nostack`. It is assembly itself, so nothing is assumed of the bytes.
        unsafe {
            asm!(
                "call {memcpy}",
                memcpy = in(reg) libc::memcpy as *const (),
                inout("rdi") to => _,
                inout("rsi") from => _,
                inout("rdx") len => _,
                clobber_abi("C"),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", not(any(miri, shmkey_tsan)))))]
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
            for len in 0..180 {
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
