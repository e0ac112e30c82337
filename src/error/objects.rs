//! Errors about an object: a few numbers, until a call needs more than these.

use super::{
    Action, Error, ErrorKind, Failure, Mismatch, Repr, What,
    details::{Reason, Subject},
};
use crate::sys::Errno;

impl Error {
    pub(crate) fn object(failure: Failure) -> Error {
        Error(Repr::Object(failure))
    }

    /// Adds the action of the call. Like `with`, changes only errors about an object.
    #[inline]
    pub(crate) fn during(mut self, action: Action) -> Error {
        if let Repr::Object(failure) = &mut self.0 {
            failure.action = action;
        }
        self
    }

    /// Adds the facts.
    #[inline]
    pub(crate) fn with(mut self, what: What, number: u64, other: u64) -> Error {
        if let Repr::Object(failure) = &mut self.0 {
            (failure.what, failure.number, failure.other) = (what, number, other);
        }
        self
    }

    /// Returns the error of a cancelled call in place of this one of an object.
    #[cold]
    pub(crate) fn cancelled(mut self) -> Error {
        if let Repr::Object(failure) = &mut self.0 {
            failure.kind = ErrorKind::Cancelled;
        }
        self
    }

    /// Adds how a segment differs from the object that is wanted.
    #[cold]
    pub(crate) fn mismatch(self, mismatch: Mismatch) -> Error {
        self.with_reason(Reason::Mismatch(mismatch))
    }

    /// Adds the range that does not lie inside a message.
    #[cold]
    pub(crate) fn outside_message(self, offset: usize, len: usize, size: usize) -> Error {
        self.with_reason(Reason::Range {
            offset,
            len,
            size,
            of: "message",
        })
    }

    /// Says that no object is there, and that none is being created.
    #[cold]
    pub(crate) fn not_created(self) -> Error {
        self.into_call(ErrorKind::KeyNotFound, Errno(libc::ENOENT))
            .because(Reason::NotCreated)
    }

    /// Says why the system does not let this process make the descriptor of an object.
    #[cold]
    pub(crate) fn no_descriptor(self, errno: Errno) -> Error {
        let (kind, why) = match errno.0 {
            libc::ENOMEM | libc::ENOBUFS => (
                ErrorKind::OutOfMemory,
                "the kernel has no memory for a socket, a timer or an epoll descriptor",
            ),
            libc::EMFILE => (
                ErrorKind::Other,
                "this takes three file descriptors, and the process cannot open three more (RLIMIT_NOFILE); close \
                 some, or raise the limit (ulimit -n)",
            ),
            libc::ENFILE => (
                ErrorKind::Other,
                "the system has as many files open as /proc/sys/fs/file-max allows",
            ),
            libc::EADDRINUSE => (
                ErrorKind::Other,
                "100 names for a socket were in use already: try again",
            ),
            _ => (
                ErrorKind::Other,
                "the system does not let this process make an AF_UNIX socket, a timerfd or an epoll descriptor; a \
                 seccomp filter may forbid socket(2), bind(2), timerfd_create(2) or epoll_create1(2) (systemd: \
                 RestrictAddressFamilies=, SystemCallFilter=)",
            ),
        };
        self.into_call(kind, errno).because(Reason::Because(why))
    }

    /// Says why a wait for several objects ended without one of them.
    pub(crate) fn none_of_several(kind: ErrorKind, call: &'static str) -> Error {
        Error::new(kind, kind.errno_of_object(), call).because(match kind {
            ErrorKind::WouldBlock => {
                Reason::Because("none of the objects is ready, and the timeout is 0")
            }
            ErrorKind::TimedOut => {
                Reason::Because("none of the objects was ready before the timeout")
            }
            _ => Reason::Kind,
        })
    }

    /// Turns an error about an object into an error of a call on it.
    fn into_call(self, kind: ErrorKind, errno: Errno) -> Error {
        match self.0 {
            Repr::Object(failure) => {
                Error::new(kind, errno.0, failure.action.name()).about(Subject::Object(failure))
            }
            _ => self,
        }
    }

    fn with_reason(self, reason: Reason) -> Error {
        match self.0 {
            Repr::Object(failure) => self
                .into_call(failure.kind, Errno(failure.kind.errno_of_object()))
                .because(reason),
            _ => self.because(reason),
        }
    }

    /// Returns the numbers from which the text can be made later; or the error itself, if its text needs more than
    /// numbers.
    #[inline(always)]
    pub(crate) fn into_failure(self) -> Result<Failure, Error> {
        match self.0 {
            Repr::Object(failure) => Ok(failure),
            other => Err(Error(other)),
        }
    }
}
