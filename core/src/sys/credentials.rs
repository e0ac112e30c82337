//! The rights of this thread, asked of the kernel by system calls alone: `/proc` may be missing.

use super::{Capability, Scratch, errno::check};

/// Returns the effective group id.
pub fn effective_group() -> u32 {
    // SAFETY: getegid takes nothing, changes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_getegid) as u32 }
}

/// Returns whether this thread is in a group.
pub fn is_member(group: u32) -> bool {
    if effective_group() == group {
        return true;
    }
    let mut groups = [0; 64];
    match groups_into(&mut groups) {
        Some(count) => contains(groups.get(..count), group),
        None => is_in_many(group),
    }
}

/// Does the same for a thread that is in many groups.
#[cold]
fn is_in_many(group: u32) -> bool {
    /// NGROUPS_MAX of <linux/limits.h>.
    const MOST: usize = 65536;
    let Ok(mut room) = Scratch::new(MOST) else {
        return false;
    };
    match groups_into(room.numbers_mut()) {
        Some(count) => contains(room.numbers().get(..count), group),
        None => false,
    }
}

fn contains(groups: Option<&[i32]>, group: u32) -> bool {
    groups.is_some_and(|groups| groups.iter().any(|&other| other as u32 == group))
}

/// Copies this thread's supplementary groups. Returns their number; `None` if there is not room for all.
fn groups_into(groups: &mut [i32]) -> Option<usize> {
    // SAFETY: the kernel writes at most `groups.len()` groups, which are 32 bits wide.
    let count =
        check(unsafe { libc::syscall(libc::SYS_getgroups, groups.len(), groups.as_mut_ptr()) });
    count.ok().map(|count| count as usize)
}

/// Returns whether this thread has a capability in its user namespace.
pub fn is_capable(capability: Capability) -> bool {
    /// Version 3 of the structures of capget(2): two sets of 32 bits.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    // Effective, permitted and inheritable, of the low and of the high capabilities.
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: the header is one of version 3, and the kernel writes two sets for it.
    let got =
        check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) });
    got.is_ok() && sets[0][0] & 1 << capability as u32 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    #[test]
    fn these_answers_agree_with_those_of_proc() {
        assert!(is_member(effective_group()));
        assert!(!is_member(4_000_000_123));
        assert!(!is_in_many(4_000_000_123));
        for capability in [Capability::IpcOwner, Capability::SysAdmin] {
            let over_ipc = sys::may_override(capability);
            assert!(over_ipc != Some(true) || is_capable(capability));
        }
    }
}
