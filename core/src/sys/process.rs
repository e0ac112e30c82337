//! The identity of this process and this thread, and the processor that it runs on.

use super::{clock::about_now, errno::Errno, file::read_link};
use core::{
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Returns the id of this process.
pub fn process_id() -> i32 {
    // SAFETY: getpid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// Returns the id of this thread.
pub fn thread_id() -> i32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// Returns whether `/proc` is mounted and shows the PID namespace of this process. Needs no descriptor, because none
/// may be left.
pub fn proc_is_ours() -> bool {
    let mut buffer = [0; 64];
    // `PID/task/TID`
    let link = read_link(c"/proc/thread-self", &mut buffer);
    let name = link
        .ok()
        .and_then(|link| link.rsplit(|&byte| byte == b'/').next());
    let name = name.and_then(|name| core::str::from_utf8(name).ok());
    name.and_then(|name| name.parse().ok()) == Some(thread_id())
}

/// Returns a random number.
pub fn random() -> u64 {
    let mut number = [0; 8];
    // SAFETY: the kernel writes at most `number.len()` bytes.
    let filled = unsafe {
        libc::syscall(
            libc::SYS_getrandom,
            number.as_mut_ptr(),
            number.len(),
            libc::GRND_NONBLOCK,
        )
    };
    match filled {
        8 => u64::from_ne_bytes(number),
        _ => unlike_others(),
    }
}

/// Returns a number that probably no other call in any process returns. Early after boot the kernel has no random numbers,
/// and a seccomp filter may forbid them.
#[cold]
fn unlike_others() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let address = ptr::from_ref(&CALLS).addr() as u64;
    // Relaxed: the calls only have to differ.
    let call = CALLS.fetch_add(1, Relaxed);
    let process = (process_id() as u64) << 40;
    // The steps of splitmix64: each bit of the result depends on all bits.
    let mut mixed = (about_now() ^ address ^ process).wrapping_add((call + 1).wrapping_mul(STEP));
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The step of splitmix64.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Returns the number of the processor that this thread runs on; `None` if it is unknown. Does not change errno.
#[inline]
pub fn cpu() -> Option<u32> {
    if cfg!(miri) {
        return None; // Miri has no such call
    }
    let errno = Errno::last();
    // SAFETY: takes nothing and changes nothing but errno. Most libcs make no system call: the kernel keeps the number in
    // this process's memory.
    let cpu = u32::try_from(unsafe { libc::sched_getcpu() }).ok();
    // Where libc makes the call, a filter can forbid it.
    if cpu.is_none() {
        errno.set();
    }
    cpu
}

/// Sleeps for a time, or until a signal arrives.
pub fn sleep(time: core::time::Duration) {
    let time = libc::timespec {
        tv_sec: time.as_secs() as libc::time_t,
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the kernel reads one time.
    unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, ptr::null_mut::<u8>()) };
}

/// Lets other threads run on this processor.
pub fn yield_now() {
    // SAFETY: takes nothing, changes no memory and cannot fail.
    unsafe { libc::syscall(libc::SYS_sched_yield) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The number of a descriptor is the lower half.
    #[test]
    fn numbers_without_the_kernels_help_differ() {
        let numbers: BTreeSet<u32> = (0..1000).map(|_| unlike_others() as u32).collect();
        assert!(numbers.len() > 990, "{}", numbers.len());
    }
}
