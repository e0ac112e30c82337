//! Threads and processes by `pidfd_open(2)`: whether one has ended, and its unique number.
//!
//! Since Linux 6.9 a pidfd is a file of *pidfs*. Its inode number belongs to one thread or process until the machine
//! reboots, and is the same in every PID namespace. Since Linux 6.14 a file handle finds a process by that
//! number. Source: `pidfd_open(2)`, `open_by_handle_at(2)`, fs/pidfs.c in the kernel.

use super::{
    Errno,
    errno::check,
    file::{Descriptor, Path},
    lines::number_after,
    process::process_id,
    stat::Stat,
};
use core::{ffi::c_int, mem::MaybeUninit};

/// What an id or an inode number identifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Thread,
    Process,
}

/// `PIDFD_THREAD`, Linux 6.9.
const PIDFD_THREAD: c_int = libc::O_EXCL;

/// A kind of namespace, with the number of the `ioctl(2)` on a pidfd that opens it: `PIDFD_GET_..._NAMESPACE`, Linux
/// 6.11.
#[derive(Clone, Copy, Debug)]
pub(super) enum Namespace {
    Ipc = 0xff02,
    Pid = 0xff05,
    Time = 0xff07,
}

/// The type that `fstatfs(2)` reports for pidfs, from <linux/magic.h>.
const PID_FS_MAGIC: u64 = 0x5049_4446;

/// An open pidfd of a thread or a process.
pub struct PidFd(Descriptor);

/// A `struct file_handle` of pidfs, which holds the inode number.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: c_int,
    inode: u64,
}

impl PidFd {
    /// Opens the thread or process with this id in this process' PID namespace.
    pub fn open(id: c_int, scope: Scope) -> Result<PidFd, Errno> {
        let flags = match scope {
            Scope::Thread => PIDFD_THREAD,
            Scope::Process => 0,
        };
        // SAFETY: pidfd_open takes two integers and touches no memory of this process.
        check(unsafe { libc::syscall(libc::SYS_pidfd_open, id, flags) })
            .map(|fd| PidFd(Descriptor(fd)))
    }

    /// Opens the thread or process with this inode number. `ESTALE` if this process' PID namespace shows none.
    pub fn open_by_inode(inode: u64, scope: Scope) -> Result<PidFd, Errno> {
        let own = PidFd::open(process_id(), Scope::Process)?;
        let mut handle = own.handle()?;
        handle.inode = inode;
        let flags = match scope {
            Scope::Thread => libc::O_CLOEXEC | PIDFD_THREAD,
            Scope::Process => libc::O_CLOEXEC,
        };
        // SAFETY: the kernel reads the handle, whose length it holds.
        let fd = check(unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                own.0.0,
                &raw const handle,
                flags,
            )
        });
        fd.map(|fd| PidFd(Descriptor(fd)))
    }

    /// Returns the file handle of this pidfd, if the kernel supports that.
    fn handle(&self) -> Result<Handle, Errno> {
        let mut handle = Handle {
            bytes: size_of::<u64>() as u32,
            kind: 0,
            inode: 0,
        };
        let mut mount: c_int = 0;
        // SAFETY: the path is a C string, the handle has room for `bytes` bytes, and `mount` for one integer.
        check(unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                self.0.0,
                c"".as_ptr(),
                &raw mut handle,
                &raw mut mount,
                libc::AT_EMPTY_PATH,
            )
        })?;
        match handle.bytes as usize {
            bytes if bytes == size_of::<u64>() => Ok(handle),
            _ => Err(Errno(libc::EOPNOTSUPP)),
        }
    }

    /// Returns the inode number of one of its namespaces, the same as in `/proc/PID/ns`.
    pub(super) fn namespace(&self, which: Namespace) -> Result<u64, Errno> {
        let (request, nothing) = (which as libc::c_ulong, 0 as libc::c_ulong);
        // SAFETY: these requests take 0 and return a new descriptor.
        let opened = check(unsafe { libc::syscall(libc::SYS_ioctl, self.0.0, request, nothing) });
        Ok(Descriptor(opened?).id()?.inode)
    }

    /// Returns the inode number; `None` on kernels without pidfs, where all pidfds have the same one.
    pub fn inode(&self) -> Option<u64> {
        let mut filesystem = MaybeUninit::<libc::statfs>::zeroed();
        // SAFETY: the kernel fills one statfs, for which there is room.
        check(unsafe { libc::syscall(libc::SYS_fstatfs, self.0.0, filesystem.as_mut_ptr()) })
            .ok()?;
        // SAFETY: it is a structure of integers, which was zeroed and then filled.
        let filesystem = unsafe { filesystem.assume_init() };
        if filesystem.f_type as u64 != PID_FS_MAGIC {
            return None;
        }
        Some(self.0.id().ok()?.inode)
    }

    /// Reads its line in `/proc`; `None` if `/proc` does not show it.
    pub fn stat(&self) -> Option<Stat> {
        let path = Path::new(format_args!("/proc/thread-self/fdinfo/{}", self.0.0))?;
        let id = number_after(path.as_c_str(), "Pid:")?;
        Stat::of(id.try_into().ok()?)
    }

    /// Returns whether it has ended: true of a zombie, and of a process once its last thread has ended. Since Linux
    /// 6.15, the first thread of a process counts as live as long as another one lives, which could take over its
    /// id by `exec`.
    pub fn has_ended(&self) -> Result<bool, Errno> {
        let mut poll = libc::pollfd {
            fd: self.0.0 as c_int,
            events: libc::POLLIN,
            revents: 0,
        };
        let at_once = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: one pollfd and one timespec, both on this stack; no signal mask.
        let ready = check(unsafe {
            libc::syscall(
                libc::SYS_ppoll,
                &raw mut poll,
                1 as libc::c_ulong,
                &raw const at_once,
                core::ptr::null::<libc::sigset_t>(),
                0 as libc::size_t,
            )
        })?;
        Ok(ready > 0)
    }
}

/// Returns whether this PID namespace has a thread with this id. Needs no descriptor, because none may be left.
pub fn thread_exists(tid: c_int) -> bool {
    // SAFETY: signal 0 checks whether the thread exists, and sends nothing.
    let exists = check(unsafe { libc::syscall(libc::SYS_tkill, tid, 0) });
    tid > 0 && exists != Err(Errno(libc::ESRCH))
}

/// Returns whether a process has a thread with this id.
pub fn has_thread(pid: c_int, tid: c_int) -> bool {
    // SAFETY: as above.
    let exists = check(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, 0) });
    tid > 0 && exists != Err(Errno(libc::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{file_id, thread_id};

    #[test]
    fn a_thread_is_found_by_its_inode_number() {
        let thread = PidFd::open(thread_id(), Scope::Thread);
        let Ok(thread) = thread else {
            return; // before Linux 6.9
        };
        assert_eq!(thread.has_ended(), Ok(false));
        let inode = thread.inode().unwrap();
        assert_eq!(
            PidFd::open(thread_id(), Scope::Thread).unwrap().inode(),
            Some(inode)
        );
        if thread.handle().is_ok() {
            let again = PidFd::open_by_inode(inode, Scope::Thread).unwrap();
            assert_eq!(again.inode(), Some(inode));
            let nothing = PidFd::open_by_inode(u64::MAX >> 1, Scope::Thread);
            assert_eq!(nothing.err(), Some(Errno(libc::ESTALE)));
        }
    }

    #[test]
    fn namespaces_are_those_of_proc() {
        let this =
            PidFd::open(thread_id(), Scope::Thread).or(PidFd::open(process_id(), Scope::Process));
        for (which, path) in [
            (Namespace::Ipc, c"/proc/thread-self/ns/ipc"),
            (Namespace::Pid, c"/proc/thread-self/ns/pid"),
            (Namespace::Time, c"/proc/thread-self/ns/time"),
        ] {
            // Not before Linux 6.11.
            if let Ok(Ok(found)) = this.as_ref().map(|this| this.namespace(which)) {
                assert_eq!(found, file_id(path).unwrap().inode, "{which:?}");
            }
        }
    }
}
