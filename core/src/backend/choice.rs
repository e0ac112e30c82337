//! Which backend this process uses.
//!
//! `SHMKEY_BACKEND` is `kernel`, `user` or `auto`. `auto`, which is also the meaning of an empty or unset variable, chooses
//! the kernel if it has the four calls. With any other value, every call fails with `EINVAL`. A program with more rights
//! than its caller (`AT_SECURE`) ignores the environment.
//!
//! To find out whether the kernel has the calls, `sys::probe` makes them with arguments that have no effect. Under a seccomp
//! filter, which may kill the caller, a child makes them.

use crate::sys::{self, Errno, Probe};
use core::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire},
};

/// What provides the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The kernel's System V IPC.
    Kernel,
    /// A directory of files.
    User,
}

/// The values of `CHOICE`.
const UNDECIDED: u32 = 0;
const KERNEL: u32 = 1;
const USER: u32 = 2;
/// `SHMKEY_BACKEND` has an unknown value.
const INVALID: u32 = 3;

static CHOICE: AtomicU32 = AtomicU32::new(UNDECIDED);

/// Returns the backend of this process. The first call decides. If `SHMKEY_BACKEND` has an unknown value, no backend is
/// chosen, and this returns the kernel's; see [`is_valid_choice`].
pub fn chosen() -> Backend {
    usable().unwrap_or(Backend::Kernel)
}

/// Returns whether `SHMKEY_BACKEND` has a known value. If not, every call fails with `EINVAL`.
pub fn is_valid_choice() -> bool {
    usable().is_ok()
}

/// Chooses the backend of this process, in place of `SHMKEY_BACKEND`. Returns `EBUSY` if the other one is already in
/// use.
pub fn choose(backend: Backend) -> Result<(), Errno> {
    let wanted = match backend {
        Backend::Kernel => KERNEL,
        Backend::User => USER,
    };
    if settle(wanted) == wanted {
        Ok(())
    } else {
        Err(Errno(libc::EBUSY))
    }
}

/// Returns the backend of this process; `EINVAL` if `SHMKEY_BACKEND` has an unknown value.
#[inline]
pub(super) fn usable() -> Result<Backend, Errno> {
    // Acquire: pairs with the release in `settle`, though nothing but the number depends on it.
    match CHOICE.load(Acquire) {
        KERNEL => Ok(Backend::Kernel),
        USER => Ok(Backend::User),
        _ => decide(),
    }
}

#[cold]
fn decide() -> Result<Backend, Errno> {
    let errno = Errno::last();
    let choice = match CHOICE.load(Acquire) {
        UNDECIDED => settle(wanted()),
        decided => decided,
    };
    // A call that succeeds leaves errno as it was.
    errno.set();
    match choice {
        KERNEL => Ok(Backend::Kernel),
        USER => Ok(Backend::User),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// Makes this the choice unless another thread was first. Returns the choice.
fn settle(choice: u32) -> u32 {
    // AcqRel: pairs with the loads of other threads.
    match CHOICE.compare_exchange(UNDECIDED, choice, AcqRel, Acquire) {
        Ok(_) => choice,
        Err(earlier) => earlier,
    }
}

/// Returns what the environment and the kernel say.
fn wanted() -> u32 {
    let mut word = [0; 16];
    match sys::variable(c"SHMKEY_BACKEND", &mut word) {
        Ok(None | Some(b"" | b"auto")) => automatic(),
        Ok(Some(b"kernel")) => KERNEL,
        Ok(Some(b"user")) => USER,
        Ok(Some(_)) | Err(_) => INVALID,
    }
}

fn automatic() -> u32 {
    let answer = if sys::has_seccomp_filter() == Some(false) {
        sys::probe_here()
    } else {
        sys::probe_in_child()
    };
    match answer {
        Probe::Answers => KERNEL,
        Probe::Refuses => USER,
    }
}
