//! The calling process, as the library knows it.

use super::failure::keeping_errno;
use crate::holder::Holder;

/// Returns a number of the calling process that no other process has while the machine is up. A child made by fork(2)
/// has another one, also where both have the same id in PID namespaces of their own. Before Linux 6.9 the number is
/// made of the id, the start time and the namespaces of the process, or is random.
///
/// Returns: the number, never 0.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_this_process() -> u64 {
    keeping_errno(|| Ok(Holder::this_process().bits())).unwrap_or(1)
}
