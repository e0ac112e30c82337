//! The one error type: what failed, with which error number, why, and what to do about it.

use crate::{
    Key, backend, status,
    sys::{self, Errno},
};
use core::{
    ffi::{CStr, c_int},
    fmt::{self, Write as _},
};

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
    cause: Cause,
}

/// What happened, in a word. New ones may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `ENOENT`: the file that a key was to be made from does not exist.
    PathNotFound,
    /// `EINVAL`: the low 8 bits of a project id are zero, which makes no key.
    ProjectIdZero,
    /// `EINVAL`: an empty name makes no key.
    EmptyName,
    /// `ENOENT`: there is no segment under this key.
    KeyNotFound,
    /// `EINVAL`: there is no segment with this id, or none is attached at this address.
    NoSuchSegment,
    /// `EIDRM`: the segment that had this id has been removed and destroyed.
    Removed,
    /// `EEXIST`: a segment exists and was to be created exclusively.
    AlreadyExists,
    /// `EINVAL`: the segment under this key is smaller than asked for.
    TooSmall,
    /// `EINVAL`: a size of 0, or one beyond the limit `shmmax`.
    BadSize,
    /// `EACCES` or `EPERM`: the segment's mode or owner does not allow it.
    PermissionDenied,
    /// `ENOSPC`: the limit `shmmni` or `shmall` is reached.
    LimitReached,
    /// `ENOMEM`: no memory, or no address space.
    OutOfMemory,
    /// `EINVAL`: a range that does not lie inside the segment.
    OutOfRange,
    /// `EACCES`: the segment is attached for reading only.
    ReadOnly,
    /// `EMEDIUMTYPE`: the segment was not made by this library.
    Foreign,
    /// `EPROTOTYPE`: the segment holds an object of another kind.
    WrongKind,
    /// `EPROTO`: the object holds something of another layout: name, size or alignment.
    WrongLayout,
    /// `EPROTONOSUPPORT`: another version of this library made the object, with another header.
    WrongVersion,
    /// `ENOEXEC`: a program with another order of bytes or another width of pointers made the object.
    WrongMachine,
    /// `ENOTUNIQ`: another name has the same key.
    KeyCollision,
    /// `ENODATA`: the segment is too small to hold an object.
    Truncated,
    /// `EBADMSG`: the object's header makes no sense.
    Damaged,
    /// `ETIMEDOUT`: it did not happen in time.
    TimedOut,
    /// `EAGAIN`: it was not possible at once, and was not to be waited for.
    WouldBlock,
    /// `EBUSY`: another process has this part, and lives; or this process has it already.
    Busy,
    /// `EPIPE`: the other side of a ring has ended.
    Closed,
    /// `EOWNERDEAD`: the process on the other side of a ring died.
    PeerDied,
    /// `EMSGSIZE`: a message that is longer than the ring or the buffer.
    TooLong,
    /// `ESTALE`: the writer was faster than the reader.
    Overtaken,
    /// `EPERM`: this thread does not have the lock.
    NotOwner,
    /// `EDEADLK`: this thread has the lock already.
    Deadlock,
    /// `ENOTRECOVERABLE`: an owner has died, and the value was not repaired.
    NotRecoverable,
    /// `EOVERFLOW`: the count is at its largest.
    Overflow,
    /// `EINVAL`: any other argument that makes no sense.
    InvalidArgument,
    /// `EFAULT`: a pointer that leads nowhere.
    BadPointer,
    /// `ENOSYS`: this system has no System V shared memory, or does not let this process use it.
    Unsupported,
    /// Anything else; see [`Error::errno`].
    Other,
}

/// What a call was about.
#[derive(Clone, Debug)]
enum Subject {
    None,
    Path(Box<str>),
    Key { key: Key, size: usize },
    Id(c_int),
    Address(usize),
}

/// What was found out about the reason. Plain numbers, so that an error without a path costs no
/// allocation.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// Nothing beyond the kind.
    Plain,
    /// An explanation that needs no facts.
    Because(&'static str),
    ProjectId(c_int),
    Flags(c_int),
    Smaller {
        id: c_int,
        have: usize,
    },
    TooLarge {
        shmmax: usize,
    },
    Owned {
        id: c_int,
        owner: u32,
        mode: u32,
    },
    NotYours {
        owner: u32,
        creator: u32,
    },
    Exists {
        id: c_int,
    },
    Ids {
        used: usize,
        shmmni: usize,
    },
    Pages {
        used: usize,
        shmall: usize,
    },
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
}

/// How the other modules make one.
impl Error {
    pub(crate) fn new(kind: ErrorKind, errno: c_int, call: &'static str) -> Error {
        Error {
            kind,
            errno: Errno(errno),
            call,
            subject: Subject::None,
            cause: Cause::Plain,
        }
    }

    /// An argument that no call can be made with.
    pub(crate) fn invalid(call: &'static str, why: &'static str) -> Error {
        Error {
            cause: Cause::Because(why),
            ..Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call)
        }
    }

    /// A pointer from C that cannot be followed.
    pub(crate) fn bad_pointer(call: &'static str, what: &'static str) -> Error {
        Error {
            cause: Cause::Because(what),
            ..Error::new(ErrorKind::BadPointer, libc::EFAULT, call)
        }
    }

    /// Flag bits that have no meaning in a call.
    pub(crate) fn undefined_flags(call: &'static str, unknown: c_int) -> Error {
        Error {
            cause: Cause::Flags(unknown),
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
            cause: match errno.0 {
                libc::ENOENT => Cause::Because(
                    "/proc/self/maps, which tells what is attached where, is not there; mount /proc",
                ),
                _ => Cause::Plain,
            },
            ..Error::new(ErrorKind::Other, errno.0, "open /proc/self/maps")
        }
    }

    pub(crate) fn project_id_zero(proj_id: c_int) -> Error {
        Error {
            cause: Cause::ProjectId(proj_id),
            ..Error::new(ErrorKind::ProjectIdZero, libc::EINVAL, "ftok")
        }
    }

    /// A file that gives no key.
    #[cold]
    pub(crate) fn ftok(errno: Errno, path: &CStr) -> Error {
        let kind = match errno.0 {
            libc::ENOENT | libc::ENOTDIR => ErrorKind::PathNotFound,
            libc::EFAULT => ErrorKind::BadPointer,
            libc::EACCES => ErrorKind::PermissionDenied,
            _ => ErrorKind::Other,
        };
        Error {
            subject: Subject::Path(path.to_string_lossy().into()),
            ..Error::new(kind, errno.0, "ftok")
        }
    }

    /// `shmget` failed: looks at the segment that is in the way, and at the limits.
    #[cold]
    pub(crate) fn open(errno: Errno, key: Key, size: usize) -> Error {
        let (kind, cause) = why_not_opened(errno, key, size);
        Error {
            subject: Subject::Key { key, size },
            cause,
            ..Error::new(kind, errno.0, "shmget")
        }
    }

    /// A call on an id failed.
    #[cold]
    pub(crate) fn on_id(errno: Errno, call: &'static str, id: c_int) -> Error {
        let (kind, cause) = match errno.0 {
            libc::EINVAL if status::any(id).is_none() => (ErrorKind::NoSuchSegment, Cause::Plain),
            libc::EINVAL => (ErrorKind::InvalidArgument, Cause::Plain),
            libc::EACCES => (ErrorKind::PermissionDenied, owned(id)),
            libc::EPERM => (ErrorKind::PermissionDenied, whose(id)),
            _ => (kind_of(errno), Cause::Plain),
        };
        Error {
            subject: Subject::Id(id),
            cause,
            ..Error::new(kind, errno.0, call)
        }
    }

    /// `shmat` at an address of the caller's choosing failed, or one was refused before it was
    /// tried.
    #[cold]
    pub(crate) fn attach_at(errno: Errno, id: c_int, chosen: bool) -> Error {
        let mut error = Error::on_id(errno, "shmat", id);
        if error.kind != ErrorKind::InvalidArgument {
            return error;
        }
        error.cause = if !chosen {
            Cause::Because("replacing what is mapped (SHM_REMAP) needs an address")
        } else {
            Cause::Because(
                "the address is not page-aligned (SHM_RND rounds it down), or something is mapped there already",
            )
        };
        error
    }

    /// A call on an address failed.
    #[cold]
    pub(crate) fn on_address(errno: Errno, call: &'static str, address: usize) -> Error {
        let kind = match errno.0 {
            libc::EINVAL => ErrorKind::NoSuchSegment,
            _ => kind_of(errno),
        };
        Error {
            subject: Subject::Address(address),
            ..Error::new(kind, errno.0, call)
        }
    }

    pub(crate) fn out_of_range(id: c_int, offset: usize, len: usize, size: usize) -> Error {
        Error {
            subject: Subject::Id(id),
            cause: Cause::Range { offset, len, size },
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
            cause: Cause::Message { len },
            ..Error::object(ErrorKind::TooLong, id)
        }
    }

    pub(crate) fn overflow() -> Error {
        Error::new(ErrorKind::Overflow, libc::EOVERFLOW, "semaphore")
    }

    pub(crate) fn read_only(id: c_int) -> Error {
        Error {
            subject: Subject::Id(id),
            ..Error::new(ErrorKind::ReadOnly, libc::EACCES, "write")
        }
    }
}

fn kind_of(errno: Errno) -> ErrorKind {
    match errno.0 {
        libc::EINVAL => ErrorKind::InvalidArgument,
        libc::EIDRM => ErrorKind::Removed,
        libc::EACCES | libc::EPERM => ErrorKind::PermissionDenied,
        libc::EEXIST => ErrorKind::AlreadyExists,
        libc::ENOENT => ErrorKind::KeyNotFound,
        libc::ENOMEM => ErrorKind::OutOfMemory,
        libc::ENOSPC => ErrorKind::LimitReached,
        libc::ENOSYS => ErrorKind::Unsupported,
        libc::EFAULT => ErrorKind::BadPointer,
        _ => ErrorKind::Other,
    }
}

/// The facts behind a failed `shmget`, looked up now. They can have changed since; where they do
/// not explain the failure, nothing is claimed.
fn why_not_opened(errno: Errno, key: Key, size: usize) -> (ErrorKind, Cause) {
    let kind = kind_of(errno);
    // Without any flag, shmget asks for no permission: it tells the id to everybody.
    let existing = || {
        let id = match key.is_private() {
            true => return None,
            false => backend::create_or_get(key.as_raw(), 0, 0).ok()?,
        };
        status::any(id)
    };
    match errno.0 {
        libc::EINVAL => match (existing(), backend::limits()) {
            (Some(segment), _) if segment.size < size => (
                ErrorKind::TooSmall,
                Cause::Smaller {
                    id: segment.id,
                    have: segment.size,
                },
            ),
            (None, _) if size == 0 => (ErrorKind::BadSize, Cause::Plain),
            (None, _) if size > isize::MAX as usize => (
                ErrorKind::BadSize,
                Cause::Because("this size looks like a negative number that was cast to size_t"),
            ),
            (None, _) if size >= 1 << 47 => (
                ErrorKind::BadSize,
                Cause::Because("no process can have that much memory"),
            ),
            (None, Ok(limits)) if size > limits.shmmax as usize => (
                ErrorKind::BadSize,
                Cause::TooLarge {
                    shmmax: limits.shmmax as usize,
                },
            ),
            _ => (
                kind,
                Cause::Because(
                    "the flags ask for something that this system does not have, such as huge pages of that size",
                ),
            ),
        },
        libc::EACCES => match existing() {
            Some(segment) => (kind, owned(segment.id)),
            None => (kind, Cause::Plain),
        },
        libc::EEXIST => match existing() {
            Some(segment) => (kind, Cause::Exists { id: segment.id }),
            None => (kind, Cause::Plain),
        },
        libc::EPERM => (
            kind,
            Cause::Because(
                "huge pages (SHM_HUGETLB) need CAP_IPC_LOCK or membership of the group in vm.hugetlb_shm_group, \
                 unless this is a container that forbids System V shared memory",
            ),
        ),
        libc::ENOMEM => (
            kind,
            Cause::Because(
                "the system cannot reserve that much memory, or has not that many free huge pages (vm.nr_hugepages)",
            ),
        ),
        libc::ENOSPC => (kind, reached_limit()),
        _ => (kind, Cause::Plain),
    }
}

/// Which of the two limits behind ENOSPC it is.
fn reached_limit() -> Cause {
    let (Ok(limits), Ok((_, usage))) = (backend::limits(), backend::usage()) else {
        return Cause::Plain;
    };
    let (used, shmmni) = (usage.used_ids as usize, limits.shmmni as usize);
    if used >= shmmni {
        Cause::Ids { used, shmmni }
    } else {
        Cause::Pages {
            used: usage.shm_tot as usize,
            shmall: limits.shmall as usize,
        }
    }
}

fn whose(id: c_int) -> Cause {
    status::any(id).map_or(Cause::Plain, |segment| Cause::NotYours {
        owner: segment.uid,
        creator: segment.cuid,
    })
}

fn owned(id: c_int) -> Cause {
    status::any(id).map_or(Cause::Plain, |segment| Cause::Owned {
        id,
        owner: segment.uid,
        mode: segment.mode,
    })
}

impl core::error::Error for Error {}

/// `shmget(key 0x4102002f, 4096 bytes): EINVAL: the cause; the remedy`
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        match &self.subject {
            Subject::None => {}
            Subject::Path(path) => write_path(f, path)?,
            Subject::Key { key, size } if key.is_private() => {
                write!(f, "(private, {size} bytes)")?;
            }
            Subject::Key { key, size } => write!(f, "(key {key}, {size} bytes)")?,
            Subject::Id(id) => write!(f, "(id {id})")?,
            Subject::Address(address) => write!(f, "({address:#x})")?,
        }
        match self.errno.name() {
            Some(name) => write!(f, ": {name}: ")?,
            None => write!(f, ": errno {}: ", self.errno.0)?,
        }
        self.cause(f)
    }
}

/// A path on one line, and not longer than a line or two.
fn write_path(f: &mut fmt::Formatter<'_>, path: &str) -> fmt::Result {
    const END: usize = 60;
    let characters = path.chars().count();
    if characters <= 2 * END {
        return write!(f, "(\"{}\")", path.escape_debug());
    }
    let end = |skip| {
        path.chars()
            .skip(skip)
            .take(END)
            .flat_map(char::escape_debug)
    };
    f.write_str("(\"")?;
    end(0).try_for_each(|character| f.write_char(character))?;
    f.write_str(" ... ")?;
    end(characters - END).try_for_each(|character| f.write_char(character))?;
    f.write_str("\")")
}

impl Error {
    fn cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Because(why) => f.write_str(why),
            Cause::ProjectId(id) => write!(
                f,
                "the project id {id} has no bit set in its low 8, which makes no proper key; use 1 to 255 or a letter"
            ),
            Cause::Flags(flags) => write!(
                f,
                "the flags {flags:#o} mean nothing here; take them from shmget(2) and shmat(2)"
            ),
            Cause::Smaller { id, have } => write!(
                f,
                "the segment under this key (id {id}) has {have} bytes, fewer than asked for; \
                 ask for its size or for 0, or remove it (ipcrm -m {id}) and create it again"
            ),
            Cause::TooLarge { shmmax } => write!(
                f,
                "the largest segment that the limit kernel.shmmax allows has {shmmax} bytes"
            ),
            Cause::Owned { id, owner, mode } => write!(
                f,
                "the segment {id} belongs to uid {owner} and has mode {mode:04o}, which does not allow this to uid {}; \
                 its owner can change the mode or create it with another",
                sys::effective_user()
            ),
            Cause::NotYours { owner, creator } => write!(
                f,
                "only the owner (uid {owner}), the creator (uid {creator}) and root may do this, \
                 whatever the mode; this is uid {}",
                sys::effective_user()
            ),
            Cause::Exists { id } => write!(
                f,
                "a segment with this key exists (id {id}) and it was to be created exclusively; \
                 open it without exclusive (IPC_EXCL), or remove it first (ipcrm -m {id})"
            ),
            Cause::Ids { used, shmmni } => write!(
                f,
                "{used} of {shmmni} segments (kernel.shmmni) are in use; this is not about the disk: \
                 remove segments that nobody needs (ipcs -m, ipcrm -m) or raise the limit"
            ),
            Cause::Pages { used, shmall } => write!(
                f,
                "{used} of {shmall} pages of shared memory (kernel.shmall) are in use, and this would be too many; \
                 this is not about the disk: remove segments that nobody needs or raise the limit"
            ),
            Cause::Range { offset, len, size } => write!(
                f,
                "{len} bytes at offset {offset} do not fit into the segment's {size} bytes"
            ),
            Cause::Message { len } => write!(
                f,
                "the message has {len} bytes, more than the buffer or the ring's capacity; nothing was sent or taken"
            ),
            Cause::Plain => f.write_str(self.advice()),
        }
    }

    /// What is known from the kind alone.
    fn advice(&self) -> &'static str {
        match self.kind {
            ErrorKind::PathNotFound => {
                "there is no such file, and a key is made from one that exists; create it (touch) or open by name instead"
            }
            ErrorKind::KeyNotFound => {
                "there is no segment with this key; start the program that creates it first, or ask to create it (IPC_CREAT)"
            }
            ErrorKind::NoSuchSegment => match self.subject {
                Subject::Address(_) => {
                    "no segment is attached at this address; it is the very address that attaching returned, and only until it is detached"
                }
                _ => {
                    "there is no segment with this id; it may have been removed, so open it again by its key"
                }
            },
            ErrorKind::Removed => {
                "the segment has been removed and destroyed; open it again by its key"
            }
            ErrorKind::AlreadyExists => {
                "a segment with this key existed, and it was to be created exclusively"
            }
            ErrorKind::BadSize => {
                "a segment of 0 bytes cannot be created; give a size (0 is for opening one that exists)"
            }
            ErrorKind::PermissionDenied => {
                "the owner or the mode of what this is about does not allow it to this user"
            }
            ErrorKind::LimitReached if self.call == "object" => {
                "64 senders have this ring already; one of them has to close it first"
            }
            ErrorKind::LimitReached => {
                "a limit of the system is reached: kernel.shmmni or kernel.shmall"
            }
            ErrorKind::OutOfMemory => "there is not enough memory or address space left",
            ErrorKind::ReadOnly => {
                "this process may only read the segment: it was attached so, or the segment's mode allows no more"
            }
            ErrorKind::BadPointer => "a pointer leads nowhere",
            ErrorKind::Unsupported => {
                "this system has no System V shared memory (CONFIG_SYSVIPC), or a seccomp policy forbids it"
            }
            ErrorKind::Foreign => {
                "this segment was not made by this library: another program uses the same key; take another name, \
                 or remove it if nobody needs it"
            }
            ErrorKind::WrongKind => {
                "the segment holds an object of another kind; take another name"
            }
            ErrorKind::WrongLayout => {
                "what the object holds is another thing here than where it was made: another size or capacity, other options, \
                 or another name of its layout; bring both programs to the same, then remove the segment"
            }
            ErrorKind::WrongVersion => {
                "another version of this library made the object; use one version everywhere, then remove the segment"
            }
            ErrorKind::WrongMachine => {
                "a program with another order of bytes or width of pointers made the object"
            }
            ErrorKind::KeyCollision => {
                "another name has the same key by chance, and its object is in use; take another name"
            }
            ErrorKind::Truncated => "the segment is too small to hold an object of this library",
            ErrorKind::Damaged => {
                "the object's header makes no sense: somebody has overwritten it; remove the segment and start anew"
            }
            ErrorKind::TimedOut => "it did not happen in time",
            ErrorKind::WouldBlock => {
                "it is not possible at this moment; try again, or give it time"
            }
            ErrorKind::Busy => {
                "a process that lives has this part already, and only one can; it is free when that one closes it or ends"
            }
            ErrorKind::Closed => {
                "the other side has ended; this goes on when another process takes its part"
            }
            ErrorKind::PeerDied => {
                "the process on the other side died; nothing that was committed is lost, and this goes on when another \
                 process takes its part"
            }
            ErrorKind::TooLong => "the message is longer than the ring or the buffer",
            ErrorKind::Overtaken => {
                "the writer was faster than this reader, and what was read may be anything"
            }
            ErrorKind::NotOwner => "this thread does not have the lock",
            ErrorKind::Deadlock => "this thread has the lock already, and would wait for itself",
            ErrorKind::NotRecoverable => {
                "an owner died with the lock, and the next one unlocked without saying that the value is in order; \
                 remove the segment and start anew"
            }
            ErrorKind::Overflow => "the count would exceed 2147483647",
            ErrorKind::ProjectIdZero
            | ErrorKind::EmptyName
            | ErrorKind::TooSmall
            | ErrorKind::OutOfRange
            | ErrorKind::InvalidArgument => "an argument is not valid",
            ErrorKind::Other => match self.errno.0 {
                libc::EMFILE | libc::ENFILE => "too many open files",
                libc::ENAMETOOLONG => "the path is too long",
                libc::ELOOP => "the path leads through too many symbolic links",
                _ => "see the manual page of this call",
            },
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
