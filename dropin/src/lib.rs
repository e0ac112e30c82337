//! `ftok`, `shmget`, `shmat`, `shmdt` and `shmctl` under the names that programs call.
//!
//! Five names and no other: an unmodified program may have functions of its own called `shm_attach`
//! or `shm_remove`, and linking this must not clash with them. So this package depends on `shmkey-core`, which
//! has no C symbols, and not on `shmkey`.
//!
//! Nothing of Rust's standard library is in here: it would bring along thread-local variables, and calls of
//! libc's allocator, which a static program may have replaced by its own. (A build that unwinds, as for the
//! tests of other packages, has it, because without it Rust can only abort.)

#![cfg_attr(panic = "abort", no_std)]

mod trace;

use shmkey_core::{backend, explain, sys, sysv};

use libc::{c_char, c_int, c_void, key_t, shmid_ds, size_t};

// Each function has a second call, to libc, that is never made: a function whose signature differs from libc's does
// not compile.

/// Makes a key, as `ftok(3)` does.
///
/// # Safety
/// As the manual page says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftok(path: *const c_char, proj_id: c_int) -> key_t {
    // SAFETY: the caller keeps the manual page's contract, which both have.
    unsafe {
        if NEVER {
            libc::ftok(path, proj_id)
        } else if trace::is_on() {
            trace::ftok(path, proj_id)
        } else {
            sysv::ftok(path, proj_id)
        }
    }
}

/// Opens or creates a segment, as `shmget(2)` does.
///
/// # Safety
/// None; `unsafe` because libc's is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmget(key: key_t, size: size_t, flags: c_int) -> c_int {
    // SAFETY: three integers, checked by the kernel.
    unsafe {
        if NEVER {
            libc::shmget(key, size, flags)
        } else if trace::is_on() {
            trace::shmget(key, size, flags)
        } else {
            sysv::shmget(key, size, flags)
        }
    }
}

/// Attaches a segment, as `shmat(2)` does.
///
/// # Safety
/// As the manual page says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmat(id: c_int, addr: *const c_void, flags: c_int) -> *mut c_void {
    // SAFETY: the caller keeps the manual page's contract, which both have.
    unsafe {
        if NEVER {
            libc::shmat(id, addr, flags)
        } else if trace::is_on() {
            trace::shmat(id, addr, flags)
        } else {
            sysv::shmat(id, addr, flags)
        }
    }
}

/// Detaches a segment, as `shmdt(2)` does.
///
/// # Safety
/// As the manual page says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmdt(addr: *const c_void) -> c_int {
    // SAFETY: the caller keeps the manual page's contract, which both have.
    unsafe {
        if NEVER {
            libc::shmdt(addr)
        } else if trace::is_on() {
            trace::shmdt(addr)
        } else {
            sysv::shmdt(addr)
        }
    }
}

/// Asks about a segment or changes it, as `shmctl(2)` does.
///
/// # Safety
/// As the manual page says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmctl(id: c_int, command: c_int, buf: *mut shmid_ds) -> c_int {
    // SAFETY: the caller keeps the manual page's contract, which both have.
    unsafe {
        if NEVER {
            libc::shmctl(id, command, buf)
        } else if trace::is_on() {
            trace::shmctl(id, command, buf)
        } else {
            sysv::shmctl(id, command, buf)
        }
    }
}

/// Ends the program. No function here panics on any input.
#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: abort takes nothing and does not return.
    unsafe { libc::abort() }
}

/// libc's functions of these names are these functions, in a program that has loaded this library:
/// a call would never end.
const NEVER: bool = false;
