//! Files that hold segments: creating, checking, sizing and locking them.

use super::{
    Errno,
    errno::check,
    file::{Descriptor, FileId},
};
use core::{
    ffi::{CStr, c_int},
    mem::MaybeUninit,
};

/// What `fstat(2)` tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub id: FileId,
    /// The type and the permission bits.
    pub mode: u32,
    pub links: u64,
    pub user: u32,
    pub group: u32,
    pub size: u64,
}

impl Facts {
    pub fn is_regular(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    pub fn is_directory(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Returns the facts of the file that a path names, which may be a symbolic link.
    pub fn of(path: &CStr) -> Result<Facts, Errno> {
        Facts::read(libc::AT_FDCWD.into(), path, libc::AT_SYMLINK_NOFOLLOW)
    }

    fn read(directory: libc::c_long, path: &CStr, flags: c_int) -> Result<Facts, Errno> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the path is a C string, and there is room for one `stat`.
        check(unsafe {
            libc::syscall(
                libc::SYS_newfstatat,
                directory,
                path.as_ptr(),
                stat.as_mut_ptr(),
                flags,
            )
        })?;
        // SAFETY: the call succeeded, so the kernel has filled the structure.
        let stat = unsafe { stat.assume_init() };
        #[allow(
            clippy::unnecessary_cast,
            reason = "the fields' types differ between processors"
        )]
        Ok(Facts {
            id: FileId {
                device: stat.st_dev,
                inode: stat.st_ino,
            },
            mode: stat.st_mode,
            links: stat.st_nlink as u64,
            user: stat.st_uid,
            group: stat.st_gid,
            size: stat.st_size as u64,
        })
    }
}

impl Descriptor {
    /// Opens a file, with flags of `open(2)`. Follows no symbolic link, waits for no other process, and gets no
    /// terminal and no number of a standard stream.
    pub fn open_file(path: &CStr, flags: c_int, mode: u32) -> Result<Descriptor, Errno> {
        let safe = libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK;
        // SAFETY: the path is a C string.
        check(unsafe {
            libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                path.as_ptr(),
                flags | safe,
                mode,
            )
        })
        .map(|number| Descriptor(number).above_streams())
    }

    /// Returns it with a number above those of the standard streams, if one is free. Where a program has closed these, its
    /// other threads may still write to them, and would write into this file.
    fn above_streams(self) -> Descriptor {
        if self.0 > 2 {
            return self;
        }
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_fcntl, self.0, libc::F_DUPFD_CLOEXEC, 3) })
            .map_or(self, Descriptor)
    }

    /// Returns the facts of the open file.
    pub fn facts(&self) -> Result<Facts, Errno> {
        Facts::read(self.0, c"", libc::AT_EMPTY_PATH)
    }

    /// Gives the file space for a range, and extends it if needed. May return `EINTR` having done a part.
    pub fn allocate(&self, start: u64, len: u64) -> Result<(), Errno> {
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_fallocate, self.0, 0, start, len) }).map(drop)
    }

    /// Returns how many bytes the file's file system has, and how many of them are free. What has no size of its own, as
    /// some file systems in memory, has the machine's memory.
    pub fn room(&self) -> Result<(u64, u64), Errno> {
        let mut of_file_system = MaybeUninit::<libc::statfs>::uninit();
        // SAFETY: there is room for one `statfs`.
        check(unsafe { libc::syscall(libc::SYS_fstatfs, self.0, of_file_system.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so the kernel has filled the structure.
        let of_file_system = unsafe { of_file_system.assume_init() };
        let bytes = |blocks: u64| blocks.saturating_mul(of_file_system.f_bsize as u64);
        if of_file_system.f_blocks != 0 {
            return Ok((
                bytes(of_file_system.f_blocks),
                bytes(of_file_system.f_bfree),
            ));
        }
        let mut of_machine = MaybeUninit::<libc::sysinfo>::uninit();
        // SAFETY: there is room for one `sysinfo`.
        check(unsafe { libc::syscall(libc::SYS_sysinfo, of_machine.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so the kernel has filled the structure.
        let of_machine = unsafe { of_machine.assume_init() };
        let memory = of_machine.totalram.saturating_add(of_machine.totalswap);
        let memory = memory.saturating_mul(of_machine.mem_unit.into());
        Ok((memory, memory))
    }

    /// Sets the file's size.
    pub fn resize(&self, len: u64) -> Result<(), Errno> {
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_ftruncate, self.0, len) }).map(drop)
    }

    /// Writes bytes at a position. Returns how many were written.
    pub fn write_at(&self, bytes: &[u8], position: u64) -> Result<usize, Errno> {
        // SAFETY: the kernel reads the bytes of this slice.
        let written = unsafe {
            libc::syscall(
                libc::SYS_pwrite64,
                self.0,
                bytes.as_ptr(),
                bytes.len(),
                position,
            )
        };
        check(written).map(|len| len as usize)
    }

    /// Sets the file's permission bits.
    pub fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_fchmod, self.0, mode) }).map(drop)
    }

    /// Sets the file's owner and group; `u32::MAX` keeps the old one.
    pub fn set_owner(&self, user: u32, group: u32) -> Result<(), Errno> {
        // SAFETY: integers only.
        check(unsafe { libc::syscall(libc::SYS_fchown, self.0, user, group) }).map(drop)
    }

    /// Locks a byte for this open file: shared with others, or for itself. The lock stays until the last
    /// descriptor and the last mapping of this open file go. Returns `EAGAIN` if another one's lock excludes it, and
    /// `ENOSYS` if the kernel, the file system or the sandbox has no such locks.
    pub fn lock_byte(&self, byte: u64, exclusive: bool) -> Result<(), Errno> {
        let kind = if exclusive {
            libc::F_WRLCK
        } else {
            libc::F_RDLCK
        };
        let locked = self.byte_lock(libc::F_OFD_SETLK, byte, kind).map(drop);
        locked.map_err(|errno| match errno.0 {
            // Kernels before Linux 3.15 do not know the command.
            libc::EINVAL | libc::EOPNOTSUPP => Errno(libc::ENOSYS),
            _ => errno,
        })
    }

    /// Returns whether another open file has a byte of this file locked.
    pub fn is_byte_locked(&self, byte: u64) -> Result<bool, Errno> {
        let found = self.byte_lock(libc::F_OFD_GETLK, byte, libc::F_WRLCK)?;
        Ok(found != libc::F_UNLCK)
    }

    fn byte_lock(&self, command: c_int, byte: u64, kind: c_int) -> Result<c_int, Errno> {
        // SAFETY: integers, for which zeroes are valid.
        let mut lock: libc::flock = unsafe { core::mem::zeroed() };
        lock.l_type = kind as _;
        lock.l_whence = libc::SEEK_SET as _;
        lock.l_start = byte as libc::off_t;
        lock.l_len = 1;
        // SAFETY: the pointer is to a lock of this stack.
        check(unsafe { libc::syscall(libc::SYS_fcntl, self.0, command, &raw mut lock) })?;
        Ok(c_int::from(lock.l_type))
    }

    /// Returns its number.
    pub fn number(&self) -> c_int {
        self.0 as c_int
    }

    /// Closes the copy of a descriptor that this child has inherited, unless another file has its number.
    pub fn close_copy(number: c_int, file: FileId) {
        let mut copy = Descriptor(number.into());
        if copy.id() != Ok(file) {
            copy.0 = -1;
        }
    }
}

/// Makes a directory with all permission bits that its mode has for its owner, even if the umask excludes them.
pub fn make_directory(path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the path is a C string.
    check(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path.as_ptr(), mode) })?;
    let made = Facts::of(path)?;
    if made.is_directory() && !made.mode & mode & 0o700 != 0 {
        // SAFETY: as above.
        check(unsafe { libc::syscall(libc::SYS_fchmodat, libc::AT_FDCWD, path.as_ptr(), mode) })?;
    }
    Ok(())
}

/// Removes the name of a file.
pub fn unlink(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path is a C string.
    check(unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path.as_ptr(), 0) }).map(drop)
}

/// Renames a file. Returns `EEXIST` if the new name exists. On some file systems, it has both names for a moment.
pub fn rename_new(from: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: the paths are C strings.
    let renamed = check(unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    });
    match renamed {
        Ok(_) => return Ok(()),
        // Some file systems do not have the flag.
        Err(Errno(libc::EINVAL | libc::ENOSYS)) => {}
        Err(errno) => return Err(errno),
    }
    // SAFETY: as above.
    check(unsafe {
        libc::syscall(
            libc::SYS_linkat,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            0,
        )
    })?;
    match unlink(from) {
        // Another process has found both names, and removed this one.
        Err(Errno(libc::ENOENT)) => Ok(()),
        unlinked => unlinked,
    }
}

/// Returns whether the effective user may do this (`W_OK`, `X_OK`, …) with a file.
pub fn may_access(path: &CStr, access: c_int) -> bool {
    // SAFETY: the path is a C string. The system call without flags asks for the real user, which differs from the
    // effective one only in programs for which `faccessat2` (Linux 5.8) matters.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            access,
            libc::AT_EACCESS,
        )
    };
    match check(answer) {
        Ok(_) => true,
        // SAFETY: as above.
        Err(Errno(libc::ENOSYS | libc::EPERM)) => check(unsafe {
            libc::syscall(libc::SYS_faccessat, libc::AT_FDCWD, path.as_ptr(), access)
        })
        .is_ok(),
        Err(_) => false,
    }
}

/// Returns the largest file that this process may write (`RLIMIT_FSIZE`), beyond which the kernel sends `SIGXFSZ`.
pub fn file_size_limit() -> u64 {
    limit_of(libc::RLIMIT_FSIZE as c_int)
}

/// Returns how much memory this process may lock, in bytes (`RLIMIT_MEMLOCK`).
pub fn locked_memory() -> u64 {
    limit_of(libc::RLIMIT_MEMLOCK as c_int)
}

/// Returns a soft limit of this process; the largest number if it has none.
fn limit_of(resource: c_int) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: u64::MAX,
        rlim_max: u64::MAX,
    };
    // SAFETY: there is room for one limit.
    unsafe { libc::syscall(libc::SYS_getrlimit, resource, &raw mut limit) };
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_no_number_of_a_standard_stream() {
        // SAFETY: the child makes system calls only, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above; the path is a C string.
            unsafe {
                libc::close(0);
                let file = Descriptor::open_file(c"/dev/null", libc::O_RDWR, 0);
                let next = libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY);
                libc::_exit(i32::from(file.is_err() || next != 0));
            }
        }
        let mut status = -1;
        // SAFETY: the child is this process's own, and there is room for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    }
}
