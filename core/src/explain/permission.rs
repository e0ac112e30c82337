//! `EACCES` and `EPERM`: whether the kernel's own rules forbid a call, and what is said if they do
//! not. The rules are those of `ipcperms` and `ipcctl_obtain_check` in the kernel's ipc/util.c.

use super::{
    Cause,
    words::{ModeDoubt, User},
};
use crate::sys::{self, Capability};
use core::{ffi::c_int, fmt};

/// What changes a mode, in the command, in C and in Rust.
const CHANGE_MODE: &str = "shmkey chmod, shm_set_mode(), Segment::set_mode";

/// Rights, as the three bits of one class in a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u32);

impl Rights {
    pub const READ: Rights = Rights(4);

    /// What attaching asks for.
    pub fn of_attach(flags: c_int) -> Rights {
        let read_only = flags & libc::SHM_RDONLY != 0;
        let execute = flags & libc::SHM_EXEC != 0;
        Rights(if read_only { 4 } else { 6 } | u32::from(execute))
    }

    /// What opening asks for: the bits of all three classes together.
    pub fn of_open(flags: c_int) -> Rights {
        let mode = flags as u32;
        Rights((mode >> 6 | mode >> 3 | mode) & 7)
    }
}

/// `read, write and execute`
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "do nothing with",
            1 => "execute",
            2 => "write",
            3 => "write and execute",
            4 => "read",
            5 => "read and execute",
            6 => "read and write",
            _ => "read, write and execute",
        })
    }
}

/// As whom a process meets a segment's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Owner,
    Group(u32),
    Other,
}

/// What the mode says of this process.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Forbidden {
        class: Class,
        may: Rights,
    },
    Allowed {
        filter: Option<bool>,
    },
    /// The mode does not matter.
    Overridden {
        filter: Option<bool>,
    },
    Unknown,
}

/// `EACCES`: a segment, and what its mode has to do with it.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    id: c_int,
    owner: u32,
    mode: u32,
    user: u32,
    wanted: Rights,
    /// The flags of `shmget`, whose mode says what is wanted; else 0.
    flags: c_int,
    verdict: Verdict,
}

/// `EACCES` of a call on this segment that wants these rights.
pub(super) fn denied(id: c_int, record: &libc::shmid_ds, wanted: Rights, flags: c_int) -> Cause {
    let mode = u32::from(record.shm_perm.mode) & 0o777;
    Cause::Access(Access {
        id,
        owner: record.shm_perm.uid,
        mode,
        user: sys::effective_user(),
        wanted,
        flags,
        verdict: judge(&record.shm_perm, mode, wanted).unwrap_or(Verdict::Unknown),
    })
}

/// `None` if something that counts cannot be read.
fn judge(segment: &libc::ipc_perm, mode: u32, wanted: Rights) -> Option<Verdict> {
    let filter = sys::has_seccomp_filter();
    let overrides = sys::may_override(Capability::IpcOwner);
    if overrides == Some(true) {
        return Some(Verdict::Overridden { filter });
    }
    let class = class(segment)?;
    let may = Rights(match class {
        Class::Owner => mode >> 6 & 7,
        Class::Group(_) => mode >> 3 & 7,
        Class::Other => mode & 7,
    });
    if wanted.0 & !may.0 == 0 {
        return Some(Verdict::Allowed { filter });
    }
    overrides.map(|_| Verdict::Forbidden { class, may })
}

fn class(segment: &libc::ipc_perm) -> Option<Class> {
    let user = sys::effective_user();
    // All whom this namespace does not know have one number here, and need not be the same.
    if !sys::knows_user(user)? {
        return None;
    }
    if user == segment.uid || user == segment.cuid {
        return Some(Class::Owner);
    }
    for group in [segment.cgid, segment.gid] {
        if sys::is_in_group(group)? {
            return sys::knows_group(group)?.then_some(Class::Group(group));
        }
    }
    Some(Class::Other)
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access {
            id,
            owner,
            mode,
            user,
            wanted,
            flags,
            verdict,
        } = *self;
        let (owner, user) = (User(owner), User(user));
        write!(
            f,
            "the segment {id} belongs to {owner} and has mode {mode:04o}"
        )?;
        match verdict {
            Verdict::Forbidden { class, may } => {
                write!(f, ": {user}")?;
                match class {
                    Class::Owner => f.write_str(", who owns or created it,")?,
                    Class::Group(group) => write!(f, ", as a member of its group {group},")?,
                    Class::Other => f.write_str(", neither its owner nor in its group,")?,
                }
                write!(
                    f,
                    " may {may} it, and this call asks to {wanted} it; its owner can change the mode ({CHANGE_MODE}), or create it with another"
                )?;
                // Both may be meant otherwise, and mostly are the same.
                let of_segment = ModeDoubt::of(mode);
                let of_call = ModeDoubt::of(flags as u32).filter(|_| flags & 0o777 != 0);
                let of_call = of_call.filter(|doubt| Some(*doubt) != of_segment);
                [of_segment, of_call]
                    .into_iter()
                    .flatten()
                    .try_for_each(|doubt| write!(f, "; {doubt}"))
            }
            Verdict::Allowed { filter } => {
                write!(
                    f,
                    ", which now allows {user} to {wanted} it: the mode was changed since the call, or "
                )?;
                forbidding(f, filter)
            }
            Verdict::Overridden { filter } => {
                write!(
                    f,
                    ", which does not count for {user}, who has CAP_IPC_OWNER: "
                )?;
                forbidding(f, filter)
            }
            Verdict::Unknown => write!(
                f,
                "; whether that allows {user} to {wanted} it cannot be told"
            ),
        }
    }
}

fn forbidding(f: &mut fmt::Formatter<'_>, filter: Option<bool>) -> fmt::Result {
    f.write_str(match filter {
        Some(true) => "the seccomp filter that is installed for this process, or a security module, forbids it",
        Some(false) => "a security module (AppArmor, SELinux) or a sandbox forbids it",
        None => "a seccomp filter or a security module forbids it",
    })
}

/// `EPERM` of removing, changing or locking a segment.
pub(super) fn not_yours(record: &libc::shmid_ds, locking: bool) -> Cause {
    let (owner, creator) = (record.shm_perm.uid, record.shm_perm.cuid);
    let user = sys::effective_user();
    let (wanted, capability) = match locking {
        true => (Capability::IpcLock, "CAP_IPC_LOCK"),
        false => (Capability::SysAdmin, "CAP_SYS_ADMIN"),
    };
    match sys::may_override(wanted) {
        Some(false) if user != owner && user != creator => Cause::NotYours {
            owner,
            creator,
            user,
            capability,
        },
        Some(false) if locking && sys::locked_limit() == Some(0) => Cause::LockedNone,
        _ => refused(),
    }
}

/// `EPERM` where the call's own rules do not forbid it, or cannot be judged.
pub(super) fn refused() -> Cause {
    match sys::has_seccomp_filter() {
        Some(true) => Cause::Filter,
        Some(false) => Cause::plain(
            "no seccomp filter is installed; look for a security module (AppArmor, SELinux) or a sandbox that forbids it",
        ),
        None => Cause::plain(
            "whether a seccomp filter or a security module forbids this cannot be told, because /proc cannot be read",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_that_the_kernel_asks_for() {
        assert_eq!(Rights::of_attach(0), Rights(6));
        assert_eq!(Rights::of_attach(libc::SHM_RDONLY), Rights::READ);
        assert_eq!(Rights::of_attach(libc::SHM_EXEC), Rights(7));
        assert_eq!(Rights::of_open(0o600 | libc::IPC_CREAT), Rights(6));
        assert_eq!(Rights::of_open(0o421), Rights(7));
        assert_eq!(Rights::of_open(0), Rights(0));
    }
}
