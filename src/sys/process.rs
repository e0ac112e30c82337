//! Who this process is.

/// The effective user id, which the kernel checks permissions against.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: geteuid takes nothing, changes nothing and cannot fail.
    unsafe { libc::geteuid() }
}
