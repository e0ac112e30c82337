//! Permissions, by the rules of `ipcperms` and `ipcctl_obtain_check` in the kernel's ipc/util.c.

use crate::sys::{self, Capability};

/// A segment's owner, creator and mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permissions {
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    pub creating_user: u32,
    pub creating_group: u32,
}

impl Permissions {
    /// Returns whether the caller lacks one of the permissions that a mode or flags of `shmget(2)` ask for: 0444 asks
    /// for reading, 0222 for writing.
    pub(super) fn deny(&self, flags: i32) -> bool {
        let wanted = (flags >> 6 | flags >> 3 | flags) as u32 & 7;
        if wanted == 0 {
            return false;
        }
        let user = sys::effective_user();
        let shift = if user == self.creating_user || user == self.user {
            6
        } else if sys::is_member(self.creating_group) || sys::is_member(self.group) {
            3
        } else {
            0
        };
        wanted & !(self.mode >> shift) & 7 != 0 && !sys::is_capable(Capability::IpcOwner)
    }

    /// Returns whether the caller is the owner or the creator.
    pub(super) fn is_owner(&self) -> bool {
        let user = sys::effective_user();
        user == self.user || user == self.creating_user
    }

    /// Returns whether the caller may change or remove the segment.
    pub(super) fn may_change(&self) -> bool {
        self.is_owner() || sys::is_capable(Capability::SysAdmin)
    }
}
