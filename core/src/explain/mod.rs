//! Explains why one of the five calls failed: reads the facts behind an error number right after the
//! call, and formats sentences from them.
//!
//! The library's errors and the drop-in's trace use the same explanations. Three rules hold:
//! - A text states only facts that were read. Where nothing could be read, it gives the meaning of the
//!   error number.
//! - Facts may have changed since the call, so a fact that does not explain the failure is left out.
//! - Nothing is allocated, locked or kept, because a trace may run in a signal handler.
//!
//! Facts that are slow to read (which processes are live, which keys are similar, which namespaces
//! differ) are read when the text is formatted: a program that calls `shmget` until a segment exists
//! does not pay for texts that it does not use.

mod access;
mod cause;
mod files;
mod key;
mod leftover;
mod memory;
pub mod names;
mod ownership;
mod permission;
mod words;

pub use cause::Cause;
pub use leftover::{Leftover, Removal, Segments};
pub use names::Names;
pub use ownership::Ownership;
pub use words::{Bytes, ModeDoubt, ShownPath, Times, User};

use crate::{
    backend::{self, Occupant},
    sys::{self, Capability, Errno},
};
use access::{Access, Rights};
use cause::Unattached;
use core::{ffi::c_int, fmt, mem};
use key::{FAILED, Meant, NoKey};

/// A call with its arguments.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    Ftok {
        /// `None` if the pointer is invalid.
        path: Option<&'a [u8]>,
        proj_id: c_int,
    },
    Get {
        key: c_int,
        size: usize,
        flags: c_int,
    },
    Attach {
        id: c_int,
        address: usize,
        flags: c_int,
    },
    Detach {
        address: usize,
    },
    Control {
        id: c_int,
        command: c_int,
        /// The address of the caller's buffer; 0 also if the library passed a buffer of its own, which
        /// cannot be the cause.
        buffer: usize,
    },
}

impl Call<'_> {
    /// Returns the name of the C function.
    pub fn name(&self) -> &'static str {
        match self {
            Call::Ftok { .. } => "ftok",
            Call::Get { .. } => "shmget",
            Call::Attach { .. } => "shmat",
            Call::Detach { .. } => "shmdt",
            Call::Control { .. } => "shmctl",
        }
    }
}

/// Returns why this call has just failed with this error number.
#[cold]
pub fn why(call: Call<'_>, errno: Errno) -> Cause {
    if let Some(cause) = files::why(&call, errno) {
        return cause;
    }
    match (call, errno.0) {
        (_, libc::ENOSYS) => no_such_call(),
        (Call::Ftok { path, .. }, libc::ENOENT) => Cause::NoFile {
            relative: path.is_some_and(|path| !path.starts_with(b"/")),
            empty: path == Some(b""),
        },
        (Call::Ftok { .. }, _) => Cause::Plain(unusable_path(errno)),
        (Call::Get { key, size, flags }, _) => get(errno, key, size, flags),
        (Call::Attach { id, address, flags }, _) => attach(errno, id, address, flags),
        (Call::Detach { address }, libc::EINVAL) => nothing_attached(address),
        (
            Call::Control {
                id,
                command,
                buffer,
            },
            _,
        ) => control(errno, id, command, buffer),
        (_, libc::EPERM) => permission::refused(),
        _ => Cause::Plain("see the manual page of this call"),
    }
}

/// Returns the facts behind a segment that this process may attach for reading only; `None` if its mode is not the
/// reason, or that is unknown.
#[cold]
pub fn read_only(id: c_int, names: &'static Names) -> Option<impl fmt::Display> {
    let record = backend::stat(id).ok()?;
    let access = Access::of(id, &record, Rights::of_attach(0), 0);
    access.is_forbidden().then(|| access.text(names))
}

/// The text for an error of `ftok`.
fn unusable_path(errno: Errno) -> &'static str {
    match errno.0 {
        libc::ENOTDIR => "a component of the path before the last is not a directory",
        libc::EACCES => "this user may not search a directory of the path",
        libc::EFAULT => "the path is NULL or an invalid pointer",
        libc::ENAMETOOLONG => "the path is too long",
        libc::ELOOP => "the path has too many symbolic links",
        _ => "stat(2) failed for this file; see its manual page",
    }
}

/// `shmget`.
fn get(errno: Errno, key: c_int, size: usize, flags: c_int) -> Cause {
    match errno.0 {
        libc::EINVAL => bad_size(key, size, flags),
        libc::EACCES => match existing(key) {
            Some((id, record)) => {
                Cause::Access(Access::of(id, &record, Rights::of_open(flags), flags))
            }
            None => Cause::Plain(UNKNOWN_OWNER),
        },
        libc::EEXIST => match existing(key) {
            Some((id, record)) => Cause::Exists {
                id,
                ownership: Ownership::new(id, &record),
            },
            None => Cause::Existed,
        },
        libc::ENOENT if key == FAILED => Cause::Plain(cause::KEY_OF_FAILED_FTOK),
        libc::ENOENT => Cause::NoKey(NoKey::new(key)),
        libc::ENOSPC => reached_limit(size),
        libc::ENOMEM if flags & libc::SHM_HUGETLB != 0 => memory::too_few_huge_pages(size, flags),
        libc::ENOMEM => memory::too_little_memory(size),
        libc::EPERM if flags & libc::SHM_HUGETLB != 0 => no_right_to_huge_pages(),
        libc::EPERM => permission::refused(),
        libc::ENFILE => {
            Cause::Plain("the system-wide limit on open files is reached (fs.file-max)")
        }
        _ => Cause::Plain("see shmget(2)"),
    }
}

/// `EPERM` of `shmget` with huge pages.
fn no_right_to_huge_pages() -> Cause {
    Cause::Plain(match sys::has_seccomp_filter() {
        Some(true) => {
            "huge pages (SHM_HUGETLB) need CAP_IPC_LOCK or membership in the group of \
             vm.hugetlb_shm_group; or the seccomp filter of this process forbids the call"
        }
        _ => {
            "huge pages (SHM_HUGETLB) need CAP_IPC_LOCK or membership in the group of \
             vm.hugetlb_shm_group"
        }
    })
}

/// `EIDRM`. An id whose segment was destroyed earlier gives `EINVAL`.
const REMOVED_DURING_CALL: &str =
    "the segment was removed while the call was running; open it again by its key";

/// Returns the segment with a key. `shmget` without flags needs no permission: it returns the id to
/// every user.
fn existing(key: c_int) -> Option<(c_int, libc::shmid_ds)> {
    let id = key::holder(key)?;
    match backend::find(id) {
        Ok(Occupant::Holds(record)) => Some((id, record)),
        _ => None,
    }
}

/// `EINVAL` of `shmget`.
fn bad_size(key: c_int, size: usize, flags: c_int) -> Cause {
    if let Some((id, record)) = existing(key) {
        let have = record.shm_segsz;
        return if have < size {
            Cause::Smaller {
                id,
                have,
                asked: size,
                ownership: Ownership::new(id, &record),
            }
        } else {
            Cause::Plain("an argument does not match the segment with this key")
        };
    }
    let Ok(limits) = backend::limits() else {
        return Cause::Plain(
            "the size is 0, exceeds the limit kernel.shmmax, or exceeds the size of the segment \
             with this key; which of these is unknown",
        );
    };
    let shmmax = limits.shmmax as usize;
    if size == 0 {
        Cause::ZeroSize
    } else if size > isize::MAX as usize {
        Cause::TooLarge(
            "this size looks like a negative number that was converted to size_t; check how it is \
             computed",
        )
    } else if size >= 1 << 47 {
        Cause::TooLarge("no process can have that much memory; check how the size is computed")
    } else if size > shmmax {
        Cause::BeyondLimit { shmmax }
    } else if flags & libc::SHM_HUGETLB != 0 {
        match memory::huge_page_kib(flags) {
            Some(kib) if sys::huge_pages(kib) == Ok(None) => Cause::NoSuchHugePages { kib },
            _ => Cause::Plain("huge pages (SHM_HUGETLB) of this size are not available"),
        }
    } else {
        Cause::Plain("an argument is invalid; the limits and the segments do not show which")
    }
}

/// Returns which of the two limits behind `ENOSPC` is reached.
fn reached_limit(size: usize) -> Cause {
    let (Ok(limits), Ok((_, usage))) = (backend::limits(), backend::usage()) else {
        return Cause::Plain(
            "a system limit is reached, kernel.shmmni or kernel.shmall; free space on the disk \
             does not matter",
        );
    };
    let (segments, shmmni) = (usage.used_ids as usize, limits.shmmni as usize);
    let (pages, shmall) = (usage.shm_tot as usize, limits.shmall as usize);
    let asked = size.div_ceil(sys::page_size());
    if segments >= shmmni {
        Cause::Ids {
            used: segments,
            shmmni,
        }
    } else if pages.saturating_add(asked) > shmall {
        Cause::Pages {
            asked,
            used: pages,
            limit: shmall,
        }
    } else {
        Cause::Plain(
            "a system limit was reached, kernel.shmmni or kernel.shmall, and no longer is; try \
             again",
        )
    }
}

/// `shmat`.
fn attach(errno: Errno, id: c_int, address: usize, flags: c_int) -> Cause {
    match errno.0 {
        libc::EINVAL => match backend::find(id) {
            Ok(Occupant::Holds(record)) => bad_address(address, record.shm_segsz, flags),
            place if place.is_ok() || id < 0 => no_such_id(id, place),
            _ => Cause::Plain(
                "there is no segment with this id, or the address is invalid; which of these is \
                 unknown",
            ),
        },
        libc::EIDRM => Cause::Plain(REMOVED_DURING_CALL),
        libc::EACCES => denied_by_id(id, Rights::of_attach(flags)),
        libc::EPERM => forbidden_address(address, flags),
        libc::ENOMEM => memory::too_little_room(id, address),
        _ => Cause::Plain("see shmat(2)"),
    }
}

/// `EPERM` of `shmat`.
fn forbidden_address(address: usize, flags: c_int) -> Cause {
    let start = match flags & libc::SHM_RND {
        0 => address,
        _ => address - address % sys::page_size(),
    };
    match sys::lowest_address() {
        // The limit does not apply to an address that the kernel chooses.
        Some(lowest)
            if address != 0
                && start < lowest
                && sys::is_privileged(Capability::SysRawio) == Some(false) =>
        {
            Cause::TooLow { address, lowest }
        }
        _ if flags & libc::SHM_REMAP != 0 => Cause::Plain(
            "the mapping at this address may be sealed (mseal), so that SHM_REMAP cannot replace \
             it; or a seccomp filter or a security module forbids the call",
        ),
        _ => permission::refused(),
    }
}

/// `EINVAL` of `shmat`, for a segment that exists.
fn bad_address(address: usize, size: usize, flags: c_int) -> Cause {
    let page = sys::page_size();
    let replace = flags & libc::SHM_REMAP != 0;
    if address == 0 && replace {
        return Cause::Plain("SHM_REMAP needs an address");
    }
    if address == 0 {
        return Cause::Plain("the flags are invalid; see shmat(2)");
    }
    let start = match address % page {
        0 => address,
        rest if flags & libc::SHM_RND != 0 => address - rest,
        _ => return Cause::NotAligned { address, page },
    };
    if start == 0 {
        return Cause::Plain(
            "this address rounded down to a page is 0, where SHM_REMAP replaces nothing; pass \
             NULL to let the kernel choose",
        );
    }
    match sys::mappings_in(start, size) {
        Ok((_, Some((from, to)))) if !replace => Cause::Occupied { from, to },
        _ => Cause::Plain("the segment cannot be attached at this address"),
    }
}

/// `EINVAL` of `shmdt`.
fn nothing_attached(address: usize) -> Cause {
    if address == 0 {
        return Cause::NotAttached(Unattached::Null);
    }
    if address == usize::MAX {
        return Cause::NotAttached(Unattached::Failed);
    }
    match sys::find_attachment(|area| (area.start..area.start + area.len).contains(&address)) {
        Ok(Some(area)) if area.start != address => Cause::Inside {
            id: area.id,
            start: area.start,
        },
        Ok(None) if is_id(address) => Cause::NotAttached(Unattached::Id),
        Ok(None) => Cause::NotAttached(Unattached::Free),
        _ => Cause::NotAttached(Unattached::Unknown),
    }
}

/// Returns whether a segment has this number as its id.
fn is_id(number: usize) -> bool {
    c_int::try_from(number).is_ok_and(|id| matches!(backend::find(id), Ok(Occupant::Holds(_))))
}

/// `shmctl`.
fn control(errno: Errno, id: c_int, command: c_int, buffer: usize) -> Cause {
    let locking = matches!(command, libc::SHM_LOCK | libc::SHM_UNLOCK);
    match errno.0 {
        libc::EINVAL if !is_command(command) => {
            Cause::Plain("there is no such command; see shmctl(2)")
        }
        libc::EINVAL if takes_index(command) => match backend::usage() {
            Ok((highest, _)) => Cause::NoIndex { index: id, highest },
            Err(_) => Cause::Plain("most likely no segment has this index"),
        },
        libc::EINVAL => match backend::find(id) {
            Ok(Occupant::Holds(_)) => bad_change(command, buffer),
            place if place.is_ok() || id < 0 => no_such_id(id, place),
            _ => Cause::Plain("most likely there is no segment with this id"),
        },
        libc::EIDRM => Cause::Plain(REMOVED_DURING_CALL),
        libc::EACCES if takes_index(command) => match backend::stat_at(id) {
            Ok((id, record)) => Cause::Access(Access::of(id, &record, Rights::READ, 0)),
            Err(_) => Cause::Plain(UNKNOWN_OWNER),
        },
        libc::EACCES => denied_by_id(id, Rights::READ),
        libc::EPERM => match backend::find(id) {
            Ok(Occupant::Holds(record)) => permission::not_yours(&record, locking),
            _ if sys::has_seccomp_filter() == Some(true) => Cause::Plain(cause::FILTER),
            _ => Cause::Plain("only the segment's owner, its creator and root may do this"),
        },
        libc::ENOMEM if locking => match (backend::find(id), sys::locked_limit()) {
            (Ok(Occupant::Holds(record)), Some(limit)) => Cause::Locked {
                asked: record.shm_segsz as u64,
                user: sys::effective_user(),
                limit,
            },
            _ => Cause::Plain("the kernel cannot lock the segment into memory; see shmctl(2)"),
        },
        libc::EFAULT => Cause::Plain(match (buffer, command) {
            (0, _) => "the buffer is NULL",
            (_, libc::IPC_SET) => {
                "the buffer's address is invalid, or this process may not read the memory there"
            }
            _ => {
                "the buffer's address is invalid, or this process may not write to the memory \
                 there"
            }
        }),
        libc::EOVERFLOW => Cause::Plain("a number does not fit into a field of the buffer"),
        _ => Cause::Plain("see shmctl(2)"),
    }
}

/// `EINVAL` of `shmctl` for a segment that exists: an owner or group that IPC_SET rejects.
fn bad_change(command: c_int, buffer: usize) -> Cause {
    type Knows = fn(u32) -> Option<bool>;
    const FIELDS: [(&str, usize, Knows); 2] = [
        ("uid", mem::offset_of!(libc::ipc_perm, uid), sys::knows_user),
        (
            "gid",
            mem::offset_of!(libc::ipc_perm, gid),
            sys::knows_group,
        ),
    ];
    // shm_perm is the first field of a shmid_ds.
    let mut permissions = [0; size_of::<libc::ipc_perm>()];
    if command == libc::IPC_SET
        && sys::read_foreign(buffer as *const u8, &mut permissions) == Ok(permissions.len())
    {
        for (what, at, knows) in FIELDS {
            let bytes = permissions[at..].first_chunk().copied();
            let number = u32::from_ne_bytes(bytes.unwrap_or_default());
            if knows(number) == Some(false) {
                return Cause::NoSuchOwner(what, number);
            }
        }
    }
    Cause::Plain("an argument is invalid; see shmctl(2)")
}

/// Returns whether `shmctl(2)` has a command: 0 to 3 are those of all System V IPC, 11 to 15 those of
/// shared memory.
fn is_command(command: c_int) -> bool {
    matches!(command, 0..=3 | 11..=15)
}

/// Returns whether a command takes an index into the kernel's table, not an id.
fn takes_index(command: c_int) -> bool {
    matches!(command, backend::SHM_STAT | backend::SHM_STAT_ANY)
}

/// `EINVAL` of a call on an id that no segment has.
fn no_such_id(id: c_int, place: Result<Occupant, Errno>) -> Cause {
    match (Meant::by_id(id), place) {
        (Some(meant), _) => Cause::NotAnId { id, meant },
        (None, Ok(Occupant::GivenTo(other))) if id >= 0 => Cause::Gone { other },
        _ => Cause::NoId { id },
    }
}

/// `EACCES` of a call on an id that wants these rights.
fn denied_by_id(id: c_int, wanted: Rights) -> Cause {
    match backend::find(id) {
        Ok(Occupant::Holds(record)) => Cause::Access(Access::of(id, &record, wanted, 0)),
        _ => Cause::Plain(UNKNOWN_OWNER),
    }
}

/// `EACCES`, and the segment's record cannot be read.
const UNKNOWN_OWNER: &str =
    "most likely the segment's mode forbids this to this user; its owner and mode cannot be read";

/// `ENOSYS`.
fn no_such_call() -> Cause {
    match (sys::has_seccomp_filter(), sys::has_system_v_ipc()) {
        (_, Some(false)) => Cause::Plain(
            "this kernel was built without System V IPC (CONFIG_SYSVIPC): /proc/sysvipc does not \
             exist; use a kernel that has it",
        ),
        (Some(true), _) => Cause::Plain(cause::FILTER),
        (Some(false), Some(true)) => Cause::Plain(
            "this kernel has System V IPC (/proc/sysvipc exists) and no seccomp filter is \
             installed, so an emulator, a sandbox or a tracer between this program and the kernel \
             rejects the call",
        ),
        _ => Cause::Plain(
            "the kernel has no System V shared memory (CONFIG_SYSVIPC), or a seccomp filter \
             rejects the call; which of these is unknown, because /proc cannot be read",
        ),
    }
}
