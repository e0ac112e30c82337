//! The text of an error: `shmget(key 0x4102002f, 4096 bytes): EINVAL: the cause; the remedy`.

use super::{
    Error, Repr, What,
    details::{Details, Reason, Subject, Wanted},
    facts::write_timeout,
    language,
};
use crate::{
    explain::{Bytes, ModeDoubt, Names, Ownership, User},
    sys::Errno,
};
use core::{
    ffi::c_int,
    fmt::{self, Display as _},
};

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(language::of_rust(), f)
    }
}

impl Error {
    /// Returns the text with these names.
    pub(crate) fn into_text(self, names: &'static Names) -> impl fmt::Display {
        Text(self, names)
    }

    fn write(&self, names: &'static Names, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Object(failure) => write!(f, "{}: {}: ", failure.subject(), failure.action)?,
            Repr::Call(details) => details.write_call(f)?,
            Repr::Bare { call, .. } => write!(f, "{call}: ")?,
        }
        write!(f, "{}: ", Errno(self.errno()))?;
        Explanation(self, names).fmt(f)
    }
}

struct Text(Error, &'static Names);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(self.1, f)
    }
}

impl Details {
    fn write_call(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Subject::Object(failure) = &self.subject {
            return write!(f, "{}: {}: ", failure.subject(), failure.action);
        }
        match &self.opening {
            Some(Wanted { kind, name }) if name.is_empty() => write!(f, "{}: ", kind.name())?,
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

/// The cause and the remedy.
pub(super) struct Explanation<'a>(pub &'a Error, pub &'static Names);

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
            Some(ownership) => write!(f, "; {}", ownership.text(self.1)),
            None => Ok(()),
        }
    }
}

impl Explanation<'_> {
    fn write_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.1;
        let details = match &self.0.0 {
            Repr::Object(failure) => return failure.explanation(names).fmt(f),
            Repr::Call(details) => details,
            Repr::Bare { kind, errno, .. } => return f.write_str(kind.advice(*errno)),
        };
        match &details.reason {
            Reason::Found(cause) => cause.text(names).fmt(f),
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
            Reason::Timeout(timeout) => write_timeout(f, *timeout),
            Reason::Capacity { kind, most } => write!(
                f,
                "the capacity of a {} is 64 to {most} bytes, or 0 for one that exists",
                kind.name()
            ),
            Reason::TooLarge(size) => {
                write!(f, "a size of {size} bytes is too large for a segment")
            }
            Reason::Element { index, why } => write!(f, "element {index} of the objects {why}"),
            Reason::Objects(count) => write!(
                f,
                "one call waits for 1 to 128 objects, and not for {count}"
            ),
            Reason::FirstCount(count) => write!(
                f,
                "the first count {count} is larger than the largest, 2147483647"
            ),
            Reason::Mode(mode) => write_mode_of_object(f, *mode, names),
            Reason::NoAccess(mode) => write_mode_of_segment(f, *mode, names),
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
            named => write_named(f, named, names),
        }
    }
}

/// Writes a sentence in which something has a name.
fn write_named(f: &mut fmt::Formatter<'_>, reason: &Reason, names: &Names) -> fmt::Result {
    let Names {
        create,
        read_only,
        largest_mode,
        id_0,
        ..
    } = names;
    match reason {
        Reason::NotCreated => write!(
            f,
            "no object is there, and no process has begun to create one; start the program that \
             creates it first, or ask to create it ({create})"
        ),
        Reason::NotCreatedReadOnly => write!(
            f,
            "there is no such object, and a process that opens one for reading only does not \
             create it; start the program that publishes first, or open it without {read_only}"
        ),
        Reason::NeverReadOnly => write!(
            f,
            "every process that uses an object of this kind writes it, also one that only reads, \
             waits or receives; open it without {read_only}"
        ),
        Reason::OwnerIsAnother => write!(
            f,
            "this process runs as another user than the owner that is expected, and what it \
             creates would be its own; open the object without {create}"
        ),
        Reason::ModeTooLarge(mode) => write!(
            f,
            "the decimal number {mode} is {mode:o} in octal; a mode is an octal number of nine bits, 0 to {largest_mode}"
        ),
        _ => write!(f, "there is no segment with the id 0{id_0}"),
    }
}

/// Writes why no object has this mode.
fn write_mode_of_object(
    f: &mut fmt::Formatter<'_>,
    mode: u32,
    names: &'static Names,
) -> fmt::Result {
    f.write_str("a process that creates an object reads and writes it: a mode of 0600 at least")?;
    match ModeDoubt::of(mode) {
        Some(doubt) => write!(f, "; {}", doubt.text(names)),
        None => Ok(()),
    }
}

/// Writes why no new segment has this mode.
fn write_mode_of_segment(
    f: &mut fmt::Formatter<'_>,
    mode: u32,
    names: &'static Names,
) -> fmt::Result {
    write!(
        f,
        "the mode {mode:04o} lets the owner of the new segment neither read nor write it; give it a mode such as \
         0600, as in {}",
        names.usual_mode
    )?;
    match ModeDoubt::of(mode) {
        Some(doubt) if mode != 0 => write!(f, "; {}", doubt.text(names)),
        _ => Ok(()),
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
        "the flags 0{flags:o} have no meaning here; those of a segment are in shmget(2) and shmat(2), and those of an \
         object in the manual page of this function"
    )
}
