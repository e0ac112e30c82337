//! The kernel's error numbers, with their names.

use core::{ffi::c_int, fmt};

/// An error number, as `errno(3)` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    /// Returns the calling thread's error number, which is meaningful right after a call that failed.
    pub fn last() -> Errno {
        // SAFETY: the calling thread's own errno, which lives as long as the thread.
        Errno(unsafe { *Errno::place() })
    }

    /// Returns the address of the calling thread's error number, valid as long as the thread lives.
    #[inline(always)]
    pub fn place() -> *mut c_int {
        // SAFETY: it takes nothing and cannot fail.
        unsafe { libc::__errno_location() }
    }

    /// Makes this the calling thread's error number, for a caller in C.
    pub fn set(self) {
        // SAFETY: as in `last`; only this thread uses that integer.
        unsafe { *Errno::place() = self.0 }
    }
}

/// Defines `Errno::name` for these numbers.
macro_rules! names {
    ($($name:ident)+) => {
        impl Errno {
            /// Returns the symbolic name, such as `EINVAL`, of each number that the library returns, and that calls on shared memory, files
            /// and sockets are known to return.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(libc::$name => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

names! {
    E2BIG EACCES EADDRINUSE EAFNOSUPPORT EAGAIN EBADF EBADMSG EBUSY ECANCELED EDEADLK EDQUOT EEXIST EFAULT EFBIG EIDRM EINTR EINVAL EIO EISDIR ELOOP
    EMEDIUMTYPE EMFILE EMSGSIZE ENAMETOOLONG ENFILE ENOBUFS ENODATA ENODEV ENOENT ENOEXEC ENOMEM ENOSPC ENOSYS ENOTDIR
    ENOTRECOVERABLE ENOTUNIQ ENXIO EOPNOTSUPP EOVERFLOW EOWNERDEAD EPERM EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE
    EROFS ESTALE ETIMEDOUT ETXTBSY
}

/// `EINVAL`, or `errno 34` if the number has no name here.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

/// Returns the result of a system call, or the thread's error number if it is −1.
#[inline]
pub fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 {
        Err(Errno::last())
    } else {
        Ok(result)
    }
}
