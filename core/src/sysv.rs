//! `ftok`, `shmget`, `shmat`, `shmdt` and `shmctl`, to the letter: C's types, C's conventions, the
//! kernel's and glibc's behaviour.
//!
//! The drop-in exports these functions under the names that unmodified programs call, and Rust code that ports
//! such a program line by line can call them. Other code is better served by `shmkey::Segment`.
//!
//! All five return −1 ([`shmat`] `(void *) -1`) and set `errno` on failure; on success they leave `errno`
//! unchanged. They may be called from any thread, after `fork` and in signal handlers: they allocate, lock and
//! keep nothing. Source: `ftok(3)`, `shmget(2)`, `shmop(2)`, `shmctl(2)`.

use crate::{
    backend,
    sys::{self, Errno},
};
use core::ffi::{c_char, c_int, c_void};

/// `ftok(3)`: makes a key from a file that exists and the low eight bits of a project id. Accepts every id, also 0.
///
/// # Safety
/// None for this process's memory: the kernel reads the path, and returns `EFAULT` for an invalid pointer.
#[inline]
pub unsafe fn ftok(path: *const c_char, proj_id: c_int) -> libc::key_t {
    // SAFETY: file_id_at accepts every pointer.
    answer(unsafe { sys::file_id_at(path) }.map(|file| file.ftok(proj_id)))
}

/// `shmget(2)`: returns the id of the segment with this key. Creates it if the flags say so.
#[inline]
pub fn shmget(key: libc::key_t, size: usize, flags: c_int) -> c_int {
    answer(backend::create_or_get(key, size, flags))
}

/// `shmat(2)`: attaches a segment.
///
/// # Safety
/// With `SHM_REMAP`, `addr` must be memory that is no longer in use. Without it, none.
#[inline]
pub unsafe fn shmat(id: c_int, addr: *const c_void, flags: c_int) -> *mut c_void {
    // SAFETY: the caller vouches for SHM_REMAP.
    match unsafe { backend::attach(id, addr, flags) } {
        Ok(address) => address,
        Err(errno) => {
            errno.set();
            usize::MAX as *mut c_void
        }
    }
}

/// `shmdt(2)`: detaches the segment at `addr`.
///
/// # Safety
/// That memory must not be used from now on.
#[inline]
pub unsafe fn shmdt(addr: *const c_void) -> c_int {
    // SAFETY: the caller no longer uses the memory.
    answer(unsafe { backend::detach(addr) }.map(|()| 0))
}

/// `shmctl(2)`: reads, changes or removes a segment.
///
/// # Safety
/// `buf` must suit the command, as its manual page says.
#[inline]
pub unsafe fn shmctl(id: c_int, command: c_int, buf: *mut libc::shmid_ds) -> c_int {
    // SAFETY: the caller provides what the command needs.
    answer(unsafe { backend::control(id, command, buf.cast()) })
}

fn answer(result: Result<c_int, Errno>) -> c_int {
    result.unwrap_or_else(|errno| {
        errno.set();
        -1
    })
}
