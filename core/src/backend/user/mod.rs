//! System V shared memory in a directory of files, for systems and sandboxes whose kernel has none.
//!
//! A directory is a namespace (`directory`). Its file `s.ID` holds the bytes of the segment ID, and its file `table`
//! holds everything else (`layout`). Every process that uses the namespace maps the table and changes it itself:
//! there is no daemon, no thread, no signal handler, and no descriptor that stays open. The results are those of
//! Linux, as ipc/shm.c and ipc/util.c of the kernel define them.
//!
//! # Locks that a mapping holds
//!
//! A killed process cannot report its death, but the kernel releases its locks. `F_OFD_SETLK` of fcntl(2) gives a
//! lock on a byte of a file to an *open file description*. After `open`, lock, `mmap` and `close`, the mapping alone
//! keeps that description open, and with it the lock, until munmap, exec, exit or SIGKILL. Any process can query such
//! a lock (`F_OFD_GETLK`).
//!
//! - Each process has a *slot*: it locks one byte of the table's file for as long as it has the table mapped. The
//!   word of the table's lock names its holder's slot, so other processes notice that a holder is dead, take over the
//!   lock and repair the table (`lock`, `repair`).
//! - Each attachment has a number, and locks the byte of that number in its segment's file, far behind the data. The
//!   table has a *record* of each attachment; `shm_nattch` is the number of records whose byte is locked (`records`).
//! - After a fork, parent and child would share these locks; `fork` gives the child locks of its own.
//!
//! # Where to find what
//!
//! | file | task |
//! |---|---|
//! | `create`, `attach`, `detach`, `control` | the four calls |
//! | `session` | one call under both locks; opening a segment's file |
//! | `process`, `attachments` | the state that a process keeps for itself |
//! | `parts` | what the program has unmapped or mapped inside an attachment |
//! | `directory`, `open`, `limits`, `path` | finding, making and checking the directory and the table |
//! | `layout`, `table`, `space` | the table's format; access to its parts; reserving space |
//! | `entries`, `rights` | segments in the table, by key and by id; permissions |
//! | `records` | attachments in the table; removing those of dead processes |
//! | `pending` | segments that may have to be destroyed |
//! | `lock`, `repair` | the table's lock; rebuilding the table after its holder died |
//! | `holding` | which file is locked, and which mapping holds the lock; overlayfs |
//! | `fork`, `mark`, `unfinished` | children; those that ran no handlers; descriptors that they inherit |
//!
//! # Hostile files
//!
//! In a private directory (the default, mode 0700), only its owner and root can write to the table. In a shared one,
//! all its users can, and so they can disturb each other's calls; but the segments' files have the segments' owners
//! and modes, which the kernel enforces. No value in the table is trusted: indexes are checked, walks are bounded,
//! file names are made from numbers, and each file is checked after it was opened. The worst effect of a hostile
//! table is an error, a wrong result, or a wait of some seconds. A user who may truncate the table or a segment's
//! file can also kill a process that accesses it (`SIGBUS`): each call checks the table's size, but at most every 4 ms
//! (see `open`). No seal forbids truncating, because only files without a name have seals; and the handler of the signal
//! is the program's.
//!
//! # What differs from the kernel
//!
//! `tests/conformance/documented.txt` has every known case, and docs/backends.md lists them for users. The main ones:
//!
//! - A child shares its parent's attachments if it was made by a bare `clone`, or if its parent could not open the
//!   segment's file when it forked (after `chroot`, or as another user). Such an attachment counts once, until both
//!   have detached it (after a bare `clone`, until the parent has).
//! - An attachment counts once even if the program has unmapped or protected a part of it.
//! - After a fork, the child's attachments are mapped anew: it does not inherit what `mprotect`, `mlock` or a partial
//!   `munmap` did to them in the parent. If the program has mapped other memory inside an attachment, the child inherits
//!   that, and shares the attachment as above.
//! - When a process ends, the kernel updates `shm_lpid` and `shm_dtime` at once, and destroys a removed segment with
//!   its last attachment. Here, the next process that checks the segment does so, and `shm_dtime` is the time of that
//!   check. A shmget that creates a segment checks two of the segments that may be left; IPC_STAT and shmat check
//!   their own, and SHM_INFO and IPC_INFO check all removed ones.
//! - A process of another PID namespace reads the ids of processes as 0, also in a parent or child namespace.
//! - Space is reserved when a segment is created: `SHM_INFO` counts all pages as resident, `SHM_NORESERVE` has no
//!   effect, and shmget fails with `ENOSPC` if the file system is full.
//! - There are no huge pages: `SHM_HUGETLB` fails as in a kernel that has none free. `SHM_LOCK` makes the kernel's
//!   checks and sets the flag, but locks nothing. `SHM_EXEC` fails with `EPERM` if the file system is mounted
//!   `noexec`.
//! - A shmget that creates a segment, and shmat, need a free descriptor during the call (`EMFILE`); a segment is at
//!   most as large as a file of this process may be (`RLIMIT_FSIZE`; `ENOMEM`).
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
mod parts;
mod path;
mod pending;
mod process;
mod records;
mod repair;
mod rights;
mod session;
mod space;
mod table;
mod unfinished;

pub use directory::directory;
pub use path::FilePath;

/// Checks that the directory and its table can be used. Returns the error that every call would return otherwise.
#[inline(never)]
pub fn check() -> Result<(), Errno> {
    keep_errno(|| session::Session::begin(true).map(drop))
}

// These four are never inlined: otherwise a call to the kernel's segments would need their stack, too.

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

/// Makes a call and restores the thread's `errno`, which a call that succeeds must not change.
fn keep_errno<T>(call: impl FnOnce() -> T) -> T {
    let errno = Errno::last();
    let result = call();
    errno.set();
    result
}
