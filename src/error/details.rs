//! What is known of a failed call, from which its text is made.

use super::{ErrorKind, Failure, Mismatch};
use crate::{
    explain::{Cause, ShownPath},
    kind::Kind,
    sys::Errno,
};
use core::{ffi::c_int, fmt};

/// What is known of a failed call.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub kind: ErrorKind,
    pub errno: Errno,
    pub call: &'static str,
    /// The object that was to be opened.
    pub opening: Option<Wanted>,
    pub subject: Subject,
    pub reason: Reason,
}

impl Details {
    /// Returns the id of the segment that it is about, if it has one.
    pub fn segment(&self) -> Option<c_int> {
        match &self.subject {
            Subject::Id(id) => Some(*id),
            Subject::Object(failure) => Some(failure.id),
            _ => None,
        }
    }
}

/// An object that could not be opened: its kind and its name (empty if it has none).
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub kind: Kind,
    pub name: KeptPath,
}

/// What a call was about.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant)] // in a page of its own there is room
pub(super) enum Subject {
    None,
    Path(KeptPath),
    Key { key: c_int, size: usize },
    Id(c_int),
    Address(usize),
    Object(Failure),
}

/// As much of a path as [`ShownPath`] shows, its beginning and its end, without an allocation.
#[derive(Clone)]
pub(super) struct KeptPath {
    bytes: [u8; KeptPath::SIZE],
    len: usize,
}

impl KeptPath {
    /// The beginning and the end that are shown are 60 characters each, of 4 bytes at most.
    const SIZE: usize = 512;

    pub fn new(path: &[u8]) -> KeptPath {
        let mut bytes = [0; KeptPath::SIZE];
        let len = path.len().min(KeptPath::SIZE);
        let (begin, end) = bytes[..len].split_at_mut(len / 2);
        begin.copy_from_slice(&path[..begin.len()]);
        end.copy_from_slice(&path[path.len() - end.len()..]);
        KeptPath { bytes, len }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn shown(&self) -> ShownPath<'_> {
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
pub(super) enum Reason {
    /// Nothing beyond the kind.
    Kind,
    /// What was looked up in the system.
    Found(Cause),
    /// An explanation that needs no facts.
    Because(&'static str),
    /// No object is there, and none is being created.
    NotCreated,
    /// There is no such object, and this process was to open it for reading only.
    NotCreatedReadOnly,
    /// Every process writes an object of this kind.
    NeverReadOnly,
    /// Another user was to own what this process creates.
    OwnerIsAnother,
    /// A mode has more than the permission bits.
    ModeTooLarge(u32),
    /// No segment has the id 0.
    IdZero,
    ProjectId(c_int),
    Flags(c_int),
    Range {
        offset: usize,
        len: usize,
        size: usize,
        of: &'static str,
    },
    FirstCount(u32),
    /// How many objects a call was to wait for.
    Objects(usize),
    Timeout(i64),
    Capacity {
        kind: Kind,
        most: usize,
    },
    /// A size in bytes.
    TooLarge(usize),
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
