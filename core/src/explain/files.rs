//! Causes of failures that only the user backend has.

use super::{Call, Cause, Names};
use crate::{
    backend::{self, Backend, user},
    sys::{self, Errno},
};
use core::fmt;

/// Returns the cause if it is one of the user backend's own. Never inlined: otherwise every cause would need its
/// stack.
#[inline(never)]
pub(super) fn why(call: &Call<'_>, errno: Errno) -> Option<Cause> {
    if !backend::is_valid_choice() {
        return Some(Cause::Plain(
            "the variable SHMKEY_BACKEND has an unknown value: it must be kernel, user or auto",
        ));
    }
    if backend::chosen() != Backend::User || matches!(call, Call::Ftok { .. }) {
        return None;
    }
    if errno == Errno(libc::EINVAL) && user::directory().err() == Some(errno) {
        return Some(Cause::Plain(
            "the variable SHMKEY_DIR is not an absolute path: it must begin with a slash, because \
             programs that share segments have different working directories",
        ));
    }
    if errno == Errno(libc::EMFILE) {
        return Some(Cause::Plain(
            "the process has as many open files as it may have (ulimit -n), and the user backend \
             needs one more during the call",
        ));
    }
    // A problem of the directory makes each call fail with the same error.
    if user::check() == Err(errno) {
        return Some(Cause::Directory(of_directory(errno)));
    }
    match (*call, errno.0) {
        (Call::Get { size, .. }, libc::ENOMEM) if size as u64 > sys::file_size_limit() => {
            Some(Cause::Plain(
                "the segment is a file, and this process may not write files that large (ulimit -f)",
            ))
        }
        (Call::Get { size, .. }, libc::ENOSPC) if !is_limit_reached(size) => Some(
            Cause::Directory("is on a file system that has too little free space"),
        ),
        (_, libc::ETIMEDOUT) => Some(Cause::Directory(
            "is in use by a process that holds its lock for too long; it may be stopped",
        )),
        (Call::Attach { flags, .. }, libc::EPERM) if flags & libc::SHM_EXEC != 0 => Some(
            Cause::Directory("is on a file system that forbids SHM_EXEC (mounted noexec)"),
        ),
        _ => None,
    }
}

/// Returns whether one of the namespace's own limits is the cause.
fn is_limit_reached(size: usize) -> bool {
    let (Ok(limits), Ok((_, usage))) = (backend::limits(), backend::usage()) else {
        return false;
    };
    let asked = size.div_ceil(sys::page_size()) as u64;
    usage.used_ids as u64 >= limits.shmmni || usage.shm_tot.saturating_add(asked) > limits.shmall
}

/// Returns the problem of the directory, as the end of a sentence.
fn of_directory(errno: Errno) -> &'static str {
    match errno.0 {
        libc::EACCES => {
            "belongs to another user, cannot be made, entered or written by this user, can be \
             changed by other users, or has a table that is not a regular file of this user; \
             set SHMKEY_DIR to a directory that only you can change (mode 0700)"
        }
        libc::ENOTDIR | libc::ELOOP => "is not a directory, or its path is a symbolic link",
        libc::ENOENT => {
            "cannot be made: its parent directory does not exist, or is on a file system that holds no such files (as \
             /proc)"
        }
        libc::EINVAL => {
            "has a table that is damaged, or of another format, from another version of this \
             library or another kind of processor"
        }
        libc::ENOSPC => "is on a file system that has too little free space",
        libc::EROFS => "is on a file system that is read-only",
        libc::ENOSYS => {
            "is on a file system, or in a sandbox, without locks of open files (F_OFD_SETLK)"
        }
        libc::ENAMETOOLONG => "has a path that is too long; it has at most 400 bytes",
        libc::ETIMEDOUT => {
            "is in use by a process that holds its lock for too long; it may be stopped"
        }
        _ => "cannot be used",
    }
}

/// Writes `the directory "/dev/shm/shmkey-1000" of the segments …`.
#[inline(never)]
pub(super) fn show(f: &mut fmt::Formatter<'_>, problem: &str) -> fmt::Result {
    match backend::directory() {
        Ok(directory) => write!(
            f,
            "the directory {} of the segments {problem}",
            super::ShownPath(directory.as_bytes())
        ),
        Err(_) => write!(f, "the directory of the segments {problem}"),
    }
}

/// A limit of the backend, by the name under which a user can change it.
pub(super) struct LimitName(pub &'static str);

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match backend::chosen() {
            Backend::Kernel => write!(f, "kernel.{}", self.0),
            Backend::User => write!(f, "{} of the file limits in its directory", self.0),
        }
    }
}

/// Returns the table that has a place for each segment.
pub(super) fn table() -> &'static str {
    match backend::chosen() {
        Backend::Kernel => "the kernel's table",
        Backend::User => "the directory's table",
    }
}

/// The command that removes a segment. On the user backend, this is not `ipcrm`, which could remove a segment of the
/// kernel that has the same id.
pub(super) struct RemoveCommand(pub core::ffi::c_int, pub &'static Names);

impl fmt::Display for RemoveCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RemoveCommand(id, names) = self;
        match backend::chosen() {
            Backend::Kernel => write!(f, "{} {id}", names.remove),
            Backend::User => write!(f, "SHMKEY_BACKEND=user shmkey remove {id}"),
        }
    }
}
