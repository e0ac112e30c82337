//! The kernel's error numbers, with their names.

use core::{ffi::c_int, fmt};

/// An error number, as `errno(3)` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    /// The calling thread's error number. Meaningful right after a call that failed.
    pub fn last() -> Errno {
        // SAFETY: __errno_location returns a pointer to the calling thread's own errno, which lives
        // as long as the thread.
        Errno(unsafe { *libc::__errno_location() })
    }

    /// Returns where the calling thread's error number lies, as long as the thread lives.
    #[inline(always)]
    pub fn place() -> *mut c_int {
        // SAFETY: it takes nothing and cannot fail.
        unsafe { libc::__errno_location() }
    }

    /// Makes this the calling thread's error number, for a caller in C.
    pub fn set(self) {
        // SAFETY: as in `last`; only this thread uses that integer.
        unsafe { *libc::__errno_location() = self.0 }
    }

    /// The symbolic name, such as `EINVAL`, of every number that shared memory calls, and opening and
    /// writing a file, are known to give.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            libc::E2BIG => "E2BIG",
            libc::EACCES => "EACCES",
            libc::EAGAIN => "EAGAIN",
            libc::EBADF => "EBADF",
            libc::EBUSY => "EBUSY",
            libc::EEXIST => "EEXIST",
            libc::EFAULT => "EFAULT",
            libc::EFBIG => "EFBIG",
            libc::EIDRM => "EIDRM",
            libc::EINTR => "EINTR",
            libc::EINVAL => "EINVAL",
            libc::EIO => "EIO",
            libc::ELOOP => "ELOOP",
            libc::EMFILE => "EMFILE",
            libc::ENAMETOOLONG => "ENAMETOOLONG",
            libc::ENFILE => "ENFILE",
            libc::ENOENT => "ENOENT",
            libc::ENOMEM => "ENOMEM",
            libc::ENOSPC => "ENOSPC",
            libc::ENOSYS => "ENOSYS",
            libc::ENOTDIR => "ENOTDIR",
            libc::EOVERFLOW => "EOVERFLOW",
            libc::EPERM => "EPERM",
            libc::EDEADLK => "EDEADLK",
            libc::ENOTRECOVERABLE => "ENOTRECOVERABLE",
            libc::EMEDIUMTYPE => "EMEDIUMTYPE",
            libc::EPROTOTYPE => "EPROTOTYPE",
            libc::EPROTO => "EPROTO",
            libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
            libc::ENOEXEC => "ENOEXEC",
            libc::ENOTUNIQ => "ENOTUNIQ",
            libc::ENODATA => "ENODATA",
            libc::EBADMSG => "EBADMSG",
            libc::ETIMEDOUT => "ETIMEDOUT",
            libc::EPIPE => "EPIPE",
            libc::EOWNERDEAD => "EOWNERDEAD",
            libc::EMSGSIZE => "EMSGSIZE",
            libc::ESTALE => "ESTALE",
            libc::EDQUOT => "EDQUOT",
            libc::EISDIR => "EISDIR",
            libc::ENODEV => "ENODEV",
            libc::ENXIO => "ENXIO",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::EROFS => "EROFS",
            libc::ETXTBSY => "ETXTBSY",
            _ => return None,
        })
    }
}

/// `EINVAL`, or `errno 95` of one without a name here.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// The result of a system call: −1 becomes the thread's error number.
#[inline]
pub fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(result)
    }
}
