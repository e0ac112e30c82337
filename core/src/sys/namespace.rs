//! The PID and time namespaces of processes.

use super::{
    file::{Path, file_id},
    pidfd::{Namespace, PidFd, Scope},
    process::{proc_is_ours, process_id, thread_id},
};

/// Stands for unknown namespaces.
pub const NO_NAMESPACE: u64 = u64::MAX;

/// The inode number of the initial PID namespace, which sees all processes: `PROC_PID_INIT_INO` of
/// <linux/proc_ns.h>.
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// Returns the namespaces in which a thread's id and start time are valid: the PID namespace, and the time
/// namespace (0 on kernels without it). Uses a pidfd where there is no `/proc`, as after `chroot`.
pub fn namespaces() -> u64 {
    namespaces_of_proc()
        .or_else(namespaces_of_pidfd)
        .map_or(NO_NAMESPACE, |[pid, time]| pid & 0xffff_ffff | time << 32)
}

fn namespaces_of_proc() -> Option<[u64; 2]> {
    // A `/proc` that was mounted for another PID namespace shows other processes.
    if !proc_is_ours() {
        return None;
    }
    let pid = file_id(c"/proc/self/ns/pid").ok()?.inode;
    // Not `self`, which is the first thread: it has no namespace once it has ended.
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
