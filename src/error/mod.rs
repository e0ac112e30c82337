//! The one error type: the failed call, its error number, the cause, and a remedy.

mod failure;
mod kind;
mod label;
mod mismatch;
#[cfg(test)]
mod removal;

pub(crate) use failure::{Action, Failure, What, fold};
pub use kind::ErrorKind;
pub(crate) use label::Label;
pub(crate) use mismatch::{Mismatch, Shape};

use crate::explain::{self, Bytes, Call, Cause, Ownership, ShownPath, User};
use crate::{
    kind::Kind,
    sys::{Errno, Mapped},
};
use core::{
    ffi::{CStr, c_int},
    fmt::{self, Display as _, Write as _},
};

/// Why an operation failed.
///
/// Its text is one or two sentences: the call and its subject, the name of the errno, the cause, if it is known, and a
/// remedy. An error about an object names its kind, its name and its segment, and the process that has the lock or the
/// role.
///
/// An error about an object in use, such as a would-block or a timeout, is made without an allocation or a system call:
/// it is a few numbers, 32 bytes, and its text is formatted when it is displayed. The text shows the state of another
/// process (running, sleeping, stopped, dead) at that time. It names a closed object until 64 others have been closed
/// after it.
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
pub struct Error(Repr);

#[derive(Debug)]
enum Repr {
    /// Of an object: what a try without waiting fails with, so nothing but numbers.
    Object(Failure),
    /// Not on the heap: calls that may be made in a signal handler may fail there.
    Call(Mapped<Details>),
    /// What is left of a call's details if there is no memory for them.
    Bare {
        kind: ErrorKind,
        errno: Errno,
        call: &'static str,
    },
}

const _: () = assert!(size_of::<Error>() == 32);

impl Repr {
    /// Keeps the details; if there is no memory for them, the kind, the number and the call.
    fn of(details: Details) -> Repr {
        let Details {
            kind, errno, call, ..
        } = details;
        match Mapped::new(details) {
            Ok(details) => Repr::Call(details),
            Err(_) => Repr::Bare { kind, errno, call },
        }
    }
}

impl Clone for Repr {
    fn clone(&self) -> Repr {
        match self {
            Repr::Object(failure) => Repr::Object(*failure),
            Repr::Call(details) => Repr::of(Details::clone(details)),
            &Repr::Bare { kind, errno, call } => Repr::Bare { kind, errno, call },
        }
    }
}

/// What is known of a failed call.
#[derive(Clone, Debug)]
struct Details {
    kind: ErrorKind,
    errno: Errno,
    call: &'static str,
    /// The object that was to be opened.
    opening: Option<Wanted>,
    subject: Subject,
    reason: Reason,
}

/// An object that could not be opened: its kind, and its name, which is empty if it has none.
#[derive(Clone, Debug)]
struct Wanted {
    kind: Kind,
    name: KeptPath,
}

/// What a call was about.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant)] // in a page of its own there is room
enum Subject {
    None,
    Path(KeptPath),
    Key { key: c_int, size: usize },
    Id(c_int),
    Address(usize),
    Object(Failure),
}

/// As much of a path as [`ShownPath`] shows, its beginning and its end, without an allocation.
#[derive(Clone)]
struct KeptPath {
    bytes: [u8; KeptPath::SIZE],
    len: usize,
}

impl KeptPath {
    /// The beginning and the end that are shown are 60 characters each, of 4 bytes at most.
    const SIZE: usize = 512;

    fn new(path: &[u8]) -> KeptPath {
        let mut bytes = [0; KeptPath::SIZE];
        let len = path.len().min(KeptPath::SIZE);
        let (begin, end) = bytes[..len].split_at_mut(len / 2);
        begin.copy_from_slice(&path[..begin.len()]);
        end.copy_from_slice(&path[path.len() - end.len()..]);
        KeptPath { bytes, len }
    }

    fn shown(&self) -> ShownPath<'_> {
        ShownPath(&self.bytes[..self.len])
    }
}

impl fmt::Debug for KeptPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.shown(), f)
    }
}

/// What is known of the reason.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant)] // in a page of its own there is room
enum Reason {
    /// Nothing beyond the kind.
    Kind,
    /// What was looked up in the system.
    Found(Cause),
    /// An explanation that needs no facts.
    Because(&'static str),
    ProjectId(c_int),
    Flags(c_int),
    Range {
        offset: usize,
        len: usize,
        size: usize,
        of: &'static str,
    },
    FirstCount(u32),
    Timeout(i64),
    Capacity {
        kind: Kind,
        most: usize,
    },
    /// The index of a `struct shm_waitable`, and what is wrong with it.
    Element {
        index: usize,
        why: &'static str,
    },
    /// The mode of an object.
    Mode(u32),
    /// The mode of a segment.
    NoAccess(u32),
    /// The user that was to own a segment, and those that own it and have created it.
    OtherOwner {
        expected: u32,
        owner: u32,
        creator: u32,
    },
    Mismatch(Mismatch),
}

impl Error {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match &self.0 {
            Repr::Object(failure) => failure.kind,
            Repr::Call(details) => details.kind,
            Repr::Bare { kind, .. } => *kind,
        }
    }

    /// Returns the error number, as the manual pages of the System V calls define it and as C callers find it in
    /// `errno`.
    pub fn errno(&self) -> i32 {
        match &self.0 {
            Repr::Object(failure) => failure.kind.errno_of_object(),
            Repr::Call(details) => details.errno.0,
            Repr::Bare { errno, .. } => errno.0,
        }
    }

    /// Returns the cause and the remedy, without the call and its error number: the end of the displayed text.
    pub fn explanation(&self) -> impl fmt::Display + '_ {
        Explanation(self)
    }
}

/// How the other modules make an error: each function returns the one that its name says.
impl Error {
    #[cold]
    pub(crate) fn new(kind: ErrorKind, errno: c_int, call: &'static str) -> Error {
        let errno = Errno(errno);
        let details = Details {
            kind,
            errno,
            call,
            opening: None,
            subject: Subject::None,
            reason: Reason::Kind,
        };
        Error(Repr::of(details))
    }

    fn about(mut self, subject: Subject) -> Error {
        if let Repr::Call(details) = &mut self.0 {
            details.subject = subject;
        }
        self
    }

    fn because(mut self, reason: Reason) -> Error {
        if let Repr::Call(details) = &mut self.0 {
            details.reason = reason;
        }
        self
    }

    /// Adds which object was to be opened, unless that is known already.
    #[cold]
    pub(crate) fn opening(mut self, kind: Kind, name: &[u8]) -> Error {
        if let Repr::Call(details) = &mut self.0 {
            let name = KeptPath::new(name);
            details.opening.get_or_insert(Wanted { kind, name });
        }
        self
    }

    /// Explains that no segment has the id 0, which may come from a structure of zeroes.
    pub(crate) fn perhaps_of_zeroes(self, id: c_int) -> Error {
        if id == 0 && self.kind() == ErrorKind::NoSuchSegment {
            return self.because(Reason::Because(
                "there is no segment with the id 0, which is that of a place of zeroes: begin with \
                 SHMKEY_PLACE_INIT, SHMKEY_PLACE_NAME() or SHMKEY_PLACE_FILE()",
            ));
        }
        self
    }

    /// Refuses an argument.
    pub(crate) fn invalid(call: &'static str, why: &'static str) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call).because(Reason::Because(why))
    }

    /// Refuses an invalid pointer from C.
    pub(crate) fn bad_pointer(call: &'static str, what: &'static str) -> Error {
        Error::new(ErrorKind::BadPointer, libc::EFAULT, call).because(Reason::Because(what))
    }

    /// Refuses flag bits that have no meaning in a call.
    pub(crate) fn undefined_flags(call: &'static str, unknown: c_int) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call).because(Reason::Flags(unknown))
    }

    pub(crate) fn path_with_nul() -> Error {
        Error::invalid("ftok", "a path cannot contain a NUL byte")
    }

    pub(crate) fn empty_name() -> Error {
        Error::new(ErrorKind::EmptyName, libc::EINVAL, "open by name").because(Reason::Because(
            "an empty name makes no key; give it at least one character",
        ))
    }

    pub(crate) fn name_too_long() -> Error {
        let kind = ErrorKind::InvalidArgument;
        Error::new(kind, libc::ENAMETOOLONG, "open by name")
            .because(Reason::Because("a name has at most 4095 bytes"))
    }

    /// Refuses the capacity of a ring or a broadcast; `most`: the largest.
    pub(crate) fn capacity(kind: Kind, most: usize) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, "open")
            .because(Reason::Capacity { kind, most })
    }

    pub(crate) fn object_name_too_long() -> Error {
        Error::invalid("open", "the name of an object has at most 256 bytes")
    }

    pub(crate) fn layout_too_long() -> Error {
        Error::invalid(
            "open",
            "the name of an object's layout has at most 128 bytes",
        )
    }

    /// Refuses a timeout of C.
    pub(crate) fn timeout(timeout: i64) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, "open")
            .because(Reason::Timeout(timeout))
    }

    /// Reports that the list of attachments cannot be read.
    pub(crate) fn no_proc(errno: Errno) -> Error {
        Error::new(ErrorKind::Other, errno.0, "open /proc/self/maps").because(match errno.0 {
            libc::ENOENT => Reason::Because(
                "/proc/self/maps, which tells what is attached where, is not there; mount /proc",
            ),
            _ => Reason::Kind,
        })
    }

    pub(crate) fn project_id_zero(proj_id: c_int) -> Error {
        Error::new(ErrorKind::ProjectIdZero, libc::EINVAL, "ftok")
            .because(Reason::ProjectId(proj_id))
    }

    /// Reports that one of the five calls failed, and looks for the cause.
    #[cold]
    fn found(errno: Errno, name: &'static str, subject: Subject, call: Call<'_>) -> Error {
        let cause = explain::why(call, errno);
        Error::new(ErrorKind::of(errno, &cause), errno.0, name)
            .about(subject)
            .because(Reason::Found(cause))
    }

    /// Reports a file that gives no key.
    #[cold]
    pub(crate) fn ftok(errno: Errno, path: &CStr, proj_id: c_int) -> Error {
        let path = path.to_bytes();
        let call = Call::Ftok {
            path: Some(path),
            proj_id,
        };
        Error::found(errno, "ftok", Subject::Path(KeptPath::new(path)), call)
    }

    /// Reports that `shmget` failed.
    #[cold]
    pub(crate) fn open(errno: Errno, key: c_int, size: usize, flags: c_int) -> Error {
        let call = Call::Get { key, size, flags };
        Error::found(errno, "shmget", Subject::Key { key, size }, call)
    }

    /// Reports that `shmat` failed, or that the library refused its arguments.
    #[cold]
    pub(crate) fn attach_at(errno: Errno, id: c_int, address: usize, flags: c_int) -> Error {
        let call = Call::Attach { id, address, flags };
        Error::found(errno, "shmat", Subject::Id(id), call)
    }

    /// Reports that `shmctl` failed with this command.
    #[cold]
    pub(crate) fn control(errno: Errno, name: &'static str, id: c_int, command: c_int) -> Error {
        let call = Call::Control {
            id,
            command,
            buffer: 0,
        };
        Error::found(errno, name, Subject::Id(id), call)
    }

    /// Reports that `shmctl` failed to set what is in this record.
    #[cold]
    pub(crate) fn set(errno: Errno, id: c_int, record: &libc::shmid_ds) -> Error {
        let call = Call::Control {
            id,
            command: libc::IPC_SET,
            buffer: core::ptr::from_ref(record).addr(),
        };
        Error::found(errno, "shmctl IPC_SET", Subject::Id(id), call)
    }

    /// Reports that a call on the memory of an attached segment failed.
    #[cold]
    pub(crate) fn on_memory(errno: Errno, name: &'static str, id: c_int) -> Error {
        let kind = match errno.0 {
            libc::ENOMEM => ErrorKind::OutOfMemory,
            libc::EINVAL => ErrorKind::InvalidArgument,
            _ => ErrorKind::Other,
        };
        Error::new(kind, errno.0, name).about(Subject::Id(id))
    }

    /// Reports that no segment is attached at an address.
    #[cold]
    pub(crate) fn on_address(errno: Errno, name: &'static str, address: usize) -> Error {
        let call = Call::Detach { address };
        Error::found(errno, name, Subject::Address(address), call)
    }

    pub(crate) fn out_of_range(
        call: &'static str,
        id: c_int,
        offset: usize,
        len: usize,
        size: usize,
    ) -> Error {
        Error::new(ErrorKind::OutOfRange, libc::EINVAL, call)
            .about(Subject::Id(id))
            .because(Reason::Range {
                offset,
                len,
                size,
                of: "segment",
            })
    }

    /// Refuses a mode with which the creator of an object could not use it.
    pub(crate) fn object_mode(mode: u32) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, "open").because(Reason::Mode(mode))
    }

    /// Refuses a mode with more than the permission bits.
    pub(crate) fn mode_too_large() -> Error {
        Error::invalid(
            "mode",
            "a mode has nine bits, 0 to 0777, an octal number (in C, such numbers begin with 0; \
             in Rust, with 0o)",
        )
    }

    /// Refuses the mode of a new segment, which would keep its owner from it.
    pub(crate) fn no_access(call: &'static str, mode: u32) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call).because(Reason::NoAccess(mode))
    }

    /// Refuses a segment that does not belong to the expected user.
    pub(crate) fn other_owner(id: c_int, expected: u32, owner: u32, creator: u32) -> Error {
        let reason = Reason::OtherOwner {
            expected,
            owner,
            creator,
        };
        Error::new(ErrorKind::PermissionDenied, libc::EPERM, "open")
            .about(Subject::Id(id))
            .because(reason)
    }

    /// Adds that an object which is opened for reading only is not created.
    pub(crate) fn not_created_read_only(self) -> Error {
        self.none_there(
            "there is no such object, and a process that opens one for reading only does not \
             create it; start the program that publishes first, or open it without \
             SHMKEY_READ_ONLY (Place::read_only)",
        )
    }

    /// Refuses an element of an array of objects.
    pub(crate) fn element(call: &'static str, index: usize, why: &'static str) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call)
            .because(Reason::Element { index, why })
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

    /// Adds that the capacity 0 opens only a ring that exists.
    pub(crate) fn no_ring(self) -> Error {
        self.none_there(
            "there is no such ring; the capacity 0 opens one that exists, \
             and creating one needs a capacity",
        )
    }

    /// The same for a broadcast.
    pub(crate) fn no_broadcast(self) -> Error {
        self.none_there(
            "there is no such broadcast; the capacity 0 opens one that exists, \
             and creating one needs a capacity",
        )
    }

    fn none_there(self, why: &'static str) -> Error {
        match self.kind() {
            ErrorKind::KeyNotFound => self.because(Reason::Because(why)),
            _ => self,
        }
    }

    pub(crate) fn first_count(count: u32) -> Error {
        Error::new(ErrorKind::Overflow, libc::EOVERFLOW, "open").because(Reason::FirstCount(count))
    }

    /// Refuses to open an object for reading only that every user writes.
    pub(crate) fn asked_read_only() -> Error {
        Error::new(ErrorKind::ReadOnly, libc::EACCES, "open").because(Reason::Because(
            "every process that uses an object of this kind writes it, also one that only \
             reads, waits or receives; open it without SHMKEY_READ_ONLY (Place::read_only)",
        ))
    }

    pub(crate) fn read_only(id: c_int) -> Error {
        Error::new(ErrorKind::ReadOnly, libc::EACCES, "write").about(Subject::Id(id))
    }
}

/// How the other modules make an error about an object.
impl Error {
    pub(crate) fn object(failure: Failure) -> Error {
        Error(Repr::Object(failure))
    }

    /// Adds the call. Like the next, it changes only errors about an object.
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

    /// Returns the error of a cancelled call in place of that of one that would block.
    #[cold]
    pub(crate) fn cancelled_if_blocked(mut self) -> Error {
        if let Repr::Object(failure) = &mut self.0
            && failure.kind == ErrorKind::WouldBlock
        {
            failure.kind = ErrorKind::Cancelled;
        }
        self
    }

    /// Adds how a segment differs from the object that is wanted.
    #[cold]
    pub(crate) fn mismatch(self, mismatch: Mismatch) -> Error {
        self.with_reason(Reason::Mismatch(mismatch))
    }

    /// Says that no object is there, and that none is being created.
    #[cold]
    pub(crate) fn not_created(self) -> Error {
        self.into_call(ErrorKind::KeyNotFound, Errno(libc::ENOENT))
            .because(Reason::Because(
                "no object is there, and no process has begun to create one; start the program \
                 that creates it first, or ask to create it (SHMKEY_CREATE, Place::create)",
            ))
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
                "this takes three file descriptors, and the process has as many open as RLIMIT_NOFILE allows; close \
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

    /// Makes an error of a call on an object of one about the object.
    fn into_call(self, kind: ErrorKind, errno: Errno) -> Error {
        match self.0 {
            Repr::Object(failure) => {
                Error::new(kind, errno.0, failure.action.name()).about(Subject::Object(failure))
            }
            _ => self,
        }
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

    fn with_reason(self, reason: Reason) -> Error {
        match self.0 {
            Repr::Object(failure) => self
                .into_call(failure.kind, Errno(failure.kind.errno_of_object()))
                .because(reason),
            _ => self.because(reason),
        }
    }

    /// Returns the numbers from which the text can be made later; the error itself if it needs more.
    #[inline(always)]
    pub(crate) fn into_failure(self) -> Result<Failure, Error> {
        match self.0 {
            Repr::Object(failure) => Ok(failure),
            other => Err(Error(other)),
        }
    }
}

impl core::error::Error for Error {}

/// `shmget(key 0x4102002f, 4096 bytes): EINVAL: the cause; the remedy`
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Object(failure) => write!(f, "{}: {}: ", failure.subject(), failure.action)?,
            Repr::Call(details) => details.write_call(f)?,
            Repr::Bare { call, .. } => write!(f, "{call}: ")?,
        }
        write!(f, "{}: ", Errno(self.errno()))?;
        Explanation(self).fmt(f)
    }
}

impl Details {
    /// Returns the id of the segment that it is about, if it has one.
    fn segment(&self) -> Option<c_int> {
        match &self.subject {
            Subject::Id(id) => Some(*id),
            Subject::Object(failure) => Some(failure.id),
            _ => None,
        }
    }

    fn write_call(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Subject::Object(failure) = &self.subject {
            return write!(f, "{}: {}: ", failure.subject(), failure.action);
        }
        match &self.opening {
            Some(Wanted { kind, name }) if name.len == 0 => write!(f, "{}: ", kind.name())?,
            Some(Wanted { kind, name }) => write!(f, "{} {}: ", kind.name(), name.shown())?,
            None => {}
        }
        f.write_str(self.call)?;
        match &self.subject {
            Subject::None | Subject::Object(_) => {}
            Subject::Path(path) => write!(f, "({})", path.shown())?,
            Subject::Key { key, size } if *key == libc::IPC_PRIVATE => {
                write!(f, "(private, {})", Bytes(*size))?;
            }
            Subject::Key { key, size } => write!(f, "(key {key:#010x}, {})", Bytes(*size))?,
            Subject::Id(id) => write!(f, "(id {id})")?,
            Subject::Address(address) => write!(f, "({address:#x})")?,
        }
        f.write_str(": ")
    }
}

struct Explanation<'a>(&'a Error);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_cause(f)?;
        // The remedy may be another segment in place of this one: then its users matter.
        let id = match &self.0.0 {
            _ if !self.0.kind().asks_for_another_segment() => None,
            // What else lies in the segment is in use.
            Repr::Object(failure) if failure.what == What::Offset => None,
            Repr::Object(failure) => Some(failure.id),
            Repr::Call(details) => details.segment(),
            Repr::Bare { .. } => None,
        };
        match id.and_then(Ownership::of) {
            Some(ownership) => write!(f, "; {ownership}"),
            None => Ok(()),
        }
    }
}

impl Explanation<'_> {
    fn write_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = match &self.0.0 {
            Repr::Object(failure) => return failure.explanation().fmt(f),
            Repr::Call(details) => details,
            Repr::Bare { kind, errno, .. } => return f.write_str(kind.advice(*errno)),
        };
        match &details.reason {
            Reason::Found(cause) => cause.fmt(f),
            Reason::Because(why) => f.write_str(why),
            Reason::ProjectId(id) => write!(
                f,
                "the project id {id} has no bit set in its low 8, which makes no proper key; use \
                 1 to 255 or a letter"
            ),
            Reason::Flags(flags) => write_flags(f, *flags),
            Reason::Range {
                offset,
                len,
                size,
                of,
            } => write!(
                f,
                "{} at offset {offset} do not fit into the {of}'s {}",
                Bytes(*len),
                Bytes(*size)
            ),
            Reason::Timeout(timeout) => failure::write_timeout(f, *timeout),
            Reason::Capacity { kind, most } => write!(
                f,
                "the capacity of a {} is 64 to {most} bytes, or 0 for one that exists",
                kind.name()
            ),
            Reason::Element { index, why } => write!(f, "the element {index} of the objects {why}"),
            Reason::FirstCount(count) => write!(
                f,
                "the first count {count} is larger than the largest, 2147483647"
            ),
            Reason::Mode(mode) => {
                f.write_str(
                    "a process that creates an object reads and writes it: a mode of 0600 at least",
                )?;
                match explain::ModeDoubt::of(*mode) {
                    Some(doubt) => write!(f, "; {doubt}"),
                    None => Ok(()),
                }
            }
            Reason::NoAccess(mode) => {
                write!(
                    f,
                    "the mode {mode:04o} lets the owner of the new segment neither read nor write \
                     it; give it a mode such as 0600, as in SHMKEY_CREATE | 0600"
                )?;
                match explain::ModeDoubt::of(*mode) {
                    Some(doubt) if *mode != 0 => write!(f, "; {doubt}"),
                    _ => Ok(()),
                }
            }
            Reason::OtherOwner {
                expected,
                owner,
                creator,
            } => write!(
                f,
                "the segment belongs to {}, was created by {}, and is expected to be {}'s; \
                 nothing in it was used; find out which program has created it before you remove \
                 it or take another name",
                User(*owner),
                User(*creator),
                User(*expected),
            ),
            Reason::Mismatch(mismatch) => mismatch.fmt(f),
            Reason::Kind => f.write_str(details.kind.advice(details.errno)),
        }
    }
}

/// The options of objects, which C programs pass as flags; above those of the kernel.
const OPTIONS: [(c_int, &str, &str); 3] = [
    (1 << 16, "SHMKEY_MANY_SENDERS", "shm_ring_open()"),
    (1 << 17, "SHMKEY_DROP_OLDEST", "shm_ring_open()"),
    (1 << 18, "SHMKEY_LOSSY", "shm_broadcast_open()"),
];

/// Writes which flags have no meaning in a call, and where they have one.
fn write_flags(f: &mut fmt::Formatter<'_>, flags: c_int) -> fmt::Result {
    for (option, name, function) in OPTIONS {
        if flags & option != 0 {
            return write!(
                f,
                "{name} has no meaning here; it is an option of {function}"
            );
        }
    }
    write!(
        f,
        "the flags {flags:#o} have no meaning here; those of a segment are in shmget(2) and shmat(2), and those of an \
         object in the manual page of this function"
    )
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        std::io::Error::new(
            std::io::Error::from_raw_os_error(error.errno()).kind(),
            error,
        )
    }
}

/// Writes an error into a buffer of fixed size as a C string, cut at a character's border if it is
/// too long.
pub(crate) fn write_c_str(error: &impl fmt::Display, buffer: &mut [u8]) {
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
