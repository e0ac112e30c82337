//! The one error type: what failed, with which error number, why, and what to do about it.

pub(crate) mod explain;
mod kind;
#[cfg(test)]
mod removal;

pub use kind::ErrorKind;

use crate::{Key, status, sys::Errno};
use core::{
    ffi::{CStr, c_int},
    fmt::{self, Write as _},
};
use explain::{Bytes, Call, Cause, Ownership, ShownPath};

/// Why an operation failed.
///
/// Its text is one sentence or two for a person: the call and its subject, the error number's name,
/// the cause as far as it can be known at that moment, and a remedy.
///
/// ```
/// use shmkey::{ErrorKind, Key};
///
/// let error = Key::from_path("/no/such/file", 65).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::PathNotFound);
/// assert_eq!(error.errno(), 2); // ENOENT
/// assert!(error.to_string().contains("/no/such/file"));
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    errno: Errno,
    call: &'static str,
    subject: Subject,
    reason: Reason,
}

/// What a call was about.
#[derive(Clone, Debug)]
enum Subject {
    None,
    Path(Box<[u8]>),
    Key { key: Key, size: usize },
    Id(c_int),
    Address(usize),
}

/// What is known of the reason.
#[derive(Clone, Copy, Debug)]
enum Reason {
    /// Nothing beyond the kind.
    Kind,
    /// What a look at the system has told.
    Found(Cause),
    /// An explanation that needs no facts.
    Because(&'static str),
    ProjectId(c_int),
    Flags(c_int),
    Range {
        offset: usize,
        len: usize,
        size: usize,
    },
    Message {
        len: usize,
    },
}

/// What callers see.
impl Error {
    /// What happened, in a word.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error number, as the manual pages of the System V calls give it and as C callers find it
    /// in `errno`.
    pub fn errno(&self) -> i32 {
        self.errno.0
    }

    /// The cause and the remedy alone, for people to whom the call and its number say nothing: the end
    /// of what the error is displayed as.
    pub fn explanation(&self) -> impl fmt::Display + '_ {
        Explanation(self)
    }
}

/// How the other modules make one.
impl Error {
    pub(crate) fn new(kind: ErrorKind, errno: c_int, call: &'static str) -> Error {
        Error {
            kind,
            errno: Errno(errno),
            call,
            subject: Subject::None,
            reason: Reason::Kind,
        }
    }

    /// An argument that no call can be made with.
    pub(crate) fn invalid(call: &'static str, why: &'static str) -> Error {
        Error {
            reason: Reason::Because(why),
            ..Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call)
        }
    }

    /// A pointer from C that cannot be followed.
    pub(crate) fn bad_pointer(call: &'static str, what: &'static str) -> Error {
        Error {
            reason: Reason::Because(what),
            ..Error::new(ErrorKind::BadPointer, libc::EFAULT, call)
        }
    }

    /// Flag bits that have no meaning in a call.
    pub(crate) fn undefined_flags(call: &'static str, unknown: c_int) -> Error {
        Error {
            reason: Reason::Flags(unknown),
            ..Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call)
        }
    }

    pub(crate) fn path_with_nul() -> Error {
        Error::invalid("ftok", "a path cannot contain a NUL byte")
    }

    pub(crate) fn empty_name() -> Error {
        Error {
            kind: ErrorKind::EmptyName,
            ..Error::invalid(
                "open by name",
                "an empty name makes no key; give it at least one character",
            )
        }
    }

    pub(crate) fn name_too_long() -> Error {
        Error {
            kind: ErrorKind::InvalidArgument,
            errno: Errno(libc::ENAMETOOLONG),
            ..Error::invalid("open by name", "a name has at most 4095 bytes")
        }
    }

    /// What is attached cannot be read.
    pub(crate) fn no_proc(errno: Errno) -> Error {
        Error {
            reason: match errno.0 {
                libc::ENOENT => Reason::Because(
                    "/proc/self/maps, which tells what is attached where, is not there; mount /proc",
                ),
                _ => Reason::Kind,
            },
            ..Error::new(ErrorKind::Other, errno.0, "open /proc/self/maps")
        }
    }

    pub(crate) fn project_id_zero(proj_id: c_int) -> Error {
        Error {
            reason: Reason::ProjectId(proj_id),
            ..Error::new(ErrorKind::ProjectIdZero, libc::EINVAL, "ftok")
        }
    }

    /// One of the five calls failed: looks for the cause.
    #[cold]
    fn found(errno: Errno, name: &'static str, subject: Subject, call: Call<'_>) -> Error {
        let cause = explain::why(call, errno);
        Error {
            subject,
            reason: Reason::Found(cause),
            ..Error::new(ErrorKind::of(errno, &cause), errno.0, name)
        }
    }

    /// A file that gives no key.
    #[cold]
    pub(crate) fn ftok(errno: Errno, path: &CStr, proj_id: c_int) -> Error {
        let path = path.to_bytes();
        let call = Call::Ftok {
            path: Some(path),
            proj_id,
        };
        Error::found(errno, "ftok", Subject::Path(path.into()), call)
    }

    /// `shmget` failed.
    #[cold]
    pub(crate) fn open(errno: Errno, key: Key, size: usize, flags: c_int) -> Error {
        let call = Call::Get {
            key: key.as_raw(),
            size,
            flags,
        };
        Error::found(errno, "shmget", Subject::Key { key, size }, call)
    }

    /// `shmat` failed, or what it was to do was refused before it was tried.
    #[cold]
    pub(crate) fn attach_at(errno: Errno, id: c_int, address: usize, flags: c_int) -> Error {
        let call = Call::Attach { id, address, flags };
        Error::found(errno, "shmat", Subject::Id(id), call)
    }

    /// `shmctl` failed, with the command that stands behind its name.
    #[cold]
    pub(crate) fn control(errno: Errno, name: &'static str, id: c_int, command: c_int) -> Error {
        let call = Call::Control {
            id,
            command,
            buffer: 0,
        };
        Error::found(errno, name, Subject::Id(id), call)
    }

    /// A call on the memory of an attached segment failed.
    #[cold]
    pub(crate) fn on_memory(errno: Errno, name: &'static str, id: c_int) -> Error {
        let kind = match errno.0 {
            libc::ENOMEM => ErrorKind::OutOfMemory,
            libc::EINVAL => ErrorKind::InvalidArgument,
            _ => ErrorKind::Other,
        };
        Error {
            subject: Subject::Id(id),
            ..Error::new(kind, errno.0, name)
        }
    }

    /// Nothing is attached at an address.
    #[cold]
    pub(crate) fn on_address(errno: Errno, name: &'static str, address: usize) -> Error {
        let call = Call::Detach { address };
        Error::found(errno, name, Subject::Address(address), call)
    }

    pub(crate) fn out_of_range(id: c_int, offset: usize, len: usize, size: usize) -> Error {
        Error {
            subject: Subject::Id(id),
            reason: Reason::Range { offset, len, size },
            ..Error::new(ErrorKind::OutOfRange, libc::EINVAL, "copy")
        }
    }

    /// Something about a managed object.
    #[cold]
    pub(crate) fn object(kind: ErrorKind, id: c_int) -> Error {
        let errno = match kind {
            ErrorKind::Foreign => libc::EMEDIUMTYPE,
            ErrorKind::WrongKind => libc::EPROTOTYPE,
            ErrorKind::WrongLayout => libc::EPROTO,
            ErrorKind::WrongVersion => libc::EPROTONOSUPPORT,
            ErrorKind::WrongMachine => libc::ENOEXEC,
            ErrorKind::KeyCollision => libc::ENOTUNIQ,
            ErrorKind::Truncated => libc::ENODATA,
            ErrorKind::Damaged => libc::EBADMSG,
            ErrorKind::TimedOut => libc::ETIMEDOUT,
            ErrorKind::WouldBlock => libc::EAGAIN,
            ErrorKind::Busy => libc::EBUSY,
            ErrorKind::Closed => libc::EPIPE,
            ErrorKind::PeerDied => libc::EOWNERDEAD,
            ErrorKind::TooLong => libc::EMSGSIZE,
            ErrorKind::Overtaken => libc::ESTALE,
            ErrorKind::NotOwner => libc::EPERM,
            ErrorKind::LimitReached => libc::ENOSPC,
            ErrorKind::Deadlock => libc::EDEADLK,
            ErrorKind::NotRecoverable => libc::ENOTRECOVERABLE,
            ErrorKind::Overflow => libc::EOVERFLOW,
            _ => libc::EINVAL,
        };
        Error {
            subject: Subject::Id(id),
            ..Error::new(kind, errno, "object")
        }
    }

    #[cold]
    pub(crate) fn too_long(id: c_int, len: usize) -> Error {
        Error {
            reason: Reason::Message { len },
            ..Error::object(ErrorKind::TooLong, id)
        }
    }

    pub(crate) fn overflow() -> Error {
        Error::new(ErrorKind::Overflow, libc::EOVERFLOW, "semaphore")
    }

    /// Something that writes, where the caller has asked for reading only.
    pub(crate) fn asked_read_only(call: &'static str, why: &'static str) -> Error {
        Error {
            reason: Reason::Because(why),
            ..Error::new(ErrorKind::ReadOnly, libc::EACCES, call)
        }
    }

    pub(crate) fn read_only(id: c_int) -> Error {
        Error {
            subject: Subject::Id(id),
            ..Error::new(ErrorKind::ReadOnly, libc::EACCES, "write")
        }
    }
}

/// What an error adds that has to do with other processes.
impl Error {
    /// Something that others did not do in time, or no longer do: perhaps because they have another
    /// object by now.
    fn removed_note(&self) -> Option<&'static str> {
        let waited = matches!(
            self.kind,
            ErrorKind::TimedOut | ErrorKind::Closed | ErrorKind::PeerDied
        );
        match self.subject {
            Subject::Id(id) if waited => status::removed_note(id),
            _ => None,
        }
    }
}

impl core::error::Error for Error {}

/// `shmget(key 0x4102002f, 4096 bytes): EINVAL: the cause; the remedy`
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        match &self.subject {
            Subject::None => {}
            Subject::Path(path) => write!(f, "({})", ShownPath(path))?,
            Subject::Key { key, size } if key.is_private() => {
                write!(f, "(private, {})", Bytes(*size))?;
            }
            Subject::Key { key, size } => write!(f, "(key {key}, {})", Bytes(*size))?,
            Subject::Id(id) => write!(f, "(id {id})")?,
            Subject::Address(address) => write!(f, "({address:#x})")?,
        }
        write!(f, ": {}: ", self.errno)?;
        Explanation(self).fmt(f)
    }
}

struct Explanation<'a>(&'a Error);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.reason {
            Reason::Found(cause) => cause.fmt(f),
            Reason::Because(why) => f.write_str(why),
            Reason::ProjectId(id) => write!(
                f,
                "the project id {id} has no bit set in its low 8, which makes no proper key; use 1 to 255 or a letter"
            ),
            Reason::Flags(flags) => write!(
                f,
                "the flags {flags:#o} mean nothing here; take them from shmget(2) and shmat(2)"
            ),
            Reason::Range { offset, len, size } => write!(
                f,
                "{len} bytes at offset {offset} do not fit into the segment's {size} bytes"
            ),
            Reason::Message { len } => write!(
                f,
                "the message has {len} bytes, more than the buffer or the ring's capacity; nothing was sent or taken"
            ),
            Reason::Kind => {
                f.write_str(self.0.kind.advice(self.0.errno))?;
                match self.0.removed_note() {
                    Some(note) => write!(f, "; {note}"),
                    None => Ok(()),
                }
            }
        }?;
        match self.0.subject {
            Subject::Id(id) if self.0.kind.asks_for_another_segment() => {
                let ownership = Ownership::of(id);
                ownership.map_or(Ok(()), |ownership| write!(f, "; {ownership}"))
            }
            _ => Ok(()),
        }
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        std::io::Error::new(
            std::io::Error::from_raw_os_error(error.errno.0).kind(),
            error,
        )
    }
}

/// Writes an error into a buffer of fixed size as a C string, cut at a character's border if it is
/// too long.
pub(crate) fn write_c_str(error: &Error, buffer: &mut [u8]) {
    struct Cut<'a> {
        buffer: &'a mut [u8],
        len: usize,
    }
    impl fmt::Write for Cut<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = self.buffer.len() - 1 - self.len;
            let mut fits = text.len().min(room);
            while !text.is_char_boundary(fits) {
                fits -= 1;
            }
            self.buffer[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
            self.len += fits;
            if fits < text.len() {
                Err(fmt::Error)
            } else {
                Ok(())
            }
        }
    }
    if buffer.is_empty() {
        return;
    }
    let mut cut = Cut { buffer, len: 0 };
    // The only error is that the text did not fit, and then as much as fits is there.
    let _ = write!(cut, "{error}");
    let end = cut.len;
    cut.buffer[end] = 0;
}
