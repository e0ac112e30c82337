//! The one error type: the failed call, its error number, the cause, and a remedy.
//!
//! | file | what |
//! |---|---|
//! | `kind` | the kinds of errors: their errnos, and what each means if nothing more is known |
//! | `details` | what is known of a failed call |
//! | `calls`, `refusals` | how the other modules make an error of a failed call, and of an argument |
//! | `failure`, `action`, `what` | an error about an object, as numbers |
//! | `objects` | how the other modules make one |
//! | `text`, `facts`, `holder` | the texts: of an error, of one about an object, of a process or thread |
//! | `language` | which names of calls and flags the texts use: those of C, of Rust or of another language |
//! | `label` | the names of objects |
//! | `mismatch` | how a segment differs from the object that is wanted |

mod action;
mod calls;
mod details;
mod facts;
mod failure;
mod holder;
mod kind;
mod label;
pub mod language;
mod mismatch;
mod objects;
mod refusals;
#[cfg(test)]
mod removal;
mod text;
mod what;

pub(crate) use action::Action;
pub(crate) use failure::{Failure, fold};
pub use kind::ErrorKind;
pub(crate) use label::Label;
pub(crate) use mismatch::{Mismatch, Shape};
pub(crate) use what::What;

use crate::sys::{Errno, Mapped};
use core::{ffi::c_int, fmt};
use details::{Details, Reason, Subject};

/// Why an operation failed.
///
/// Its text is one or two sentences: the call and its subject, the name of the errno, the cause, if it is known, and a
/// remedy. An error about an object names its kind, its name and its segment, and the process that has the lock or the
/// role.
///
/// An error about an object in use, such as a would-block or a timeout, is made without an allocation or a system call:
/// it is a few numbers, 32 bytes, and its text is formatted when it is displayed. The text shows the state of another
/// process (running, sleeping, stopped, dead) at that time. If the object was closed after the failure, the text still
/// names it, until 64 more objects have been closed.
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
        text::Explanation(self, language::of_rust())
    }

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
}

impl core::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> std::io::Error {
        std::io::Error::new(
            std::io::Error::from_raw_os_error(error.errno()).kind(),
            error,
        )
    }
}
