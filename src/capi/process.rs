//! The calling process, as the library knows it.

use super::failure::keeping_errno;
use crate::object::holder::Holder;

/// A number of the calling process, which no other process has as long as the machine is up: a
/// child made by fork() has another one, also where both have the same id in PID namespaces of their own.
/// Before Linux 6.9 it is made of the id, the start time and the namespaces of the process, or is random.
///
/// Returns: the number, never 0.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_this_process() -> u64 {
    keeping_errno(|| Ok(Holder::this_process().bits())).unwrap_or(1)
}
