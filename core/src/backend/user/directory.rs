//! The directory that is this process's namespace.
//!
//! `SHMKEY_DIR` names it, by an absolute path. If that is unset or empty, the directory is the first of these that
//! exists or can be made, where UID is the number of the effective user:
//!
//! 1. `/dev/shm/shmkey-UID`
//! 2. `$XDG_RUNTIME_DIR/shmkey`, if that path is absolute
//! 3. `$TMPDIR/shmkey-UID`, or `/tmp/shmkey-UID` if `TMPDIR` is not an absolute path
//!
//! A program with more rights than its caller ignores the environment.
//!
//! The directory must belong to the caller or to root. It is *private* if only its owner may write to it; one that
//! the library makes has mode 0700. It is *shared* if its group or others may write to it and it has the sticky bit,
//! so that no user can remove or rename another user's files; the library never makes such a directory. All other
//! directories are refused.

use super::path::{FilePath, LONGEST};
use crate::sys::{self, Descriptor, Errno, Facts};

/// The owner of a directory, and who may write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// Other users may write to it.
    pub is_shared: bool,
    /// The permission bits of the table's file, which all users of the directory read and write.
    pub common: u32,
    /// The directory's owner and group.
    pub owner: u32,
    pub group: u32,
}

/// Returns the directory of this process's namespace, whether or not it exists yet.
pub fn directory() -> Result<FilePath, Errno> {
    match super::process::known_directory() {
        Some(known) => Ok(known),
        None => choose(),
    }
}

/// Returns the directory that the environment names, or else the first default that can be used.
pub(super) fn choose() -> Result<FilePath, Errno> {
    let mut value = [0; LONGEST];
    match sys::variable(c"SHMKEY_DIR", &mut value)? {
        None | Some(b"") => {}
        Some(path) => return named(path),
    }
    let user = sys::effective_user();
    let first = FilePath::new(b"/dev/shm", format_args!("/shmkey-{user}"))?;
    if can_be_made(&first, b"/dev/shm") {
        return Ok(first);
    }
    if let Some(parent) = sys::variable(c"XDG_RUNTIME_DIR", &mut value)?
        && parent.starts_with(b"/")
    {
        let second = FilePath::new(parent, format_args!("/shmkey"))?;
        if can_be_made(&second, parent) {
            return Ok(second);
        }
    }
    match sys::variable(c"TMPDIR", &mut value)? {
        Some(parent) if parent.starts_with(b"/") => {
            FilePath::new(parent, format_args!("/shmkey-{user}"))
        }
        _ => FilePath::new(b"/tmp", format_args!("/shmkey-{user}")),
    }
}

/// Returns the directory that `SHMKEY_DIR` names. Returns `EINVAL` for a relative path: programs that share segments have
/// different working directories, and one of them can change its own before its first call.
fn named(path: &[u8]) -> Result<FilePath, Errno> {
    if !path.starts_with(b"/") {
        return Err(Errno(libc::EINVAL));
    }
    // With a slash behind it, `open(2)` would follow a symbolic link.
    let last = path.iter().rposition(|&byte| byte != b'/').unwrap_or(0);
    FilePath::new(path.get(..=last).unwrap_or_default(), format_args!(""))
}

/// Returns whether the path exists, or a directory can be made there in its parent.
fn can_be_made(path: &FilePath, parent: &[u8]) -> bool {
    if Facts::of(path.as_c_str()).is_ok() {
        return true;
    }
    let parent = FilePath::new(parent, format_args!(""));
    parent.is_ok_and(|parent| sys::may_access(parent.as_c_str(), libc::W_OK | libc::X_OK))
}

/// Makes the directory unless it exists, and returns who may use it. Returns `ENOTDIR` or `EACCES` if it is refused.
pub(super) fn open(path: &FilePath) -> Result<Access, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY;
    let mut opened = Descriptor::open_file(path.as_c_str(), flags, 0);
    if let Err(Errno(libc::ENOENT)) = opened {
        match sys::make_directory(path.as_c_str(), 0o700) {
            Ok(()) | Err(Errno(libc::EEXIST)) => {}
            Err(errno) => return Err(errno),
        }
        opened = Descriptor::open_file(path.as_c_str(), flags, 0);
    }
    match opened {
        Ok(opened) => check(&opened.facts()?, sys::effective_user()),
        // A symbolic link.
        Err(Errno(libc::ELOOP)) => Err(Errno(libc::ENOTDIR)),
        Err(errno) => Err(errno),
    }
}

/// Returns who may use a directory, or `EACCES` if this user must not trust it.
fn check(facts: &Facts, user: u32) -> Result<Access, Errno> {
    if !facts.is_directory() {
        return Err(Errno(libc::ENOTDIR));
    }
    let is_shared = facts.mode & 0o022 != 0;
    let is_sticky = facts.mode & libc::S_ISVTX != 0;
    let is_trusted = facts.user == user || facts.user == 0;
    if !is_trusted || is_shared && !is_sticky {
        return Err(Errno(libc::EACCES));
    }
    let common = if is_shared {
        // The users who may make files in the directory may also read and write its table.
        0o600 | (facts.mode & 0o022) | (facts.mode & 0o022) << 1
    } else {
        0o600
    };
    Ok(Access {
        is_shared,
        common,
        owner: facts.user,
        group: facts.group,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(mode: u32, user: u32) -> Result<u32, Errno> {
        let facts = Facts {
            mode: libc::S_IFDIR | mode,
            user: 7,
            ..Facts::of(c"/").unwrap()
        };
        check(&facts, user).map(|access| access.common)
    }

    #[test]
    fn a_relative_path_is_refused_and_slashes_at_the_end_are_cut() {
        let bytes = |path: &[u8]| named(path).map(|path| path.as_bytes().to_vec());
        assert_eq!(bytes(b"/run/x//"), Ok(b"/run/x".to_vec()));
        assert_eq!(bytes(b"//"), Ok(b"/".to_vec()));
        for relative in [&b"x"[..], b"./x", b"../x", b" /x"] {
            assert_eq!(bytes(relative), Err(Errno(libc::EINVAL)));
        }
    }

    #[test]
    fn only_private_and_sticky_directories_of_this_user_and_root_are_used() {
        let refused = Err(Errno(libc::EACCES));
        assert_eq!(checked(0o700, 7), Ok(0o600));
        assert_eq!(checked(0o755, 7), Ok(0o600));
        assert_eq!(checked(0o1770, 7), Ok(0o660));
        assert_eq!(checked(0o1777, 7), Ok(0o666));
        for (mode, user) in [(0o700, 8), (0o1777, 8), (0o770, 7), (0o777, 7), (0o700, 0)] {
            assert_eq!(checked(mode, user), refused, "{mode:o} {user}");
        }
    }
}
