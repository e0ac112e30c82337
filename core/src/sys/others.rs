//! Facts about other processes, from `/proc` and the kernel. `None` stands for unknown.

use super::{
    Errno,
    errno::check,
    file::Path,
    lines::for_each_number,
    pidfd::{Namespace, PidFd, Scope},
    process::{proc_is_ours, thread_id},
    stat::Stat,
};
use core::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
    ops::ControlFlow,
};

/// Returns the id of the process that started this one, or that has adopted it.
pub fn parent_id() -> c_int {
    // SAFETY: getppid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_getppid) as c_int }
}

/// Calls `each` with the id of each process that `/proc` shows, until it breaks.
pub fn for_each_process(each: impl FnMut(c_int) -> ControlFlow<()>) -> Result<(), Errno> {
    for_each_number(c"/proc", each)
}

/// Returns the number of this thread's IPC namespace, also without `/proc` (Linux 6.11).
pub fn ipc_namespace() -> Option<u64> {
    namespace_at(c"/proc/thread-self/ns/ipc").or_else(|| {
        let this = PidFd::open(thread_id(), Scope::Thread).ok()?;
        this.namespace(Namespace::Ipc).ok()
    })
}

/// Returns the number of another process' IPC namespace, if this process may read it.
pub fn ipc_namespace_of(pid: c_int) -> Option<u64> {
    namespace_at(Path::new(format_args!("/proc/{pid}/ns/ipc"))?.as_c_str())
}

fn namespace_at(path: &CStr) -> Option<u64> {
    super::file_id(path).ok().map(|file| file.inode)
}

/// Returns whether the process that had this id at this time, in seconds since 1970, has ended.
#[inline(never)] // frees its stack space before other functions are called
pub fn has_ended(pid: c_int, at: i64) -> Option<bool> {
    // The kernel shows a process outside of this PID namespace as 0.
    if pid <= 0 {
        return None;
    }
    // SAFETY: signal 0 asks whether the process exists, and sends nothing.
    if let Err(Errno(libc::ESRCH)) = check(unsafe { libc::syscall(libc::SYS_kill, pid, 0) }) {
        return Some(true);
    }
    if !proc_is_ours() {
        return None;
    }
    let stat = Stat::of(pid)?;
    // The first thread can end before the others.
    let lives = stat.lives || stat.threads > 1;
    // A process that started later has the same id now. All these clocks are rounded.
    Some(!lives || second_of(stat.start)? > at + 1)
}

/// Converts clock ticks after boot to seconds since 1970.
fn second_of(start: u64) -> Option<i64> {
    // SAFETY: sysconf takes a number and has no other effect.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let boot = seconds(libc::CLOCK_REALTIME)? - seconds(libc::CLOCK_BOOTTIME)?;
    Some(boot + i64::try_from(start / u64::try_from(ticks).ok()?.max(1)).ok()?)
}

/// Reads a clock, in seconds. Calls the kernel directly, because the program may replace libc's function.
fn seconds(clock: libc::clockid_t) -> Option<i64> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: there is room for one timespec.
    check(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time.as_mut_ptr()) }).ok()?;
    // SAFETY: the call succeeded, so it is filled.
    Some(unsafe { time.assume_init() }.tv_sec)
}

#[cfg(test)]
mod tests {
    use super::{super::process_id, *};
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_ends_once_and_its_id_may_be_used_again() {
        let now = seconds(libc::CLOCK_REALTIME).unwrap();
        assert_eq!(has_ended(process_id(), now), Some(false));
        // Another process had this id in 1970.
        assert_eq!(has_ended(process_id(), 0), Some(true));
        assert_eq!(has_ended(0, now), None);
        assert_eq!(has_ended(-1, now), None);
        let mut child = Command::new("sleep")
            .arg("100")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id() as c_int;
        let soon = now + 60;
        assert_eq!(has_ended(pid, soon), Some(false));
        child.kill().unwrap();
        while has_ended(pid, soon) != Some(true) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(has_ended(pid, soon), Some(true));
    }

    #[test]
    fn this_process_is_among_all() {
        let (mut found, mut parent) = (false, false);
        for_each_process(|pid| {
            found |= pid == process_id();
            parent |= pid == parent_id();
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(found && parent);
        assert_eq!(ipc_namespace(), ipc_namespace_of(process_id()));
        assert!(ipc_namespace().is_some());
    }
}
