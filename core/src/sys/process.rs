//! Who this process is, where it runs, and about when.

use super::{
    clock::about_now,
    file::{Path, file_id, read_link},
    pidfd::{Namespace, PidFd, Scope},
};

/// The id of this process.
pub fn process_id() -> i32 {
    // SAFETY: getpid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// The id of this thread.
pub fn thread_id() -> i32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// In place of namespaces that are unknown.
pub const NO_NAMESPACE: u64 = u64::MAX;

/// The inode number of the initial PID namespace, which sees all processes: `PROC_PID_INIT_INO` of
/// <linux/proc_ns.h>.
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// The namespaces of this process in which a thread's id and its start time mean something: of
/// PIDs, and of time (0 on kernels that have none). A process that has changed its root directory may have
/// no `/proc`; then the kernel says it without.
pub fn namespaces() -> u64 {
    namespaces_of_proc()
        .or_else(namespaces_of_pidfd)
        .map_or(NO_NAMESPACE, |[pid, time]| pid & 0xffff_ffff | time << 32)
}

fn namespaces_of_proc() -> Option<[u64; 2]> {
    // A `/proc` that was mounted for another PID namespace tells of other processes.
    if !proc_is_ours() {
        return None;
    }
    let pid = file_id(c"/proc/self/ns/pid").ok()?.inode;
    // Not that of `self`: the first thread, which has none any more once it has ended.
    let time = file_id(c"/proc/thread-self/ns/time").map_or(0, |time| time.inode);
    Some([pid, time])
}

fn namespaces_of_pidfd() -> Option<[u64; 2]> {
    let this = PidFd::open(thread_id(), Scope::Thread).ok()?;
    let pid = this.namespace(Namespace::Pid).ok()?;
    Some([pid, this.namespace(Namespace::Time).unwrap_or(0)])
}

/// Returns whether this process is known to be in the initial PID namespace, which shows every process.
pub fn sees_all_processes() -> bool {
    let namespaces = namespaces();
    namespaces != NO_NAMESPACE && namespaces & 0xffff_ffff == INITIAL_PID_NAMESPACE
}

/// Returns whether another process is known to be in this process' PID namespace.
pub fn shares_pid_namespace(pid: i32) -> bool {
    if pid == process_id() {
        return true;
    }
    if !proc_is_ours() {
        return false;
    }
    let path = Path::new(format_args!("/proc/{pid}/ns/pid"));
    let theirs = path.and_then(|path| file_id(path.as_c_str()).ok());
    let ours = file_id(c"/proc/self/ns/pid").ok();
    theirs.is_some_and(|theirs| Some(theirs.inode) == ours.map(|ours| ours.inode))
}

/// Returns whether `/proc` is there, and shows this process' own PID namespace. Needs no descriptor, of
/// which there may be none left.
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
    // SAFETY: the kernel writes at most so many bytes there.
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
        // The next best: when, and which address this stack has.
        _ => about_now().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.as_ptr() as u64,
    }
}

/// Returns the number of the processor that this thread runs on, if the kernel says it.
#[inline]
pub fn cpu() -> Option<u32> {
    if cfg!(miri) {
        return None; // it has no such call
    }
    // SAFETY: takes nothing and changes nothing; libc reads it where the kernel keeps it for this
    // thread, without a system call.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Lets others run on this processor.
pub fn yield_now() {
    // SAFETY: takes nothing, changes no memory and cannot fail.
    unsafe { libc::syscall(libc::SYS_sched_yield) };
}
