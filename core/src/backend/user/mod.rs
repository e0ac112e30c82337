//! System V shared memory in a directory of files, for systems and sandboxes whose kernel has none.
//!
//! A directory is a namespace (`directory`). In it, the file `s.ID` holds the bytes of the segment ID, and the file `table`
//! all else (`layout`). Every process that uses the namespace maps the table and changes it itself; there is no
//! daemon, no thread, no signal handler, and no descriptor that stays open. The results are those of Linux, which
//! ipc/shm.c and ipc/util.c of the kernel define.
//!
//! # Locks that a mapping holds
//!
//! A process that is killed cannot tell others. What tells them is a lock of the kernel's: a lock on a byte of a file that
//! an *open file description* has (`F_OFD_SETLK`, fcntl(2)). After `open`, lock, `mmap` and `close`, only
//! the mapping keeps the description, and with it the lock: until munmap, exec, exit or SIGKILL. Any process can
//! ask for such locks (`F_OFD_GETLK`).
//!
//! - Each process has a *slot*, a byte of the table's file, for as long as it has the table mapped. The table's lock holds its
//!   holder's slot, so that others take over from a dead holder and repair the table (`lock`, `repair`).
//! - Each attachment has a number, and locks the byte of that number, far behind the segment's data. The table has a *record*
//!   of each attachment; `shm_nattch` is the number of those whose byte is locked (`records`).
//! - Over a fork, parent and child would share these locks; `fork` gives the child locks of its own.
//!
//! # Where to find what
//!
//! | file | task |
//! |---|---|
//! | `create`, `attach`, `detach`, `control` | the four calls |
//! | `session` | one call under the locks; opening a segment's file |
//! | `process`, `attachments` | what a process keeps for itself |
//! | `directory`, `open`, `limits`, `path` | finding, making and checking the directory and the table |
//! | `layout`, `table`, `space` | the table's format; access to it; giving it space |
//! | `entries`, `rights` | segments in the table, by key and by id; permissions |
//! | `records` | attachments in the table; collecting the dead |
//! | `pending` | segments that may have to be destroyed |
//! | `lock`, `repair` | the table's lock; what a dead holder leaves |
//! | `holding` | which file is locked; overlayfs |
//! | `fork`, `mark` | children; those that ran no handlers |
//!
//! # Hostile files
//!
//! In a private directory (the default, mode 0700), only this user and root can write to the table. In a shared one,
//! every user of it can, and so disturb the others' calls; the segments' files have the segments' modes and
//! owners, and the kernel enforces these. No value in the table is trusted: indexes are checked, walks are bounded,
//! names are made from numbers, and files are checked after they were opened. The worst that a hostile
//! table does is an error, a wrong result, or a wait of some seconds. (Someone who may truncate the table or a segment
//! can also end a process that uses it, as with any mapped file.)
//!
//! # What differs from the kernel
//!
//! - A child made by a bare `clone`, or whose parent could not open the segment's file when it forked (after `chroot`, or
//!   with another user), shares its parent's attachments: they count once until both are gone.
//! - After a fork, the child's attachments are mapped anew: what `mprotect`, `mlock` or a partial `munmap` did to them
//!   in the parent is not inherited.
//! - What the kernel notes when a process ends (`shm_lpid`, `shm_dtime`, and destroying a removed segment), the next
//!   process that looks notes: `shm_dtime` is then that time, and the memory stays until then. Each shmget that creates
//!   looks at two removed segments, and SHM_INFO and IPC_STAT look at all that they concern.
//! - A process of another PID namespace reads the ids of processes as 0, also in a child namespace.
//! - Space is reserved when a segment is created: `SHM_INFO` counts all pages as resident, `SHM_NORESERVE` has no effect,
//!   and a file system that is full gives `ENOSPC`.
//! - There are no huge pages: `SHM_HUGETLB` fails as where none are free. `SHM_LOCK` checks what the kernel checks and sets
//!   the flag, but locks nothing. `SHM_EXEC` fails with `EPERM` if the file system is mounted `noexec`.
//! - `shmget` and `shmat` need a free descriptor for a moment (`EMFILE`), and files that may be as large as the segment
//!   (`RLIMIT_FSIZE`; `ENOMEM`).
//! - In a shared directory, only root can give a segment to another user (`EPERM`).

use crate::sys::Errno;
use core::ffi::{c_int, c_void};

mod attach;
mod attachments;
mod control;
mod create;
mod detach;
mod directory;
mod entries;
mod fork;
mod holding;
mod layout;
mod limits;
mod lock;
mod mark;
mod open;
mod path;
mod pending;
mod process;
mod records;
mod repair;
mod rights;
mod session;
mod space;
mod table;

pub use directory::directory;
pub use path::FilePath;

/// Returns the error that makes each call fail, if there is one: the directory cannot be used.
#[inline(never)]
pub fn check() -> Result<(), Errno> {
    keep_errno(|| session::Session::begin(true).map(drop))
}

// These four are never inlined: their stack would be that of every call, on the kernel, too.

/// `shmget(2)`.
#[inline(never)]
pub fn create_or_get(key: c_int, size: usize, flags: c_int) -> Result<c_int, Errno> {
    keep_errno(|| create::create_or_get(key, size, flags))
}

/// `shmat(2)`.
///
/// # Safety
/// As for `backend::attach`.
#[inline(never)]
pub unsafe fn attach(id: c_int, addr: *const c_void, flags: c_int) -> Result<*mut c_void, Errno> {
    // SAFETY: the caller's promise.
    keep_errno(|| unsafe { attach::attach(id, addr, flags) })
}

/// `shmdt(2)`.
///
/// # Safety
/// As for `backend::detach`.
#[inline(never)]
pub unsafe fn detach(addr: *const c_void) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    keep_errno(|| unsafe { detach::detach(addr) })
}

/// `shmctl(2)`.
///
/// # Safety
/// As for `backend::control`.
#[inline(never)]
pub unsafe fn control(id: c_int, command: c_int, buf: *mut c_void) -> Result<c_int, Errno> {
    // SAFETY: the caller's promise.
    keep_errno(|| unsafe { control::control(id, command, buf) })
}

/// Leaves the thread's error number as it was: a call that succeeds must not change it.
fn keep_errno<T>(call: impl FnOnce() -> T) -> T {
    let errno = Errno::last();
    let result = call();
    errno.set();
    result
}
