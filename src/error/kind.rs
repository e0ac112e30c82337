//! The kinds of errors, and what each means if nothing more is known.

use crate::{explain::Cause, sys::Errno};
use core::ffi::c_int;

/// What happened. Later versions may add kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `ENOENT`: the file to make a key from does not exist, or the directory of the user backend cannot be made.
    PathNotFound,
    /// `EINVAL`: the low 8 bits of a project id are zero, which makes no key.
    ProjectIdZero,
    /// `EINVAL`: the name is empty.
    EmptyName,
    /// `ENOENT`: there is no segment under this key.
    KeyNotFound,
    /// `EINVAL`: there is no segment with this id, or none is attached at this address.
    NoSuchSegment,
    /// `EIDRM`: the segment was removed and destroyed during the call; later calls fail with `NoSuchSegment`.
    Removed,
    /// `EEXIST`: the segment exists, and the call asked for a new one.
    AlreadyExists,
    /// `EINVAL`: the segment under this key is smaller than the requested size.
    TooSmall,
    /// `EINVAL`: the size is 0, or above the limit `shmmax`.
    BadSize,
    /// `EACCES` or `EPERM`: the segment's mode or owner does not allow it.
    PermissionDenied,
    /// `ENOSPC`: the limit `shmmni` or `shmall` is reached, or the object has 64 senders or subscribers already.
    LimitReached,
    /// `ENOMEM`: there is not enough memory or address space.
    OutOfMemory,
    /// `EINVAL`: the range does not lie inside the segment or the message.
    OutOfRange,
    /// `EACCES`: the segment is attached for reading only, or its mode does not let this process write.
    ReadOnly,
    /// `EMEDIUMTYPE`: the segment's bytes are neither 0 nor an object of this library.
    Foreign,
    /// `EPROTOTYPE`: the segment holds an object of another kind.
    WrongKind,
    /// `EPROTO`: the object has another layout (name, size or alignment), another capacity, or other options.
    WrongLayout,
    /// `EPROTONOSUPPORT`: a version of this library with another header created the object.
    WrongVersion,
    /// `ENOEXEC`: a program with another byte order or pointer width created the object.
    WrongMachine,
    /// `ENOTUNIQ`: another name, or another path and project id, has the same key.
    KeyCollision,
    /// `ENODATA`: the segment is too small to hold an object.
    Truncated,
    /// `EBADMSG`: the object is malformed.
    Damaged,
    /// `ETIMEDOUT`: what the call waited for did not happen before the timeout.
    TimedOut,
    /// `EAGAIN`: the call would have to wait, and the caller did not allow that.
    WouldBlock,
    /// `EINTR`: a signal handler has ended the wait.
    Interrupted,
    /// `ECANCELED`: a [`Canceller`](crate::Canceller) has ended the wait.
    Cancelled,
    /// `EBUSY`: another process that is not known to be dead has this role, or this process has it already.
    Busy,
    /// `EPIPE`: the other side of a ring or a broadcast has released its role.
    Closed,
    /// `EOWNERDEAD`: the process on the other side of a ring or a broadcast died.
    PeerDied,
    /// `EMSGSIZE`: the message is longer than the capacity or the buffer.
    TooLong,
    /// `ESTALE`: another process has overwritten what this one was reading, or has dropped its subscription.
    Overtaken,
    /// `EPERM`: the calling thread does not hold the lock, the slot or the message, or is not subscribed.
    NotOwner,
    /// `EDEADLK`: this thread has the lock already.
    Deadlock,
    /// `ENOTRECOVERABLE`: an owner died, and the next one did not mark the value as consistent.
    NotRecoverable,
    /// `EOVERFLOW`: the count would exceed 2147483647.
    Overflow,
    /// `EINVAL`: another argument is invalid.
    InvalidArgument,
    /// `EFAULT`: a pointer is invalid.
    BadPointer,
    /// `ENOSYS`: this system has no System V shared memory, or does not let this process use it.
    Unsupported,
    /// Anything else; see [`Error::errno`](crate::Error::errno).
    Other,
}

/// Defines, from one table, which kinds an error about an object can have, and the error number of each.
macro_rules! of_objects {
    ($($kind:ident => $errno:ident,)*) => {
        impl ErrorKind {
            /// The kinds of errors about an object.
            pub(super) const OF_OBJECTS: &[ErrorKind] = &[$(ErrorKind::$kind),*];

            /// Returns the error number of an error of this kind about an object.
            #[inline]
            pub(crate) fn errno_of_object(self) -> c_int {
                match self {
                    $(ErrorKind::$kind => libc::$errno,)*
                    // No object has an error of another kind.
                    _ => libc::EINVAL,
                }
            }
        }
    };
}

of_objects! {
    WouldBlock => EAGAIN,
    TimedOut => ETIMEDOUT,
    Interrupted => EINTR,
    Cancelled => ECANCELED,
    Foreign => EMEDIUMTYPE,
    WrongKind => EPROTOTYPE,
    WrongLayout => EPROTO,
    WrongVersion => EPROTONOSUPPORT,
    WrongMachine => ENOEXEC,
    KeyCollision => ENOTUNIQ,
    Truncated => ENODATA,
    Damaged => EBADMSG,
    Busy => EBUSY,
    Closed => EPIPE,
    PeerDied => EOWNERDEAD,
    TooLong => EMSGSIZE,
    Overtaken => ESTALE,
    NotOwner => EPERM,
    LimitReached => ENOSPC,
    Deadlock => EDEADLK,
    NotRecoverable => ENOTRECOVERABLE,
    Overflow => EOVERFLOW,
    ReadOnly => EACCES,
    OutOfRange => EINVAL,
    InvalidArgument => EINVAL,
    BadPointer => EFAULT,
    OutOfMemory => ENOMEM,
}

impl ErrorKind {
    /// Returns the kind of a failed call, from its error number and its cause.
    pub(super) fn of(errno: Errno, cause: &Cause) -> ErrorKind {
        match *cause {
            Cause::NoFile { .. } => return ErrorKind::PathNotFound,
            // Not KeyNotFound: to create the segment, or to wait for another process that creates it, does not help.
            Cause::Directory(_) if errno == Errno(libc::ENOENT) => return ErrorKind::PathNotFound,
            Cause::NoId { .. }
            | Cause::NotAnId { .. }
            | Cause::Gone { .. }
            | Cause::Inside { .. }
            | Cause::NotAttached(_) => {
                return ErrorKind::NoSuchSegment;
            }
            Cause::Smaller { .. } => return ErrorKind::TooSmall,
            Cause::ZeroSize | Cause::TooLarge(_) | Cause::BeyondLimit { .. } => {
                return ErrorKind::BadSize;
            }
            _ => {}
        }
        match errno.0 {
            libc::EINVAL => ErrorKind::InvalidArgument,
            libc::EIDRM => ErrorKind::Removed,
            libc::EACCES | libc::EPERM => ErrorKind::PermissionDenied,
            libc::EEXIST => ErrorKind::AlreadyExists,
            libc::ENOENT => ErrorKind::KeyNotFound,
            libc::ENOTDIR => ErrorKind::PathNotFound,
            libc::ENOMEM => ErrorKind::OutOfMemory,
            libc::ENOSPC => ErrorKind::LimitReached,
            libc::ENOSYS => ErrorKind::Unsupported,
            libc::EFAULT => ErrorKind::BadPointer,
            _ => ErrorKind::Other,
        }
    }

    /// Returns whether the remedy is another segment in place of this one, so that its users matter.
    pub(super) fn asks_for_another_segment(self) -> bool {
        matches!(
            self,
            ErrorKind::Foreign
                | ErrorKind::WrongLayout
                | ErrorKind::WrongVersion
                | ErrorKind::Damaged
                | ErrorKind::NotRecoverable
        )
    }

    /// Returns what is known from the kind alone.
    pub(super) fn advice(self, errno: Errno) -> &'static str {
        match self {
            ErrorKind::LimitReached => {
                "the ring has 64 senders already; a role is free when one of them releases it or ends"
            }
            ErrorKind::OutOfMemory => "there is not enough memory or address space left",
            ErrorKind::ReadOnly => {
                "this process may only read the segment: it has attached it read-only, or the segment's mode allows no more"
            }
            ErrorKind::Foreign => {
                "the segment's bytes are neither 0 nor an object: other programs use them; take another name"
            }
            ErrorKind::WrongKind => "the segment holds an object of another kind",
            ErrorKind::WrongLayout => "the object has another size or layout than was asked for",
            ErrorKind::WrongVersion => "another version of this library created the object",
            ErrorKind::WrongMachine => {
                "a program with another byte order or pointer width created the object"
            }
            ErrorKind::KeyCollision => "another name makes the same key; take another name",
            ErrorKind::Truncated => "the segment is too small to hold an object of this library",
            ErrorKind::Damaged => {
                "its contents are malformed: another program has overwritten them; create the object again in a new segment"
            }
            ErrorKind::TimedOut => "it did not happen before the timeout",
            ErrorKind::WouldBlock => "it would have to wait, and the timeout is 0",
            ErrorKind::Interrupted => "a signal handler has run; the call can be repeated",
            ErrorKind::Cancelled => "this process has cancelled the wait",
            ErrorKind::Busy => "another process has this role",
            ErrorKind::Closed => {
                "the other side has released its role; try again when another process has taken it"
            }
            ErrorKind::PeerDied => {
                "the process on the other side died; nothing that was committed is lost; try again when another process \
                 has taken its role"
            }
            ErrorKind::TooLong => "the message is longer than the ring or the buffer",
            ErrorKind::Overtaken => {
                "the writer was faster than this reader; what was read may be a mixture of several values"
            }
            ErrorKind::NotOwner => {
                "the calling thread does not hold it: it was released or taken over, or another thread holds it"
            }
            ErrorKind::Deadlock => "this thread has the lock already, and would wait for itself",
            ErrorKind::NotRecoverable => {
                "an owner died with the lock, and the next one unlocked it without marking the value as consistent; \
                 create the object again in a new segment"
            }
            ErrorKind::Overflow => "the count would exceed 2147483647",
            ErrorKind::OutOfRange => "the range does not lie inside the object",
            ErrorKind::InvalidArgument => "an argument is not valid",
            _ => match errno.0 {
                libc::EMFILE | libc::ENFILE => "too many open files",
                _ => "see the manual page of this call",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs};

    fn errnos(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let is_errno = |word: &str| {
            word.strip_prefix('E').is_some_and(|rest| {
                rest.len() > 1
                    && rest
                        .bytes()
                        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            })
        };
        words.filter(|word| is_errno(word)).collect()
    }

    /// Each error number that an object's function returns has a name, which texts show, and is documented in the
    /// header.
    #[test]
    fn each_errno_of_an_object_is_named_and_documented() {
        let header = fs::read_to_string("include/shmkey.h").unwrap();
        let documented = errnos(&header);
        for &kind in ErrorKind::OF_OBJECTS {
            let errno = Errno(kind.errno_of_object());
            let name = errno
                .name()
                .unwrap_or_else(|| panic!("{kind:?} has no name"));
            assert!(
                documented.contains(name),
                "{name} of {kind:?} is not in the header"
            );
        }
    }

    /// Each error number that is documented has a name.
    #[test]
    fn each_errno_of_the_documents_has_a_name() {
        let named: BTreeSet<&str> = (1..134).filter_map(|number| Errno(number).name()).collect();
        // The manual pages are made from these.
        for file in fs::read_dir("include").unwrap() {
            let file = file.unwrap().path();
            let text = fs::read_to_string(&file).unwrap();
            for errno in errnos(&text) {
                assert!(named.contains(errno), "{}: {errno}", file.display());
            }
        }
    }

    /// The kinds of errors are in one table of the guide.
    #[test]
    fn the_guide_has_each_kind_with_its_errnos() {
        let guide = fs::read_to_string("docs/rust.md").unwrap();
        let source = fs::read_to_string("src/error/kind.rs").unwrap();
        let kinds = source.split_once("pub enum ErrorKind {").unwrap().1;
        let kinds = kinds.split_once("\n}").unwrap().0;
        let mut documented = "";
        for line in kinds.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("/// ") {
                documented = text;
            } else if let Some(kind) = line.strip_suffix(',') {
                let row = guide
                    .lines()
                    .find(|line| line.starts_with(&format!("| `{kind}` |")));
                let row = row.unwrap_or_else(|| panic!("{kind} is not in docs/rust.md"));
                let errnos = errnos(documented.split(':').next().unwrap());
                assert!(errnos.iter().all(|errno| row.contains(errno)), "{row}");
            }
        }
    }

    /// A descriptor that cannot be made: the object, the name of the errno, and what to do.
    #[test]
    fn the_text_of_a_refused_descriptor_names_the_object_and_the_remedy() {
        let failure = crate::error::Failure::from_words([
            u64::from(u32::from_ne_bytes([
                ErrorKind::OutOfMemory as u8,
                crate::kind::Kind::Ring as u8,
                crate::error::Action::Descriptor as u8,
                0,
            ])),
            7,
            0,
            0,
        ]);
        for (errno, remedy) in [
            (libc::EMFILE, "ulimit -n"),
            (libc::ENFILE, "file-max"),
            (libc::EAFNOSUPPORT, "RestrictAddressFamilies="),
            (libc::EPERM, "seccomp"),
            (libc::ENOBUFS, "no memory"),
        ] {
            let errno = Errno(errno);
            let error = crate::Error::object(failure.unwrap()).no_descriptor(errno);
            let text = error.to_string();
            let begin = format!("ring (id 7): make a descriptor: {errno}: ");
            assert!(text.starts_with(&begin) && text.contains(remedy), "{text}");
            assert_eq!(error.errno(), errno.0);
        }
    }
}
