//! `EPERM`: whether the kernel's ownership rules forbid a call, and other causes if they do not. The
//! rules are those of `ipcctl_obtain_check` in the kernel's ipc/util.c.

use super::{Cause, cause};
use crate::sys::{self, Capability};

/// Returns the cause of `EPERM` for removing, changing or locking a segment.
pub(super) fn not_yours(record: &libc::shmid_ds, locking: bool) -> Cause {
    let (owner, creator) = (record.shm_perm.uid, record.shm_perm.cuid);
    let user = sys::effective_user();
    let (wanted, capability) = if locking {
        (Capability::IpcLock, "CAP_IPC_LOCK")
    } else {
        (Capability::SysAdmin, "CAP_SYS_ADMIN")
    };
    match sys::may_override(wanted) {
        Some(false) if user != owner && user != creator => Cause::NotYours {
            owner,
            creator,
            user,
            capability,
        },
        Some(false) if locking && sys::locked_limit() == Some(0) => {
            Cause::Plain(cause::LOCKED_NONE)
        }
        _ => refused(),
    }
}

/// Returns the cause of `EPERM` if the call's own rules do not forbid it, or are unknown.
pub(super) fn refused() -> Cause {
    match sys::has_seccomp_filter() {
        Some(true) => Cause::Plain(cause::FILTER),
        Some(false) => Cause::Plain(
            "no seccomp filter is installed; check for a security module (AppArmor, SELinux) or a \
             sandbox that forbids the call",
        ),
        None => Cause::Plain(
            "a seccomp filter or a security module may forbid the call; which is unknown, because \
             /proc cannot be read",
        ),
    }
}
