//! A memory barrier in all processes at once: `membarrier(2)`.

use super::errno::check;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

const GLOBAL_EXPEDITED: libc::c_int = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: libc::c_int = 1 << 2;

/// Whether this process takes part. A child made by `fork` takes part if its parent does.
static TAKES_PART: AtomicBool = AtomicBool::new(false);

/// Makes this process take part: from now on, [`all_processes`] reaches its running threads. Does nothing if the
/// kernel is older than 4.16, or a seccomp policy forbids it.
pub fn take_part() {
    // Relaxed, both: the kernel registers the process before another thread can see this, and registering twice
    // does no harm.
    if !takes_part() && call(REGISTER_GLOBAL_EXPEDITED) {
        TAKES_PART.store(true, Relaxed);
    }
}

/// Returns whether [`all_processes`] reaches the threads of this process.
#[inline(always)]
pub fn takes_part() -> bool {
    // Relaxed: as in `take_part`.
    TAKES_PART.load(Relaxed)
}

/// Makes a full barrier in every running thread of every process that takes part. Returns false if the kernel cannot.
pub fn all_processes() -> bool {
    call(GLOBAL_EXPEDITED)
}

fn call(command: libc::c_int) -> bool {
    // SAFETY: it orders memory accesses and changes nothing.
    check(unsafe { libc::syscall(libc::SYS_membarrier, command, 0 as libc::c_uint, 0) }).is_ok()
}
