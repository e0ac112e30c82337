//! The causes of `ENOMEM`: memory, huge pages, or the address space of a process.

use super::Cause;
use crate::{
    backend::{self, Occupant},
    sys,
};
use core::ffi::c_int;

/// Returns the size of huge pages that the flags request, in KiB.
pub(super) fn huge_page_kib(flags: c_int) -> Option<u64> {
    // Six bits hold the binary logarithm of the size in bytes; 0 stands for the default size.
    match flags as u32 >> libc::MAP_HUGE_SHIFT & libc::MAP_HUGE_MASK as u32 {
        0 => sys::huge_page_kib(),
        // No system has huge pages below 1 KiB.
        log => Some((1_u64 << log) / 1024).filter(|&kib| kib > 0),
    }
}

/// `ENOMEM` of `shmget` with huge pages.
pub(super) fn too_few_huge_pages(size: usize, flags: c_int) -> Cause {
    let kib = huge_page_kib(flags);
    let (Some(kib @ 1..), Some(Ok(Some((total, free))))) = (kib, kib.map(sys::huge_pages)) else {
        return Cause::Plain("there are not enough free huge pages (vm.nr_hugepages)");
    };
    let asked = (size as u64).div_ceil(kib << 10);
    if asked <= free {
        return Cause::Plain("there were not enough free huge pages during the call; try again");
    }
    Cause::HugePages {
        kib,
        asked,
        free,
        total,
    }
}

/// `ENOMEM` of `shmget`.
pub(super) fn too_little_memory(size: usize) -> Cause {
    let asked = size as u64 >> 10;
    match sys::memory() {
        Some(memory) if memory.strict && memory.committed + asked > memory.commit_limit => {
            Cause::Committed {
                asked,
                used: memory.committed,
                limit: memory.commit_limit,
            }
        }
        Some(memory) if asked > memory.ram + memory.swap => Cause::MoreThanThereIs {
            asked,
            ram: memory.ram,
            swap: memory.swap,
        },
        _ => Cause::Plain("the kernel could not reserve that much memory"),
    }
}

/// `ENOMEM` of `shmat`: address space, not memory.
pub(super) fn too_little_room(id: c_int, address: usize) -> Cause {
    let size = match backend::find(id) {
        Ok(Occupant::Holds(record)) => record.shm_segsz as u64,
        _ => 0,
    };
    // Beyond the highest possible address, no limit matters.
    if let Some(cause @ Cause::TooHigh { unless: false, .. }) = too_high(address, size) {
        return cause;
    }
    if let Some((limit, used)) = sys::address_space()
        && used.saturating_add(size) > limit
    {
        return Cause::AddressSpace {
            asked: size,
            used,
            limit,
        };
    }
    if let (Some(limit), Ok((used, _))) = (sys::mappings_limit(), sys::mappings_in(0, 0))
        && used >= limit
    {
        return Cause::Mappings { used, limit };
    }
    too_high(address, size).unwrap_or(Cause::Plain(if address == 0 {
        "this process has too little address space or memory left"
    } else {
        "this process has too little address space or memory left, or the address is out of range"
    }))
}

/// Returns the cause if the segment would reach beyond the highest address of a process. Only on x86-64,
/// where addresses have 47 bits, or 56 with five levels of page tables, less a page.
fn too_high(address: usize, size: u64) -> Option<Cause> {
    if !cfg!(target_arch = "x86_64") {
        return None;
    }
    let end = |bits: u32| (1_usize << bits) - sys::page_size();
    let last = address.saturating_add(size as usize);
    let (end, unless) = match last {
        _ if last > end(56) => (end(56), false),
        _ if last > end(47) => (end(47), true),
        _ => return None,
    };
    Some(Cause::TooHigh {
        address,
        end,
        unless,
    })
}
