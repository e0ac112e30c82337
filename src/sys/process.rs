//! Who this process is, where it runs, and about when.

use core::time::Duration;

/// The id of this process.
pub(crate) fn process_id() -> i32 {
    // SAFETY: getpid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// The id of this thread.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// In place of namespaces that cannot be told.
pub(crate) const NO_NAMESPACE: u64 = u64::MAX;

/// The namespaces of this process in which a thread's id and its start time mean something: of
/// PIDs, and of time (0 on kernels that have none).
pub(crate) fn namespaces() -> u64 {
    // A `/proc` that was mounted for another PID namespace tells of other processes.
    if !super::task::proc_is_ours() {
        return NO_NAMESPACE;
    }
    match super::file_id(c"/proc/self/ns/pid") {
        Ok(pid) => {
            let time = super::file_id(c"/proc/self/ns/time").map_or(0, |time| time.inode);
            pid.inode & 0xffff_ffff | time << 32
        }
        Err(_) => NO_NAMESPACE,
    }
}

/// The number of the processor that this thread runs on at this moment, if that can be told.
#[inline]
pub(crate) fn cpu() -> Option<u32> {
    if cfg!(miri) {
        return None; // it has no such call
    }
    // SAFETY: takes nothing and changes nothing; libc reads it where the kernel keeps it for this
    // thread, without a system call.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// The monotonic clock as it was at the last tick, some milliseconds ago at most: a quarter of the
/// time that the exact one takes to read.
pub(crate) fn about_now() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of this stack, which the call fills. It cannot fail:
    // Linux has had this clock since 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) };
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Lets others run on this processor.
pub(crate) fn yield_now() {
    // SAFETY: takes nothing, changes no memory and cannot fail.
    unsafe { libc::syscall(libc::SYS_sched_yield) };
}
