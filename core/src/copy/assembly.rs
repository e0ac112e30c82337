//! Copying in inline assembly: a few moves of up to 16 bytes for short lengths, and a call of libc's `memcpy`,
//! which has the fastest code for this processor, for long ones.
//!
//! x86-64 and AArch64 access every byte atomically, whatever the width of the move, and define the result of
//! accesses of different sizes to the same bytes. No piece of assembly has the option `nomem`: the compiler assumes
//! that it reads and writes all memory whose address is known elsewhere, and moves none of it across an atomic
//! access or a fence. The processor orders these plain loads and stores by the same fences as atomic accesses (on
//! AArch64 by `dmb`, `ldar` and `stlr`).

use core::arch::asm;

#[cfg(target_arch = "aarch64")]
use aarch64::{from_both_ends, through};
#[cfg(target_arch = "x86_64")]
use x86_64::{from_both_ends, through};

/// # Safety
/// As for `super::copy_out`.
#[inline(always)]
pub unsafe fn copy_out(shared: *const u8, private: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { copy(private, shared, len) }
}

/// # Safety
/// As for `super::copy_in`.
#[inline(always)]
pub unsafe fn copy_in(private: *const u8, shared: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { copy(shared, private, len) }
}

/// # Safety
/// `len` bytes must be readable at `from` and writable at `to`.
#[inline(always)]
unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller promises `len` bytes on both sides. Each move of 16 lies inside of them, and the functions are
    // called with what they need of them.
    unsafe {
        // The messages of one or two cache lines, which are the most frequent, come first.
        if len < 16 {
            short(to, from, len);
        } else if len <= 64 {
            if len > 32 {
                from_both_ends!(to, from, len, a 16, b 32, / c 16, d 0,);
            } else {
                from_both_ends!(to, from, len, a 16, / b 0,);
            }
        } else if len <= 128 {
            from_both_ends!(to, from, len, a 16, b 32, c 48, d 64, / e 48, f 32, g 16, h 0,);
        } else {
            long(to, from, len);
        }
    }
}

/// Copies up to 15 bytes by two moves, which overlap unless the length is a power of two.
///
/// # Safety
/// As for `copy`.
#[inline(always)]
unsafe fn short(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: each move lies inside the first `len` bytes on both sides.
    unsafe {
        match len {
            8.. => {
                through!(8, to.add(len - 8), from.add(len - 8));
                through!(8, to, from);
            }
            4.. => {
                through!(4, to.add(len - 4), from.add(len - 4));
                through!(4, to, from);
            }
            2.. => {
                through!(2, to.add(len - 2), from.add(len - 2));
                through!(2, to, from);
            }
            1 => through!(1, to, from),
            0 => {}
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    /// Moves 1, 2, 4 or 8 bytes through a register.
    macro_rules! through {
        (8, $to:expr, $from:expr) => { through!(reg, "qword", "r", $to, $from) };
        (4, $to:expr, $from:expr) => { through!(reg, "dword", "e", $to, $from) };
        (2, $to:expr, $from:expr) => { through!(reg, "word", "x", $to, $from) };
        (1, $to:expr, $from:expr) => { through!(reg_byte, "byte", "", $to, $from) };
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
    pub(super) use through;

    /// Moves 16 bytes at a time, as many from the end as from the beginning, which meet or overlap. Writes the first
    /// bytes last: they may share a cache line with a word that another processor polls, and that line then moves
    /// here once and not twice.
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
    pub(super) use from_both_ends;
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    /// Moves 1, 2, 4 or 8 bytes through a register. AArch64 allows that at any address.
    macro_rules! through {
        (8, $to:expr, $from:expr) => { through!("ldr", "str", "x", $to, $from) };
        (4, $to:expr, $from:expr) => { through!("ldr", "str", "w", $to, $from) };
        (2, $to:expr, $from:expr) => { through!("ldrh", "strh", "w", $to, $from) };
        (1, $to:expr, $from:expr) => { through!("ldrb", "strb", "w", $to, $from) };
        ($load:literal, $store:literal, $width:literal, $to:expr, $from:expr) => {
            asm!(
                concat!($load, " {value:", $width, "}, [{from}]"),
                concat!($store, " {value:", $width, "}, [{to}]"),
                value = out(reg) _,
                from = in(reg) $from,
                to = in(reg) $to,
                options(nostack, preserves_flags),
            )
        };
    }
    pub(super) use through;

    /// As on x86-64.
    macro_rules! from_both_ends {
        ($to:expr, $from:expr, $len:expr, $($a:ident $end:literal,)+ / $($b:ident $start:literal,)+) => {
            asm!(
                $(concat!("ldur {", stringify!($a), ":q}, [{from_end}, #-", $end, "]"),)+
                $(concat!("ldr {", stringify!($b), ":q}, [{from}, #", $start, "]"),)+
                $(concat!("stur {", stringify!($a), ":q}, [{to_end}, #-", $end, "]"),)+
                $(concat!("str {", stringify!($b), ":q}, [{to}, #", $start, "]"),)+
                $($a = out(vreg) _,)+
                $($b = out(vreg) _,)+
                from = in(reg) $from,
                to = in(reg) $to,
                from_end = in(reg) $from.add($len),
                to_end = in(reg) $to.add($len),
                options(nostack, preserves_flags),
            )
        };
    }
    pub(super) use from_both_ends;
}

/// Copies any length by libc's `memcpy`.
///
/// # Safety
/// As for `copy`.
#[inline(always)]
unsafe fn long(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: this calls `memcpy` by C's calling convention: the three arguments are in their registers, the
    // registers that it may change are marked as changed, and the stack is aligned, as always without `nostack`. Its
    // code is libc's, so the compiler assumes nothing of the bytes.
    #[cfg(target_arch = "x86_64")]
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
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "blr {memcpy}",
            memcpy = in(reg) libc::memcpy as *const (),
            inout("x0") to => _,
            inout("x1") from => _,
            inout("x2") len => _,
            clobber_abi("C"),
        );
    }
}

/// All x86-64 and AArch64 processors have the instruction; on some it does nothing.
#[inline(always)]
pub fn fetch_to_write(address: *mut u8) {
    // SAFETY: the instruction accesses no memory as far as a program can see, and never faults.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("prefetchw [{address}]", address = in(reg) address, options(nostack, preserves_flags));
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("prfm pstl1keep, [{address}]", address = in(reg) address, options(nostack, preserves_flags));
    }
}
