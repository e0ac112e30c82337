//! The text of an error about an object: the facts in its numbers, and what is looked up when it is displayed.

use super::{Action, ErrorKind, Failure, What, label::write_name};
use crate::{
    backend,
    explain::{self, Bytes, Names},
    holder::{Holder, Life},
    kind::Kind,
    sys,
};
use core::fmt;

impl Failure {
    /// Returns the kind and the name of the object.
    pub fn subject(&self) -> impl fmt::Display {
        Subject(*self)
    }

    pub fn explanation(&self, names: &'static Names) -> impl fmt::Display {
        Explanation(*self, names)
    }

    /// Returns `mutex "orders" (id 65538): lock: EDEADLK: …`, as errors are shown.
    pub fn text(&self, names: &'static Names) -> impl fmt::Display {
        super::Error::object(*self).into_text(names)
    }

    /// Returns the role that the call needs, and that of the other side.
    fn roles(&self) -> (&'static str, &'static str) {
        let (sends, receives) = match self.object {
            Kind::Ring => ("sender", "receiver"),
            _ => ("publisher", "subscriber"),
        };
        if self.action.receives() {
            (receives, sends)
        } else {
            (sends, receives)
        }
    }
}

struct Subject(Failure);

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = &self.0;
        write!(f, "{} ", failure.object.name())?;
        write_name(f, failure.label, format_args!("(id {})", failure.id))
    }
}

struct Explanation(Failure, &'static Names);

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation(failure, names) = self;
        facts(failure, names, f)?;
        circumstances(failure, f)
    }
}

/// Writes what was in the way.
fn facts(failure: &Failure, names: &'static Names, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let ErrorKind::Interrupted | ErrorKind::Cancelled = failure.kind {
        return kind_facts(failure, names, f);
    }
    match failure.what {
        What::Nothing => kind_facts(failure, names, f),
        What::Held | What::Sending | What::Creator | What::Readers | What::Next => {
            thread_facts(failure, names, f)
        }
        What::Role | What::Inherited | What::Peer => role_facts(failure, f),
        What::Newest | What::NoMessage | What::NoRoom => process_facts(failure, f),
        What::Null
        | What::NotSubscribed
        | What::Dropped
        | What::Buffer
        | What::Array
        | What::TooMany
        | What::Timeout
        | What::Reserved
        | What::OpenedReadOnly => argument_facts(failure, names, f),
        What::NotNotified => f.write_str("no thread has notified it"),
        _ => number_facts(failure, f),
    }
}

/// Writes what follows from the kind of the error.
fn kind_facts(failure: &Failure, names: &'static Names, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (failure.kind, failure.action) {
        (ErrorKind::ReadOnly, _) => match explain::read_only(failure.id, names) {
            Some(access) => write!(f, "{access}"),
            None => f.write_str(failure.kind.advice(sys::Errno(0))),
        },
        (ErrorKind::Overtaken, Action::Release) => f.write_str(
            "the sender has dropped the message while it was read; what was read may be a mixture \
             of several messages",
        ),
        (ErrorKind::Overtaken, Action::Subscribe) => f.write_str(
            "the publisher overwrites messages faster than this subscriber can begin with one; \
             try again",
        ),
        (ErrorKind::NotOwner, Action::Release) => f.write_str(
            "the message is not peeked any more, or another handle or this process's parent has \
             peeked at it; peek again",
        ),
        (ErrorKind::NotOwner, _) => f.write_str(
            "the slot is not reserved any more, or another thread, another handle or this \
             process's parent has reserved it; reserve and commit a slot in one thread",
        ),
        (kind, _) => f.write_str(kind.advice(sys::Errno(0))),
    }
}

/// Writes what is wrong with an argument or a handle.
fn argument_facts(failure: &Failure, names: &Names, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = failure.number;
    match failure.what {
        What::Buffer if number > isize::MAX as u64 => {
            write!(f, "the size of the buffer, {number}, exceeds PTRDIFF_MAX")
        }
        What::Buffer => write!(f, "the buffer is NULL, and its size is {number}"),
        What::Array => write!(f, "the array is NULL, and its count is {number}"),
        What::TooMany => write!(f, "{number} structures do not fit into memory"),
        What::Timeout => write_timeout(f, number as i64),
        What::Reserved => {
            f.write_str("a slot is reserved with this handle; commit or abort it first")
        }
        What::OpenedReadOnly
            if failure.object == Kind::Broadcast && failure.action == Action::Open =>
        {
            write!(
                f,
                "the broadcast is lossless, and a subscriber of such a broadcast writes in it how \
                 far it has come; open it without {}, or have the publisher create it with {}",
                names.read_only, names.lossy
            )
        }
        What::OpenedReadOnly => write!(
            f,
            "the object was opened for reading only; open it without {} to write",
            names.read_only
        ),
        What::NotSubscribed => f.write_str(
            "this handle is not subscribed in this process; \
             subscribe first, also in a child made by fork",
        ),
        What::Dropped => f.write_str(
            "the publisher has dropped this subscriber as a dead one, \
             and has overwritten messages that it had not received; \
             unsubscribe, and subscribe again",
        ),
        _ if failure.action.receives() => f.write_str("the pointer to a message is NULL"),
        _ => f.write_str("the pointer to a slot is NULL"),
    }
}

/// Writes what a timeout is in C, and that this number is not one.
pub(super) fn write_timeout(f: &mut fmt::Formatter<'_>, timeout: i64) -> fmt::Result {
    write!(
        f,
        "the timeout is {timeout}; a timeout is SHMKEY_FOREVER (-1), SHMKEY_NO_WAIT (0) or a number of \
         nanoseconds"
    )
}

/// Writes which thread holds a lock, or creates the object.
fn thread_facts(failure: &Failure, names: &Names, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let thread = failure.thread();
    match (failure.what, failure.other) {
        (What::Held, 0) if failure.kind == ErrorKind::NotOwner => {
            f.write_str("no thread holds the lock")
        }
        (What::Held, 0) => f.write_str("another thread held the lock, and has released it since"),
        // The last liveness check, a few milliseconds ago, found it live.
        (What::Held, _) if failure.kind != ErrorKind::NotOwner && thread.life() == Life::Dead => {
            write!(f, "the lock is held by {thread}; try again to recover it")
        }
        (What::Held, _) => write!(f, "the lock is held by {thread}"),
        (What::Readers, _) if failure.number < 2 => {
            write!(f, "the lock is held for reading by {thread}")
        }
        (What::Readers, _) => {
            let readers = failure.number;
            write!(
                f,
                "{readers} threads hold the lock for reading, among them {thread}"
            )
        }
        (What::Next, _) => write!(
            f,
            "{thread} is next, and waits for the readers to unlock it"
        ),
        (What::Sending, _) if failure.kind == ErrorKind::Deadlock => f.write_str(
            "this thread has a slot reserved with another handle; commit or abort it first",
        ),
        (What::Sending, 0) => f.write_str("another sender was sending, and has finished since"),
        (What::Sending, _) => write!(f, "{thread} is sending, or has a slot reserved"),
        (_, 0) => write!(
            f,
            "no process has begun to create it; start the program that does, or ask to create it \
             ({})",
            names.create
        ),
        _ => write!(f, "{thread} has begun to create it, and is not ready"),
    }
}

/// Writes which process has the requested role, or had the other one.
fn role_facts(failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let process = failure.process();
    let (role, peer) = failure.roles();
    match (failure.what, failure.other) {
        (What::Role, 0) => write!(
            f,
            "another process was the {role}, and has released that role since"
        ),
        (What::Role, holder) if Holder::from_bits(holder).is_mine() => write!(
            f,
            "another handle of this process is the {role} already; the role is free when that handle \
             releases it or is closed"
        ),
        (What::Role, _) => write!(
            f,
            "{process} is the {role} already; the role is free when that process releases it or ends"
        ),
        (What::Inherited, _) => write!(
            f,
            "this process was made by fork, and does not have its parent's role; {process} is the {role}"
        ),
        _ if failure.kind == ErrorKind::Closed => write!(
            f,
            "the {peer} has released its role; try again when another process has taken it"
        ),
        _ => write!(
            f,
            "{process}, the {peer}, died; nothing that was committed is lost; try again when another \
             process has taken its role"
        ),
    }
}

/// Writes what the call waited for, and which process could have provided it.
fn process_facts(failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = failure.number;
    match failure.what {
        What::Newest if number == 0 => f.write_str("no value was published yet")?,
        What::Newest => write!(f, "version {number} is the newest")?,
        What::NoMessage => f.write_str("there is no message")?,
        _ => write!(f, "there is no room for {}", Bytes(number as usize))?,
    }
    let process = failure.process();
    match (failure.what, failure.other) {
        (What::Newest, 0) => f.write_str(", and no process is the publisher"),
        (What::Newest, _) => write!(f, "; {process} is the publisher"),
        (What::NoMessage, 0) => write!(f, ", and no process is the {}", failure.roles().1),
        (What::NoMessage, _) if failure.object == Kind::Broadcast => {
            write!(f, "; {process} is the publisher")
        }
        (What::NoMessage, _) => write!(f, "; {process} is a sender"),
        (_, 0) if failure.object == Kind::Broadcast => {
            f.write_str(", and the slowest subscriber has unsubscribed since")
        }
        _ if failure.object == Kind::Broadcast => {
            write!(f, "; {process} is the slowest subscriber")
        }
        (_, 0) => f.write_str(", and no process is the receiver yet"),
        _ => write!(f, "; {process} is the receiver"),
    }
}

/// Writes lengths and counts.
fn number_facts(failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = failure.number;
    let (bytes, other) = (Bytes(number as usize), Bytes(failure.other as usize));
    match failure.what {
        What::Count if failure.kind == ErrorKind::Overflow => {
            write!(f, "its count is {number}, the largest")
        }
        What::Count => write!(f, "its count was {number}"),
        What::TooLong => write!(
            f,
            "the message has {bytes}, and the {}'s capacity is {other}; nothing was sent",
            failure.object.name()
        ),
        What::ShortBuffer => write!(
            f,
            "the message has {bytes}, and the buffer has {other}; the message stays the next one"
        ),
        What::ShortSlot => write!(
            f,
            "the message has {bytes}, and the slot has {other}; the slot stays reserved"
        ),
        What::Size => write!(
            f,
            "the segment has {bytes}, and an object needs at least 1024; take another name, or a larger segment"
        ),
        What::Subscribers => write!(
            f,
            "{number} handles are subscribed already; one more can subscribe when one of them unsubscribes or its process \
             ends, or to a lossy broadcast that it opens for reading only"
        ),
        _ => write!(
            f,
            "the bytes at offset {number} are neither 0 nor an object of this library; pass the offset of \
             the object, or one where another can be created"
        ),
    }
}

/// Writes that the object was removed while it is in use, which is looked up now.
fn circumstances(failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_about_others = matches!(
        failure.kind,
        ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::Busy
            | ErrorKind::LimitReached
            | ErrorKind::Closed
            | ErrorKind::PeerDied
    );
    if is_about_others && backend::is_removed(failure.id) == Ok(true) {
        f.write_str(
            "; its segment has been removed, so only the processes that have it open already can \
             change that; a process that opens it afterwards gets another object",
        )?;
    }
    Ok(())
}
