//! Causes that only segments in a directory of files have.

use super::{Call, Cause};
use crate::{
    backend::{self, Backend, user},
    sys::{self, Errno},
};
use core::fmt;

/// Returns the cause if it is one of the user backend's own. Never inlined, as its stack would be that of every cause.
#[inline(never)]
pub(super) fn why(call: &Call<'_>, errno: Errno) -> Option<Cause> {
    if !backend::is_valid_choice() {
        return Some(Cause::Plain(
            "the variable SHMKEY_BACKEND names no backend: it may be kernel, user or auto",
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
            "the process has as many open files as it may have (ulimit -n), and a segment that is \
             a file needs one more for a moment",
        ));
    }
    // Whatever is wrong with the directory makes each call fail in the same way.
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
            "is in use by a process that holds its lock and does not go on; it may be stopped",
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

/// Returns what is wrong with the directory, for the end of a sentence.
fn of_directory(errno: Errno) -> &'static str {
    match errno.0 {
        libc::EACCES => {
            "belongs to another user, can be changed by other users, or has a table that is not \
             this user's; set SHMKEY_DIR to a directory of your own (mode 0700)"
        }
        libc::ENOTDIR | libc::ELOOP => "is no directory, or its path is a symbolic link",
        libc::ENOENT => {
            "cannot be made, because the directory that is to contain it does not exist"
        }
        libc::EINVAL => {
            "has a table of another format: of another version of this library, or of another \
             processor"
        }
        libc::ENOSPC => "is on a file system that has too little free space",
        libc::EROFS => "is on a file system that is read-only",
        libc::ENOSYS => {
            "is on a file system, or in a sandbox, without locks of open files (F_OFD_SETLK)"
        }
        libc::ENAMETOOLONG => "has a path that is too long",
        libc::ETIMEDOUT => {
            "is in use by a process that holds its lock and does not go on; it may be stopped"
        }
        _ => "cannot be used",
    }
}

/// `the directory "/dev/shm/shmkey-1000" of the segments …`
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

/// A limit of the backend, as its users know it.
pub(super) struct LimitName(pub &'static str);

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match backend::chosen() {
            Backend::Kernel => write!(f, "kernel.{}", self.0),
            Backend::User => write!(f, "{} of the file limits in its directory", self.0),
        }
    }
}

/// Whose table has a segment's place.
pub(super) fn table() -> &'static str {
    match backend::chosen() {
        Backend::Kernel => "the kernel's table",
        Backend::User => "the directory's table",
    }
}

/// The command that removes a segment. `ipcrm` knows those of the kernel alone, and could remove another one.
pub(super) struct RemoveCommand(pub core::ffi::c_int);

impl fmt::Display for RemoveCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match backend::chosen() {
            Backend::Kernel => write!(f, "ipcrm -m {}", self.0),
            Backend::User => write!(f, "SHMKEY_BACKEND=user shmkey remove {}", self.0),
        }
    }
}
