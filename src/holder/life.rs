//! The liveness check: finding out whether a holder is live, dead or unknown.

use super::{
    Holder, INODES_END, NumberKind, VALUE_BITS, inode_of, mask, process::Process, tag_of, ticks,
    token,
};
use crate::sys::{self, Errno, PidFd, Scope, Stat};
use core::ffi::c_int;

/// The result of a liveness check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    Dead,
    /// The kernel does not say. Nothing may be recovered from a holder of unknown liveness.
    Unknown,
}

impl Holder {
    /// Makes a liveness check. A thread that has ended and was not yet waited for is dead; a process is
    /// dead when its last thread has ended. `is_home` returns whether a process of this one's PID
    /// namespace wrote the id; it is called only if that matters.
    pub fn life(self, is_home: impl Fn() -> bool) -> Life {
        match self.kind() {
            NumberKind::Inode => self.life_by_inode(is_home),
            NumberKind::Ticks => self.life_by_ticks(is_home),
            NumberKind::Token => self.life_by_token(is_home),
            NumberKind::Random if sys::thread_exists(self.id() as c_int) || !is_home() => {
                Life::Unknown
            }
            NumberKind::Random => Life::Dead,
        }
    }

    /// Returns whether its id is known to be one of this PID namespace. `is_home`: as for
    /// [`life`](Holder::life).
    pub fn has_id_here(self, is_home: impl Fn() -> bool) -> bool {
        let id = self.id() as c_int;
        is_home()
            || match self.kind() {
                NumberKind::Inode => inode_of(id, self.scope())
                    .is_some_and(|inode| inode & mask(VALUE_BITS) == self.value()),
                NumberKind::Ticks => Stat::of(id)
                    .is_some_and(|stat| ticks(stat.start, sys::namespaces()) == self.value()),
                NumberKind::Token => matches!(
                    token::look(self.token()),
                    Ok(Some(pid)) if pid != 0 && sys::shares_pid_namespace(pid)
                ),
                NumberKind::Random => false,
            }
    }

    /// Returns whether it is a thread of the calling process, or that process; true if that is unknown.
    pub fn may_be_of_this_process(self) -> bool {
        if self.is_process() {
            return self.is_mine();
        }
        let tid = self.id() as c_int;
        match self.kind() {
            NumberKind::Token => Process::current().token() == Some(self.token()),
            NumberKind::Inode if sys::has_thread(sys::process_id(), tid) => {
                inode_of(tid, Scope::Thread)
                    .is_none_or(|inode| inode & mask(VALUE_BITS) == self.value())
            }
            _ => sys::has_thread(sys::process_id(), tid),
        }
    }

    fn life_by_inode(self, is_home: impl Fn() -> bool) -> Life {
        let id = self.id() as c_int;
        match PidFd::open(id, self.scope()) {
            Ok(fd) => match fd.inode() {
                Some(inode) if inode & mask(VALUE_BITS) == self.value() => {
                    return self.life_of(&fd);
                }
                Some(_) => {}
                None => return Life::Unknown,
            },
            Err(_) if !sys::thread_exists(id) => {}
            // A thread has the process's id now.
            Err(Errno(libc::EINVAL | libc::ENOENT))
                if self.is_process() && !sys::has_thread(id, id) => {}
            Err(_) => return Life::Unknown,
        }
        // A thread or process with that id in this namespace, if there is one, is not the holder.
        if is_home() {
            return Life::Dead;
        }
        let newest = inode_of(sys::process_id(), Scope::Process);
        if newest.is_none_or(|inode| inode > INODES_END) {
            return Life::Unknown;
        }
        match PidFd::open_by_inode(self.value(), self.scope()) {
            Ok(fd) => self.life_of(&fd),
            Err(Errno(libc::ESTALE)) if sys::sees_all_processes() => Life::Dead,
            Err(_) => Life::Unknown,
        }
    }

    fn life_of(self, fd: &PidFd) -> Life {
        match fd.has_ended() {
            Ok(true) => Life::Dead,
            // The first thread of a process that continues.
            Ok(false) if !self.is_process() && fd.stat().is_some_and(|stat| !stat.lives) => {
                Life::Dead
            }
            Ok(false) => Life::Live,
            Err(_) => Life::Unknown,
        }
    }

    fn life_by_ticks(self, is_home: impl Fn() -> bool) -> Life {
        let id = self.id() as c_int;
        match Stat::of(id) {
            Some(stat) if ticks(stat.start, sys::namespaces()) == self.value() => {
                if stat.lives || self.is_process() && stat.threads > 1 {
                    Life::Live
                } else {
                    Life::Dead
                }
            }
            // Another thread has the id now.
            Some(_) if is_home() => Life::Dead,
            None if !sys::thread_exists(id) && is_home() => Life::Dead,
            _ => Life::Unknown,
        }
    }

    fn life_by_token(self, is_home: impl Fn() -> bool) -> Life {
        match token::look(self.token()) {
            Ok(None) => Life::Dead,
            Ok(Some(_)) if self.is_process() => Life::Live,
            // Its process is live. A thread's id means something in its own namespace only.
            Ok(Some(pid)) if pid != 0 && (sys::shares_pid_namespace(pid) || is_home()) => {
                self.life_in(pid)
            }
            _ => Life::Unknown,
        }
    }

    /// Makes a liveness check of a thread whose process is live.
    fn life_in(self, pid: c_int) -> Life {
        let tid = self.id() as c_int;
        if !sys::has_thread(pid, tid) {
            return Life::Dead;
        }
        match PidFd::open(tid, Scope::Thread) {
            Ok(fd)
                if self.tag() != 0
                    && fd.inode().is_some_and(|inode| tag_of(inode) != self.tag()) =>
            {
                Life::Dead
            }
            Ok(fd) => self.life_of(&fd),
            // Before Linux 6.9.
            Err(_) => match Stat::of(tid) {
                Some(stat) if !stat.lives => Life::Dead,
                Some(_) => Life::Live,
                None => Life::Unknown,
            },
        }
    }
}
