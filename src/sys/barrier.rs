//! A memory barrier in all processes at once: `membarrier(2)`.

use super::errno::check;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

const GLOBAL_EXPEDITED: libc::c_int = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: libc::c_int = 1 << 2;

/// Has this process take part: from now on, its running threads are reached by
/// [`all_processes`]. Children made by `fork` are registered with it. Where the kernel is older
/// than 4.16 or a seccomp policy forbids it, nothing happens.
pub(crate) fn take_part() {
    static DONE: AtomicBool = AtomicBool::new(false);
    // Relaxed: says nothing of other memory, and doing it twice does no harm.
    if !DONE.swap(true, Relaxed) {
        call(REGISTER_GLOBAL_EXPEDITED);
    }
}

/// A full barrier in every running thread of every process that takes part.
pub(crate) fn all_processes() {
    call(GLOBAL_EXPEDITED);
}

fn call(command: libc::c_int) {
    // SAFETY: it orders memory accesses and changes nothing.
    let _ = check(unsafe { libc::syscall(libc::SYS_membarrier, command, 0 as libc::c_uint, 0) });
}
