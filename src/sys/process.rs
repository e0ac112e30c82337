//! Who this process is.

/// The effective user id, which the kernel checks permissions against.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: geteuid takes nothing, changes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// In place of a PID namespace that cannot be told.
pub(crate) const NO_NAMESPACE: u64 = u64::MAX;

/// The PID namespace of this process, in which its thread ids mean something.
pub(crate) fn pid_namespace() -> u64 {
    super::file_id(c"/proc/self/ns/pid").map_or(NO_NAMESPACE, |file| file.inode)
}
