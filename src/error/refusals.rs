//! Arguments that the library refuses: each function returns the error that its name says.

use super::{
    Error, ErrorKind,
    details::{Reason, Subject},
};
use crate::kind::Kind;
use core::ffi::c_int;

impl Error {
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

    pub(crate) fn project_id_zero(proj_id: c_int) -> Error {
        Error::new(ErrorKind::ProjectIdZero, libc::EINVAL, "ftok")
            .because(Reason::ProjectId(proj_id))
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

    pub(crate) fn object_name_too_long() -> Error {
        Error::invalid("open", "the name of an object has at most 256 bytes")
    }

    pub(crate) fn layout_too_long() -> Error {
        Error::invalid(
            "open",
            "the name of an object's layout has at most 128 bytes",
        )
    }

    /// Refuses the capacity of a ring or a broadcast; `most`: the largest.
    pub(crate) fn capacity(kind: Kind, most: usize) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, "open")
            .because(Reason::Capacity { kind, most })
    }

    /// Refuses a size for which the size of the segment would overflow.
    pub(crate) fn too_large(size: usize) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, "open").because(Reason::TooLarge(size))
    }

    pub(crate) fn first_count(count: u32) -> Error {
        Error::new(ErrorKind::Overflow, libc::EOVERFLOW, "open").because(Reason::FirstCount(count))
    }

    /// Refuses to wait for so many objects.
    pub(crate) fn number_of_objects(count: usize) -> Error {
        let call = "wait for several objects";
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call).because(Reason::Objects(count))
    }

    /// Refuses a timeout of C.
    pub(crate) fn timeout(call: &'static str, timeout: i64) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call).because(Reason::Timeout(timeout))
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

    /// Refuses a mode with more than the permission bits.
    pub(crate) fn mode_too_large(mode: u32) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, "mode")
            .because(Reason::ModeTooLarge(mode))
    }

    /// Refuses a mode with which the creator of an object could not use it.
    pub(crate) fn object_mode(mode: u32) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, "open").because(Reason::Mode(mode))
    }

    /// Refuses the mode of a new segment, which would keep its owner from it.
    pub(crate) fn no_access(call: &'static str, mode: u32) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call).because(Reason::NoAccess(mode))
    }

    /// Refuses an element of an array of objects.
    pub(crate) fn element(call: &'static str, index: usize, why: &'static str) -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, call)
            .because(Reason::Element { index, why })
    }

    pub(crate) fn read_only(id: c_int) -> Error {
        Error::new(ErrorKind::ReadOnly, libc::EACCES, "write").about(Subject::Id(id))
    }

    /// Refuses to open an object for reading only if every process that uses it writes it.
    pub(crate) fn asked_read_only() -> Error {
        Error::new(ErrorKind::ReadOnly, libc::EACCES, "open").because(Reason::NeverReadOnly)
    }

    /// Refuses to create an object that another user is expected to own.
    pub(crate) fn other_owner_wanted() -> Error {
        Error::new(ErrorKind::InvalidArgument, libc::EINVAL, "open").because(Reason::OwnerIsAnother)
    }
}
