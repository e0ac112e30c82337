//! Why one of the five calls failed: the facts behind an error number, looked up right after the
//! call, and sentences made of them.
//!
//! The library's errors and the drop-in's trace both ask here, so they say the same. Three rules:
//! what is claimed has been looked at, and where nothing could be read, only the number's meaning
//! is given; facts may have changed since the call, so one that does not explain the failure is not
//! brought up; nothing is allocated, locked or kept, because a trace may run in a signal handler.
//!
//! What takes long to find out (which processes live, which keys are like this one, which namespaces
//! differ) is looked up when the sentence is made: a program that calls `shmget` until a segment is
//! there does not pay for sentences that it does not ask for.

mod cause;
mod key;
mod memory;
mod ownership;
mod permission;
mod words;

pub use cause::Cause;
pub use ownership::Ownership;
pub use words::{Bytes, ShownPath};
pub use words::{ModeDoubt, Times, User};

use crate::{
    backend::{self, Occupant},
    sys::{self, Capability, Errno},
};
use core::{ffi::c_int, mem};
use key::{Meant, NoKey};
use permission::Rights;

/// A call with its arguments.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    Ftok {
        /// `None` if the pointer leads nowhere.
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
        /// The address of the program's buffer; 0 also where the library has one of its own, which
        /// is not to blame.
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

/// Why this call has just failed with this number.
#[cold]
pub fn why(call: Call<'_>, errno: Errno) -> Cause {
    match (call, errno.0) {
        (_, libc::ENOSYS) => no_such_call(),
        (Call::Ftok { path, .. }, libc::ENOENT) => Cause::NoFile {
            relative: path.is_some_and(|path| !path.starts_with(b"/")),
            empty: path == Some(b""),
        },
        (Call::Ftok { .. }, _) => Cause::plain(file(errno)),
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
        _ => Cause::plain("see the manual page of this call"),
    }
}

fn file(errno: Errno) -> &'static str {
    match errno.0 {
        libc::ENOTDIR => "a part of the path that should be a directory is none",
        libc::EACCES => "a directory on the path may not be searched by this user",
        libc::EFAULT => "the path is NULL or a pointer that leads nowhere",
        libc::ENAMETOOLONG => "the path is too long",
        libc::ELOOP => "the path leads through too many symbolic links",
        _ => "the file cannot be looked at; see stat(2)",
    }
}

/// `shmget`.
fn get(errno: Errno, key: c_int, size: usize, flags: c_int) -> Cause {
    match errno.0 {
        libc::EINVAL => bad_size(key, size, flags),
        libc::EACCES => match existing(key) {
            Some((id, record)) => permission::denied(id, &record, Rights::of_open(flags), flags),
            None => Cause::plain(UNKNOWN_OWNER),
        },
        libc::EEXIST => match existing(key) {
            Some((id, record)) => Cause::Exists {
                id,
                ownership: Ownership::new(id, &record),
            },
            None => Cause::plain(
                "a segment with this key existed, and it was to be created exclusively (IPC_EXCL)",
            ),
        },
        libc::ENOENT if key == FAILED => Cause::KeyOfFailedFtok,
        libc::ENOENT => Cause::NoKey(NoKey::new(key)),
        libc::ENOSPC => reached_limit(size),
        libc::ENOMEM if flags & libc::SHM_HUGETLB != 0 => memory::too_few_huge_pages(size, flags),
        libc::ENOMEM => memory::too_little_memory(size),
        libc::EPERM if flags & libc::SHM_HUGETLB != 0 => match sys::has_seccomp_filter() {
            Some(true) => Cause::plain(
                "huge pages (SHM_HUGETLB) need CAP_IPC_LOCK or membership of the group in vm.hugetlb_shm_group; or the seccomp \
                 filter that is installed for this process forbids the call",
            ),
            _ => Cause::plain(
                "huge pages (SHM_HUGETLB) need CAP_IPC_LOCK or membership of the group in vm.hugetlb_shm_group",
            ),
        },
        libc::EPERM => permission::refused(),
        libc::ENFILE => Cause::plain("the whole system has as many files open as it allows"),
        _ => Cause::plain("see shmget(2)"),
    }
}

/// `EIDRM`. An id whose segment has long gone gives `EINVAL`.
const REMOVED_MEANWHILE: &str = "the segment was removed at this very moment, while the call was under way; open it again by its key";

/// What each of the calls returns when it fails, and what programs that do not look pass on.
const FAILED: c_int = -1;

/// The segment under a key. Without any flag, `shmget` asks for no permission: it tells the id to
/// everybody.
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
            Cause::plain("an argument does not suit the segment under this key")
        };
    }
    let Ok(limits) = backend::limits() else {
        return Cause::plain(
            "the size is 0, or beyond the limit kernel.shmmax, or larger than the segment under this key; \
             which of these cannot be told",
        );
    };
    let shmmax = limits.shmmax as usize;
    if size == 0 {
        Cause::ZeroSize
    } else if size > isize::MAX as usize {
        Cause::TooLarge(
            "this size looks like a negative number that was cast to size_t; look at where it comes from",
        )
    } else if size >= 1 << 47 {
        Cause::TooLarge("no process can have that much memory; look at where the size comes from")
    } else if size > shmmax {
        Cause::BeyondLimit { shmmax }
    } else if flags & libc::SHM_HUGETLB != 0 {
        match memory::huge_page_kib(flags) {
            Some(kib) if sys::huge_pages(kib) == Ok(None) => Cause::NoSuchHugePages { kib },
            _ => Cause::plain("huge pages (SHM_HUGETLB) of this size cannot be had here"),
        }
    } else {
        Cause::plain("an argument is not valid, and the limits and the segments do not show which")
    }
}

/// Which of the two limits behind `ENOSPC` it is.
fn reached_limit(size: usize) -> Cause {
    let (Ok(limits), Ok((_, usage))) = (backend::limits(), backend::usage()) else {
        return Cause::plain(
            "a limit of the system is reached, kernel.shmmni or kernel.shmall; this is not about the disk",
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
            shmall,
        }
    } else {
        Cause::plain(
            "a limit of the system was reached, kernel.shmmni or kernel.shmall (not the disk), and there is room again: try again",
        )
    }
}

/// `shmat`.
fn attach(errno: Errno, id: c_int, address: usize, flags: c_int) -> Cause {
    match errno.0 {
        libc::EINVAL => match backend::find(id) {
            Ok(Occupant::Holds(record)) => bad_address(address, record.shm_segsz, flags),
            place if place.is_ok() || id < 0 => no_such_id(id, place),
            _ => Cause::plain(
                "there is no segment with this id, or the address is not one to attach at; which of these cannot be told",
            ),
        },
        libc::EIDRM => Cause::plain(REMOVED_MEANWHILE),
        libc::EACCES => denied(id, Rights::of_attach(flags)),
        libc::EPERM => forbidden_address(address, flags),
        libc::ENOMEM => memory::too_little_room(id, address),
        _ => Cause::plain("see shmat(2)"),
    }
}

/// `EPERM` of `shmat`.
fn forbidden_address(address: usize, flags: c_int) -> Cause {
    let start = match flags & libc::SHM_RND {
        0 => address,
        _ => address - address % sys::page_size(),
    };
    match sys::lowest_address() {
        // Of an address that is left to the system, nothing is asked.
        Some(lowest)
            if address != 0
                && start < lowest
                && sys::is_privileged(Capability::SysRawio) == Some(false) =>
        {
            Cause::TooLow { address, lowest }
        }
        _ if flags & libc::SHM_REMAP != 0 => Cause::plain(
            "what is mapped there may be sealed (mseal), so that it cannot be replaced (SHM_REMAP); or a seccomp filter or a \
             security module forbids it",
        ),
        _ => permission::refused(),
    }
}

/// `EINVAL` of `shmat`, for a segment that is there.
fn bad_address(address: usize, size: usize, flags: c_int) -> Cause {
    let page = sys::page_size();
    let replace = flags & libc::SHM_REMAP != 0;
    if address == 0 && replace {
        return Cause::plain("replacing what is mapped (SHM_REMAP) needs an address");
    }
    if address == 0 {
        return Cause::plain("the flags make no sense; see shmat(2)");
    }
    let start = match address % page {
        0 => address,
        rest if flags & libc::SHM_RND != 0 => address - rest,
        _ => return Cause::NotAligned { address, page },
    };
    if start == 0 {
        return Cause::plain(
            "rounded down to a page, this address is 0, and there nothing is replaced (SHM_REMAP); let the system choose (NULL)",
        );
    }
    match sys::mappings_in(start, size) {
        Ok((_, Some((from, to)))) if !replace => Cause::Occupied { from, to },
        _ => Cause::plain("the segment cannot be attached at this address"),
    }
}

/// `EINVAL` of `shmdt`.
fn nothing_attached(address: usize) -> Cause {
    if address == 0 {
        return Cause::NotAttached(
            "the address is NULL, where nothing is attached; shm_attach returns it when it fails, so check its result",
        );
    }
    if address == usize::MAX {
        return Cause::NotAttached(
            "this address, (void *) -1, is what a failed shmat returns; check its result",
        );
    }
    match sys::find_attachment(|area| (area.start..area.start + area.len).contains(&address)) {
        Ok(Some(area)) if area.start != address => Cause::Inside {
            id: area.id,
            start: area.start,
        },
        Ok(None) if is_id(address) => Cause::NotAttached(
            "this number is the id of a segment, and shmdt takes the address that shmat has returned for it",
        ),
        Ok(None) => Cause::NotAttached(
            "no segment is attached at this address; it is the very address that attaching returned, and only until it is detached",
        ),
        _ => Cause::NotAttached(
            "what is needed is the very address that attaching returned, and only until it is detached; what is attached where cannot be told",
        ),
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
            Cause::plain("there is no such command; see shmctl(2)")
        }
        libc::EINVAL if takes_index(command) => match backend::usage() {
            Ok((highest, _)) => Cause::NoIndex { index: id, highest },
            Err(_) => {
                Cause::plain("most likely no segment has this index, which cannot be told for sure")
            }
        },
        libc::EINVAL => match backend::find(id) {
            Ok(Occupant::Holds(_)) => bad_change(command, buffer),
            place if place.is_ok() || id < 0 => no_such_id(id, place),
            _ => Cause::plain(
                "most likely there is no segment with this id, which cannot be told for sure",
            ),
        },
        libc::EIDRM => Cause::plain(REMOVED_MEANWHILE),
        libc::EACCES if takes_index(command) => match backend::stat_at(id) {
            Ok((id, record)) => permission::denied(id, &record, Rights::READ, 0),
            Err(_) => Cause::plain(UNKNOWN_OWNER),
        },
        libc::EACCES => denied(id, Rights::READ),
        libc::EPERM => match backend::find(id) {
            Ok(Occupant::Holds(record)) => permission::not_yours(&record, locking),
            _ if sys::has_seccomp_filter() == Some(true) => Cause::Filter,
            _ => Cause::plain("only the segment's owner, its creator and root may do this"),
        },
        libc::ENOMEM if locking => match (backend::find(id), sys::locked_limit()) {
            (Ok(Occupant::Holds(record)), Some(limit)) => Cause::Locked {
                asked: record.shm_segsz as u64,
                user: sys::effective_user(),
                limit,
            },
            _ => Cause::plain("the segment cannot be locked into memory; see shmctl(2)"),
        },
        libc::EFAULT => Cause::plain(match (buffer, command) {
            (0, _) => "the buffer is NULL",
            (_, libc::IPC_SET) => {
                "the buffer's address leads nowhere, or to memory that this process may not read"
            }
            _ => "the buffer's address leads nowhere, or to memory that this process may not write",
        }),
        libc::EOVERFLOW => Cause::plain("a number does not fit into the buffer's fields"),
        _ => Cause::plain("see shmctl(2)"),
    }
}

/// `EINVAL` of `shmctl` for a segment that is there: what it was to be changed to.
fn bad_change(command: c_int, buffer: usize) -> Cause {
    let mut permissions = [0; size_of::<libc::ipc_perm>()];
    let (user, group) = (
        mem::offset_of!(libc::ipc_perm, uid),
        mem::offset_of!(libc::ipc_perm, gid),
    );
    if command == libc::IPC_SET
        && sys::read_foreign(buffer as *const u8, &mut permissions) == Ok(permissions.len())
    {
        // shm_perm is what a shmid_ds begins with.
        let number = |at: usize| {
            let bytes = permissions[at..].first_chunk();
            u32::from_ne_bytes(bytes.copied().unwrap_or_default())
        };
        let (user, group) = (number(user), number(group));
        if sys::knows_user(user) == Some(false) {
            return Cause::NoSuchUser { user };
        }
        if sys::knows_group(group) == Some(false) {
            return Cause::NoSuchGroup { group };
        }
    }
    Cause::plain("an argument is not valid; see shmctl(2)")
}

/// The commands of `shmctl(2)`: 0 to 3 are those of all System V IPC, 11 to 15 those of shared
/// memory.
fn is_command(command: c_int) -> bool {
    matches!(command, 0..=3 | 11..=15)
}

/// `SHM_STAT` and `SHM_STAT_ANY` take a place in the kernel's table, and not an id.
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
fn denied(id: c_int, wanted: Rights) -> Cause {
    match backend::find(id) {
        Ok(Occupant::Holds(record)) => permission::denied(id, &record, wanted, 0),
        _ => Cause::plain(UNKNOWN_OWNER),
    }
}

/// `EACCES`, and the segment's record cannot be read.
const UNKNOWN_OWNER: &str = "most likely the segment's mode does not allow this to this user, which cannot be told for sure, nor who owns it";

/// `ENOSYS`.
fn no_such_call() -> Cause {
    match (sys::has_seccomp_filter(), sys::has_system_v_ipc()) {
        (_, Some(false)) => Cause::plain(
            "this kernel was built without System V IPC (CONFIG_SYSVIPC): /proc/sysvipc is missing; another kernel has it",
        ),
        (Some(true), _) => Cause::Filter,
        (Some(false), Some(true)) => Cause::plain(
            "this kernel has System V IPC (/proc/sysvipc is there) and no seccomp filter is installed, yet something between \
             this program and the kernel answers that the call does not exist: an emulator, a sandbox or a tracer",
        ),
        _ => Cause::plain(
            "here is no System V shared memory: the kernel lacks it (CONFIG_SYSVIPC) or a seccomp filter hides it; which of these \
             cannot be told, because /proc cannot be read",
        ),
    }
}
