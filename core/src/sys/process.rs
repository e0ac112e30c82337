//! The identity of this process and this thread, and the processor that it runs on.

use super::{clock::about_now, file::read_link};

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
        // Early after boot the kernel has no random numbers: mixes the time and an address of the stack.
        _ => about_now().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.as_ptr() as u64,
    }
}

/// Returns the number of the processor that this thread runs on; `None` if it is unknown.
#[inline]
pub fn cpu() -> Option<u32> {
    if cfg!(miri) {
        return None; // Miri has no such call
    }
    // SAFETY: takes nothing and changes nothing. libc makes no system call: the kernel keeps the number in this
    // process's memory.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Lets other threads run on this processor.
pub fn yield_now() {
    // SAFETY: takes nothing, changes no memory and cannot fail.
    unsafe { libc::syscall(libc::SYS_sched_yield) };
}
