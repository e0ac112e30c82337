//! The rights of this thread: its user, groups and capabilities, and the users that its namespace knows. `None`
//! stands for unknown.

use super::{
    Errno,
    errno::check,
    file::Descriptor,
    lines::{for_each_line, word_after},
};
use core::{ffi::CStr, ops::ControlFlow, str};

/// Returns the effective user id, which the kernel checks permissions against.
pub fn effective_user() -> u32 {
    // SAFETY: geteuid takes nothing, changes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_geteuid) as u32 }
}

/// Returns whether this thread is in a group; `None` also if it is in more than 256.
pub fn is_in_group(group: u32) -> Option<bool> {
    const STATUS: &CStr = c"/proc/thread-self/status";
    // The fields are the real, effective, saved and filesystem group. The kernel checks the last one, which equals
    // the effective one unless setfsgid(2) was called.
    let parse = |word: &str| word.parse::<u32>().ok();
    if word_after(STATUS, "Gid:", 3, parse)? == group {
        return Some(true);
    }
    let mut groups = [0_u32; 256];
    // SAFETY: the kernel writes at most `groups.len()` groups.
    let count =
        check(unsafe { libc::syscall(libc::SYS_getgroups, groups.len(), groups.as_mut_ptr()) });
    Some(groups.get(..count.ok()? as usize)?.contains(&group))
}

/// A capability, with the number of its bit; see capabilities(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    IpcLock = 14,
    IpcOwner = 15,
    SysRawio = 17,
    SysAdmin = 21,
}

/// Returns whether this thread has a capability over the segments in its IPC namespace. In a user namespace that
/// does not own the IPC namespace it has none, whatever `/proc/thread-self/status` shows.
pub fn may_override(capability: Capability) -> Option<bool> {
    if has(capability)? {
        is_over_ipc()
    } else {
        Some(false)
    }
}

/// Returns whether this thread has a capability over the whole machine, which requires the initial user namespace.
pub fn is_privileged(capability: Capability) -> Option<bool> {
    /// The inode number of the initial user namespace, the same on every system (`<linux/nsfs.h>`).
    const INITIAL: u64 = 0xefff_fffd;
    let namespace = super::file_id(c"/proc/self/ns/user");
    Some(has(capability)? && namespace.ok()?.inode == INITIAL)
}

fn has(capability: Capability) -> Option<bool> {
    let hexadecimal = |word: &str| u64::from_str_radix(word, 16).ok();
    let all = word_after(c"/proc/thread-self/status", "CapEff:", 0, hexadecimal)?;
    Some(all & 1 << capability as u32 != 0)
}

/// Returns whether this thread's user namespace, or one below it, owns the IPC namespace.
fn is_over_ipc() -> Option<bool> {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    let namespace = Descriptor::open(c"/proc/thread-self/ns/ipc").ok()?;
    // SAFETY: this ioctl takes nothing and returns a new descriptor.
    let owner = check(unsafe { libc::syscall(libc::SYS_ioctl, namespace.0, NS_GET_USERNS) });
    match owner.map(Descriptor) {
        Ok(_) => Some(true),
        // The kernel refuses it for those user namespaces alone that are neither this one nor below it.
        Err(Errno(libc::EPERM)) => Some(false),
        Err(_) => None,
    }
}

/// Returns whether this user namespace knows a user. The kernel shows all unknown users as one number, which is
/// unknown, too.
pub fn knows_user(user: u32) -> Option<bool> {
    is_mapped(c"/proc/self/uid_map", user)
}

/// Returns whether this user namespace knows a group.
pub fn knows_group(group: u32) -> Option<bool> {
    is_mapped(c"/proc/self/gid_map", group)
}

/// Returns whether an id is in one of the ranges of such a file, whose lines are `first outside count`.
fn is_mapped(map: &CStr, id: u32) -> Option<bool> {
    let mut found = false;
    for_each_line(map, |line| {
        let mut numbers = str::from_utf8(line)
            .unwrap_or_default()
            .split_ascii_whitespace()
            .filter_map(|word| word.parse::<u32>().ok());
        if let (Some(first), Some(count)) = (numbers.next(), numbers.nth(1)) {
            found |= id.checked_sub(first).is_some_and(|offset| offset < count);
        }
        ControlFlow::Continue(())
    })
    .ok()?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_thread_is_known_to_itself() {
        // SAFETY: these take nothing and cannot fail.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        assert_eq!(effective_user(), user);
        assert_eq!(is_in_group(group), Some(true));
        assert_eq!(is_in_group(4_000_000_123), Some(false));
        assert_eq!(knows_user(user), Some(true));
        assert_eq!(knows_user(u32::MAX), Some(false));
        assert!(may_override(Capability::IpcOwner).is_some());
    }
}
