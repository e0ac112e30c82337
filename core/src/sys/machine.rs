//! The limits of the machine and of this process, and how much of them is in use. `None` stands for unknown.

use super::{
    Errno,
    file::Path,
    lines::{for_each_line, number_after, number_in, word_after},
};
use core::{mem::MaybeUninit, ops::ControlFlow};

/// The memory of the machine, in KiB, from `/proc/meminfo`.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub ram: u64,
    pub swap: u64,
    /// How much the kernel may commit to processes if `strict`.
    pub commit_limit: u64,
    pub committed: u64,
    /// `vm.overcommit_memory` is 2: the kernel enforces `commit_limit`.
    pub strict: bool,
}

/// Returns the machine's memory.
pub fn memory() -> Option<Memory> {
    let field = |name| number_after(c"/proc/meminfo", name);
    Some(Memory {
        ram: field("MemTotal:")?,
        swap: field("SwapTotal:")?,
        commit_limit: field("CommitLimit:")?,
        committed: field("Committed_AS:")?,
        strict: number_in(c"/proc/sys/vm/overcommit_memory")? == 2,
    })
}

/// Returns the default size of a huge page, in KiB.
pub fn huge_page_kib() -> Option<u64> {
    number_after(c"/proc/meminfo", "Hugepagesize:")
}

/// Returns the group whose members may create segments of huge pages.
pub fn huge_page_group() -> Option<u32> {
    let group = number_in(c"/proc/sys/vm/hugetlb_shm_group")?;
    u32::try_from(group).ok()
}

/// Returns the number of huge pages of a size, and how many of them are neither in use nor reserved. `Ok(None)` if
/// the system has none of that size.
pub fn huge_pages(kib: u64) -> Result<Option<(u64, u64)>, Errno> {
    let read = |file| {
        let path = format_args!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/{file}");
        number_in(Path::new(path)?.as_c_str())
    };
    let files = ["nr_hugepages", "free_hugepages", "resv_hugepages"];
    match files.map(read) {
        [Some(total), Some(free), Some(reserved)] => {
            Ok(Some((total, free.saturating_sub(reserved))))
        }
        // Either there is no such directory, or none can be read for any size.
        _ => super::file_id(c"/sys/kernel/mm/hugepages").map(|_| None),
    }
}

/// Returns the limit on this process's address space in bytes (`RLIMIT_AS`), and how much it uses. `None` also if
/// there is no limit.
pub fn address_space() -> Option<(u64, u64)> {
    let limit = resource_limit(|limit| {
        // SAFETY: there is room for one rlimit.
        unsafe { libc::getrlimit(libc::RLIMIT_AS, limit) }
    })?;
    let pages = number_in(c"/proc/self/statm")?;
    Some((limit, pages.saturating_mul(super::page_size() as u64)))
}

/// Returns the limit on locked memory in bytes (`RLIMIT_MEMLOCK`), if there is one.
pub fn locked_limit() -> Option<u64> {
    resource_limit(|limit| {
        // SAFETY: there is room for one rlimit.
        unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, limit) }
    })
}

/// Returns the limit that `get` stores, if it is one. A closure calls `getrlimit`, because the type of its first
/// argument differs between libcs.
fn resource_limit(get: impl FnOnce(*mut libc::rlimit) -> libc::c_int) -> Option<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    if get(limit.as_mut_ptr()) != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it is filled.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    (limit != libc::RLIM_INFINITY).then_some(limit)
}

/// Returns how many mappings a process may have (`vm.max_map_count`).
pub fn mappings_limit() -> Option<u64> {
    number_in(c"/proc/sys/vm/max_map_count")
}

/// Returns the lowest address that a process without `CAP_SYS_RAWIO` may map (`vm.mmap_min_addr`).
pub fn lowest_address() -> Option<usize> {
    number_in(c"/proc/sys/vm/mmap_min_addr").map(|lowest| lowest as usize)
}

/// Returns whether this thread has a seccomp filter.
pub fn has_seccomp_filter() -> Option<bool> {
    number_after(c"/proc/thread-self/status", "Seccomp:").map(|mode| mode == 2)
}

/// Returns the signals that are pending for this thread alone and not for its process: bit `n - 1` stands for
/// signal `n`.
pub fn pending_for_thread() -> Option<u64> {
    let hexadecimal = |word: &str| u64::from_str_radix(word, 16).ok();
    word_after(c"/proc/thread-self/status", "SigPnd:", 0, hexadecimal)
}

/// Returns whether the kernel was built with System V IPC.
pub fn has_system_v_ipc() -> Option<bool> {
    match super::file_id(c"/proc/sysvipc/shm") {
        Ok(_) => Some(true),
        // The absence of a file shows that only if /proc is mounted.
        Err(Errno(libc::ENOENT)) => super::file_id(c"/proc/self/stat").ok().map(|_| false),
        Err(_) => None,
    }
}

/// Returns the name of a user from `/etc/passwd`, if it fits into the buffer. Consults no other source, because
/// that may need a network.
pub fn user_name(uid: u32, buffer: &mut [u8; 32]) -> Option<&str> {
    let mut len = None;
    let _ = for_each_line(c"/etc/passwd", |line| {
        // name:password:uid:…
        let mut fields = line.split(|&byte| byte == b':');
        let (name, id) = (fields.next().unwrap_or_default(), fields.nth(1));
        let id = id.and_then(|id| core::str::from_utf8(id).ok()?.parse().ok());
        if id != Some(uid) {
            return ControlFlow::Continue(());
        }
        if let Some(place) = buffer.get_mut(..name.len()) {
            place.copy_from_slice(name);
            len = Some(name.len());
        }
        ControlFlow::Break(())
    });
    core::str::from_utf8(&buffer[..len?]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_this_machine_are_read() {
        let memory = memory().unwrap();
        assert!(memory.ram > 0 && memory.commit_limit > 0);
        assert_eq!(huge_pages(12345), Ok(None));
        assert!(mappings_limit().unwrap() > 1000);
        assert!(has_seccomp_filter().is_some());
        let mut buffer = [0; 32];
        assert_eq!(user_name(0, &mut buffer), Some("root"));
        assert_eq!(user_name(4_000_000_123, &mut buffer), None);
    }
}
