//! What the machine and this process are allowed, and how much of it is in use. `None` where it
//! cannot be read.

use super::{
    Errno,
    file::Path,
    lines::{for_each_line, number_after, number_in, word_after},
};
use core::{mem::MaybeUninit, ops::ControlFlow};

/// Memory that processes may have, in KiB, as `/proc/meminfo` tells it.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub ram: u64,
    pub swap: u64,
    /// How much may be promised to processes, which counts if `strict`.
    pub commit_limit: u64,
    pub committed: u64,
    /// `vm.overcommit_memory` is 2: no more is promised than there is.
    pub strict: bool,
}

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

/// The size of a huge page if none is asked for, in KiB.
pub fn huge_page_kib() -> Option<u64> {
    number_after(c"/proc/meminfo", "Hugepagesize:")
}

/// How many huge pages of a size there are, and how many of them are neither in use nor reserved.
/// `Ok(None)` if the system has none of that size.
pub fn huge_pages(kib: u64) -> Result<Option<(u64, u64)>, Errno> {
    let of_this_size = |file| -> Option<u64> {
        let path = format_args!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/{file}");
        number_in(Path::new(path)?.as_c_str())
    };
    match (
        of_this_size("nr_hugepages"),
        of_this_size("free_hugepages"),
        of_this_size("resv_hugepages"),
    ) {
        (Some(total), Some(free), Some(promised)) => {
            Ok(Some((total, free.saturating_sub(promised))))
        }
        // Either there is no such directory, or nothing can be said of any size.
        _ => super::file_id(c"/sys/kernel/mm/hugepages").map(|_| None),
    }
}

/// The limit on this process' address space in bytes (`RLIMIT_AS`), and how much it has. `None` if
/// there is no limit, too.
pub fn address_space() -> Option<(u64, u64)> {
    let limit = resource_limit(|limit| {
        // SAFETY: there is room for one rlimit.
        unsafe { libc::getrlimit(libc::RLIMIT_AS, limit) }
    })?;
    let pages = number_in(c"/proc/self/statm")?;
    Some((limit, pages.saturating_mul(super::page_size() as u64)))
}

/// The limit on locked memory in bytes (`RLIMIT_MEMLOCK`), if there is one.
pub fn locked_limit() -> Option<u64> {
    resource_limit(|limit| {
        // SAFETY: there is room for one rlimit.
        unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, limit) }
    })
}

/// What `getrlimit` stores, if it is a limit. The type of its first argument is not the same in each
/// libc.
fn resource_limit(get: impl FnOnce(*mut libc::rlimit) -> libc::c_int) -> Option<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    if get(limit.as_mut_ptr()) != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it is filled.
    let limit = unsafe { limit.assume_init() }.rlim_cur;
    (limit != libc::RLIM_INFINITY).then_some(limit)
}

/// How many mappings a process may have (`vm.max_map_count`).
pub fn mappings_limit() -> Option<u64> {
    number_in(c"/proc/sys/vm/max_map_count")
}

/// The lowest address that a process without `CAP_SYS_RAWIO` may map (`vm.mmap_min_addr`).
pub fn lowest_address() -> Option<usize> {
    number_in(c"/proc/sys/vm/mmap_min_addr").map(|lowest| lowest as usize)
}

/// Whether a seccomp filter judges the system calls of this thread.
pub fn has_seccomp_filter() -> Option<bool> {
    number_after(c"/proc/thread-self/status", "Seccomp:").map(|mode| mode == 2)
}

/// The signals that are pending for this thread, and not for the whole process, each the bit below its number.
#[allow(dead_code)] // the drop-in asks
pub fn pending_for_thread() -> Option<u64> {
    let hexadecimal = |word: &str| u64::from_str_radix(word, 16).ok();
    word_after(c"/proc/thread-self/status", "SigPnd:", 0, hexadecimal)
}

/// Whether the kernel was built with System V IPC.
pub fn has_system_v_ipc() -> Option<bool> {
    match super::file_id(c"/proc/sysvipc/shm") {
        Ok(_) => Some(true),
        // Only a /proc that is there says something by what it lacks.
        Err(Errno(libc::ENOENT)) => super::file_id(c"/proc/self/stat").ok().map(|_| false),
        Err(_) => None,
    }
}

/// The name of a user in `/etc/passwd`, as much of it as the buffer takes. Other places are not
/// asked: that may need a network.
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
    fn this_machine_tells_of_itself() {
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
