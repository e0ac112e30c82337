//! `EACCES`: whether a segment's mode forbids a call, and other causes if it does not. The rules are
//! those of `ipcperms` in the kernel's ipc/util.c.

use super::{
    Names,
    words::{ModeDoubt, User},
};
use crate::sys::{self, Capability};
use core::{ffi::c_int, fmt};

/// Rights: the three bits of one class in a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u32);

impl Rights {
    pub const READ: Rights = Rights(4);

    /// The rights that `shmat` requires.
    pub fn of_attach(flags: c_int) -> Rights {
        let read_only = flags & libc::SHM_RDONLY != 0;
        let execute = flags & libc::SHM_EXEC != 0;
        Rights(if read_only { 4 } else { 6 } | u32::from(execute))
    }

    /// The rights that `shmget` requires: the bits of all three classes together.
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

/// The class of a segment's mode that applies to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Owner,
    Group(u32),
    Other,
}

/// Whether the mode allows this process to do what the call wants.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Forbidden {
        class: Class,
        may: Rights,
    },
    Allowed {
        filter: Option<bool>,
    },
    /// The process has CAP_IPC_OWNER, so the mode does not matter.
    Overridden {
        filter: Option<bool>,
    },
    Unknown,
}

/// The facts behind `EACCES`: a segment's mode, and the rights that the call wanted.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    id: c_int,
    owner: u32,
    mode: u32,
    user: u32,
    wanted: Rights,
    /// The flags of `shmget`, whose mode bits are the wanted rights; 0 for other calls.
    flags: c_int,
    verdict: Verdict,
}

impl Access {
    /// Judges a call on this segment that wants these rights.
    pub fn of(id: c_int, record: &libc::shmid_ds, wanted: Rights, flags: c_int) -> Access {
        let mode = u32::from(record.shm_perm.mode) & 0o777;
        Access {
            id,
            owner: record.shm_perm.uid,
            mode,
            user: sys::effective_user(),
            wanted,
            flags,
            verdict: judge(&record.shm_perm, mode, wanted).unwrap_or(Verdict::Unknown),
        }
    }
}

impl Access {
    pub fn text(self, names: &'static Names) -> impl fmt::Display {
        AccessText(self, names)
    }

    /// Returns whether the mode forbids the call.
    pub fn is_forbidden(&self) -> bool {
        matches!(self.verdict, Verdict::Forbidden { .. })
    }
}

/// Applies the kernel's rules; `None` if a fact that they need cannot be read.
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
    // All users without an id in this user namespace have the same number here.
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

struct AccessText(Access, &'static Names);

impl fmt::Display for AccessText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AccessText(access, names) = *self;
        let Access {
            id,
            owner,
            mode,
            user,
            wanted,
            flags,
            verdict,
        } = access;
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
                    " may {may} it, and this call wants to {wanted} it; its owner can change the \
                     mode ({}), or create it with another mode",
                    names.set_mode
                )?;
                // Both modes may be mistakes, and often are the same mistake.
                let of_segment = ModeDoubt::of(mode);
                let of_call = ModeDoubt::of(flags as u32).filter(|_| flags & 0o777 != 0);
                let of_call = of_call.filter(|doubt| Some(*doubt) != of_segment);
                [of_segment, of_call]
                    .into_iter()
                    .flatten()
                    .try_for_each(|doubt| write!(f, "; {}", doubt.text(names)))
            }
            Verdict::Allowed { filter } => {
                write!(
                    f,
                    ", which allows {user} to {wanted} it: the mode was changed after the call, \
                     or "
                )?;
                f.write_str(other_obstacle(filter))
            }
            Verdict::Overridden { filter } => {
                write!(
                    f,
                    ", which does not apply to {user}, who has CAP_IPC_OWNER: "
                )?;
                f.write_str(other_obstacle(filter))
            }
            Verdict::Unknown => write!(f, "; whether that allows {user} to {wanted} it is unknown"),
        }
    }
}

/// The obstacles besides the mode. `filter`: whether this process has a seccomp filter.
fn other_obstacle(filter: Option<bool>) -> &'static str {
    match filter {
        Some(true) => "the seccomp filter of this process, or a security module, forbids it",
        Some(false) => "a security module (AppArmor, SELinux) or a sandbox forbids it",
        None => "a seccomp filter or a security module forbids it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_that_the_kernel_requires() {
        assert_eq!(Rights::of_attach(0), Rights(6));
        assert_eq!(Rights::of_attach(libc::SHM_RDONLY), Rights::READ);
        assert_eq!(Rights::of_attach(libc::SHM_EXEC), Rights(7));
        assert_eq!(Rights::of_open(0o600 | libc::IPC_CREAT), Rights(6));
        assert_eq!(Rights::of_open(0o421), Rights(7));
        assert_eq!(Rights::of_open(0), Rights(0));
    }
}
