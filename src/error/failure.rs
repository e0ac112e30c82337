//! Errors about objects: a few numbers when they are made, formatted as a sentence on request.

use super::{ErrorKind, label::write_name};
use crate::{
    backend,
    explain::{self, Bytes},
    holder::{Holder, Life},
    kind::Kind,
    sys,
};
use core::fmt;

/// What the call was to do, for the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Action {
    Use,
    Open,
    Lock,
    Unlock,
    MarkConsistent,
    Wait,
    Post,
    BecomePublisher,
    Publish,
    Read,
    WaitNewer,
    BecomeSender,
    Send,
    Reserve,
    Write,
    BecomeReceiver,
    Receive,
    Peek,
    Release,
    Commit,
    Abort,
    EndSending,
    Subscribe,
    LockForReading,
    LockForWriting,
    Descriptor,
}

impl Action {
    const ALL: [(Action, &str); 26] = [
        (Action::Use, "use"),
        (Action::Open, "open"),
        (Action::Lock, "lock"),
        (Action::Unlock, "unlock"),
        (Action::MarkConsistent, "mark as consistent"),
        (Action::Wait, "wait"),
        (Action::Post, "post"),
        (Action::BecomePublisher, "become the publisher"),
        (Action::Publish, "publish"),
        (Action::Read, "read"),
        (Action::WaitNewer, "wait for a newer value"),
        (Action::BecomeSender, "become a sender"),
        (Action::Send, "send"),
        (Action::Reserve, "reserve"),
        (Action::Write, "write into a slot"),
        (Action::BecomeReceiver, "become the receiver"),
        (Action::Receive, "receive"),
        (Action::Peek, "receive in place"),
        (Action::Release, "release"),
        (Action::Commit, "commit"),
        (Action::Abort, "abort"),
        (Action::EndSending, "end sending"),
        (Action::Subscribe, "subscribe"),
        (Action::LockForReading, "lock for reading"),
        (Action::LockForWriting, "lock for writing"),
        (Action::Descriptor, "make a descriptor"),
    ];

    pub fn name(self) -> &'static str {
        Action::ALL[self as usize].1
    }

    /// Returns whether it is an action of the end that receives.
    fn receives(self) -> bool {
        matches!(
            self,
            Action::BecomeReceiver
                | Action::Subscribe
                | Action::Receive
                | Action::Peek
                | Action::Release
        )
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a failure's two numbers, `number` and `other`, mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// Nothing.
    Nothing,
    /// `other`: the thread that holds the lock.
    Held,
    /// The same of the lock of a ring's senders.
    Sending,
    /// `number`: a semaphore's count.
    Count,
    /// `number`: the version of the newest value; `other`: the publisher.
    Newest,
    /// `other`: a sender of a ring that has no message.
    NoMessage,
    /// `number`: the length of a message that there is no room for; `other`: the receiver.
    NoRoom,
    /// The lengths of a message and of the longest that the ring takes.
    TooLong,
    /// The lengths of a message and of the buffer.
    ShortBuffer,
    /// `other`: the process that has the role.
    Role,
    /// The same, of a role that this process does not have because `fork` has made it.
    Inherited,
    /// `other`: the process on the other side, which died.
    Peer,
    /// `other`: the thread that creates the object.
    Creator,
    /// `number`: the size of a segment that is too small.
    Size,
    /// Nothing: the pointer to a slot or a message is NULL.
    Null,
    /// Nothing: the handle has a slot reserved.
    Reserved,
    /// The lengths of a message and of the slot that was reserved for it.
    ShortSlot,
    /// `number`: how many subscribers there are.
    Subscribers,
    /// Nothing: the handle has no subscription.
    NotSubscribed,
    /// Nothing: the publisher no longer waits for this subscriber.
    Dropped,
    /// Nothing: the pointer to a buffer is NULL, or its size exceeds PTRDIFF_MAX.
    Buffer,
    /// `number`: the number of structures.
    TooMany,
    /// `number`: a timeout, an `i64`, that is none.
    Timeout,
    /// `number`: where the bytes lie that are neither 0 nor an object.
    Offset,
    /// Nothing: the handle was opened for reading only.
    OpenedReadOnly,
    /// `number`: how many threads hold the lock for reading; `other`: one of them.
    Readers,
    /// `other`: the thread that locks it for writing as soon as its readers have unlocked it.
    Next,
    /// Nothing: a condition variable was not notified.
    NotNotified,
}

impl What {
    const ALL: [What; 28] = [
        What::Nothing,
        What::Held,
        What::Sending,
        What::Count,
        What::Newest,
        What::NoMessage,
        What::NoRoom,
        What::TooLong,
        What::ShortBuffer,
        What::Role,
        What::Inherited,
        What::Peer,
        What::Creator,
        What::Size,
        What::Null,
        What::Reserved,
        What::ShortSlot,
        What::Subscribers,
        What::NotSubscribed,
        What::Dropped,
        What::Buffer,
        What::TooMany,
        What::Timeout,
        What::Offset,
        What::OpenedReadOnly,
        What::Readers,
        What::Next,
        What::NotNotified,
    ];
}

/// An operation on an object that has failed: all that its text is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failure {
    pub kind: ErrorKind,
    pub object: Kind,
    pub action: Action,
    pub what: What,
    /// The segment.
    pub id: i32,
    /// The number of the object's [`Label`](super::Label).
    pub label: u32,
    /// The namespaces of the object's holders, as a number that [`fold`] makes.
    pub namespaces: u32,
    pub number: u64,
    /// Often a holder's word, as it lay in the segment: any number.
    pub other: u64,
}

/// Makes a smaller number of that which `sys::namespaces` returns, or a header holds. 0 stands for
/// unknown namespaces.
pub(crate) fn fold(namespaces: u64) -> u32 {
    match namespaces {
        sys::NO_NAMESPACE => 0,
        _ => (namespaces ^ namespaces >> 32) as u32,
    }
}

impl Failure {
    /// Returns the kind and the name of the object.
    pub fn subject(&self) -> impl fmt::Display {
        Subject(*self)
    }

    pub fn explanation(&self) -> impl fmt::Display {
        Explanation(*self)
    }

    /// Returns the same in integers, for C; the first is never 0.
    #[inline]
    pub fn to_words(self) -> [u64; 4] {
        let tags = [
            self.kind as u8,
            self.object as u8,
            self.action as u8,
            self.what as u8,
        ];
        [
            u64::from(u32::from_ne_bytes(tags)) | u64::from(self.namespaces) << 32,
            u64::from(self.id as u32) | u64::from(self.label) << 32,
            self.number,
            self.other,
        ]
    }

    /// Returns the failure that such integers stand for; `None` if there is none.
    pub fn from_words([tags, names, number, other]: [u64; 4]) -> Option<Failure> {
        let [kind, object, action, what] = (tags as u32).to_ne_bytes();
        let mut kinds = ErrorKind::OF_OBJECTS.iter().copied();
        let mut objects = Kind::ALL.into_iter();
        Some(Failure {
            kind: kinds.find(|&known| known as u8 == kind)?,
            object: objects.find(|&known| known as u8 == object)?,
            action: Action::ALL.get(usize::from(action))?.0,
            what: *What::ALL.get(usize::from(what))?,
            id: names as u32 as i32,
            label: (names >> 32) as u32,
            namespaces: (tags >> 32) as u32,
            number,
            other,
        })
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

    fn thread(&self) -> Shown {
        Shown::new(self, false)
    }

    fn process(&self) -> Shown {
        Shown::new(self, true)
    }
}

/// `mutex "orders" (id 65538): lock: EDEADLK: …`, as errors are shown.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::Error::object(*self).fmt(f)
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

struct Explanation(Failure);

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = &self.0;
        facts(failure, f)?;
        circumstances(failure, f)
    }
}

/// Writes what was in the way.
fn facts(failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let ErrorKind::Interrupted | ErrorKind::Cancelled = failure.kind {
        return kind_facts(failure, f);
    }
    match failure.what {
        What::Nothing => kind_facts(failure, f),
        What::Held | What::Sending | What::Creator | What::Readers | What::Next => {
            thread_facts(failure, f)
        }
        What::Role | What::Inherited | What::Peer => role_facts(failure, f),
        What::Newest | What::NoMessage | What::NoRoom => process_facts(failure, f),
        What::Null
        | What::NotSubscribed
        | What::Dropped
        | What::Buffer
        | What::TooMany
        | What::Timeout
        | What::Reserved
        | What::OpenedReadOnly => argument_facts(failure, f),
        What::NotNotified => f.write_str("no thread has notified it"),
        _ => number_facts(failure, f),
    }
}

/// Writes what follows from the kind of the error.
fn kind_facts(failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match (failure.kind, failure.action) {
        (ErrorKind::ReadOnly, _) => match explain::read_only(failure.id) {
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
fn argument_facts(failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = failure.number;
    match failure.what {
        What::Buffer => f.write_str("the buffer is NULL, or its size exceeds PTRDIFF_MAX"),
        What::TooMany => write!(f, "{number} structures do not fit into memory"),
        What::Timeout => write_timeout(f, number as i64),
        What::Reserved => {
            f.write_str("a slot is reserved with this handle; commit or abort it first")
        }
        What::OpenedReadOnly
            if failure.object == Kind::Broadcast && failure.action == Action::Open =>
        {
            f.write_str(
                "the broadcast is lossless, and a subscriber of such a broadcast writes in it how \
                 far it has come; open it without SHMKEY_READ_ONLY (Place::read_only), or have \
                 the publisher create it with SHMKEY_LOSSY (BroadcastOptions::lossy)",
            )
        }
        What::OpenedReadOnly => f.write_str(
            "the object was opened for reading only; open it without SHMKEY_READ_ONLY \
             (Place::read_only) to write",
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
fn thread_facts(failure: &Failure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        (_, 0) => f.write_str(
            "no process has begun to create it; start the program that does, or ask to create it \
             (SHMKEY_CREATE, Place::create)",
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
        (What::NoMessage, 0) => write!(f, ", and no process is the {} yet", failure.roles().1),
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
            "the segment has {bytes}, and an object needs at least 1024"
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

/// A process or a thread that holds something: `process 10625 (stopped)`, with its state at the time of
/// display.
struct Shown {
    holder: Holder,
    /// Its id belongs to this process' PID namespace.
    known: bool,
    is_process: bool,
}

impl Shown {
    fn new(failure: &Failure, is_process: bool) -> Shown {
        Shown {
            holder: Holder::from_bits(failure.other),
            known: failure.namespaces != 0 && failure.namespaces == fold(sys::namespaces()),
            is_process,
        }
    }

    fn life(&self) -> Life {
        self.holder.life(|| self.known)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.holder.id();
        let what = if self.is_process { "process" } else { "thread" };
        if self.is_process && self.holder.is_mine() {
            return f.write_str("this process");
        }
        let life = self.life();
        if life != Life::Dead && !self.holder.has_id_here(|| self.known) {
            let why = match sys::namespaces() {
                sys::NO_NAMESPACE => "this process has no /proc of its PID namespace",
                _ => "its id is that of another PID namespace",
            };
            return write!(f, "{what} {id} (unknown: {why})");
        }
        let state = match life {
            Life::Dead if self.known => return write!(f, "{what} {id} (dead)"),
            // That id may have another user here.
            Life::Dead => {
                return write!(
                    f,
                    "{what} {id} (dead; its id may be that of another PID namespace)"
                );
            }
            Life::Alive | Life::Unknown => sys::thread_state(id as i32),
        };
        match state {
            None => write!(f, "{what} {id} (unknown)"),
            // The first thread of a process can end before the others.
            Some(state) if self.is_process && state.word == "dead" => {
                write!(f, "process {id} (running)")
            }
            Some(state) if state.process == sys::process_id() => {
                if self.is_process {
                    f.write_str("this process")
                } else {
                    write!(f, "thread {id} of this process ({})", state.word)
                }
            }
            Some(state) if self.is_process || state.process as u32 == id => {
                write!(f, "process {id} ({})", state.word)
            }
            Some(state) => {
                write!(
                    f,
                    "thread {id} of process {} ({})",
                    state.process, state.word
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Failure {
        Failure {
            kind: ErrorKind::WouldBlock,
            object: Kind::Mutex,
            action: Action::Lock,
            what: What::Held,
            id: -5,
            label: 0,
            namespaces: fold(sys::namespaces()),
            number: 0,
            other: Holder::thread(false).bits(),
        }
    }

    #[test]
    fn integers_and_back() {
        for (index, (action, _)) in Action::ALL.into_iter().enumerate() {
            assert_eq!(action as usize, index);
        }
        for (index, what) in What::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, index);
        }
        for &kind in ErrorKind::OF_OBJECTS {
            let failure = Failure {
                kind,
                number: 7,
                other: u64::MAX,
                ..failure()
            };
            let same = Failure::from_words(failure.to_words()).unwrap();
            assert_eq!(format!("{same:?}"), format!("{failure:?}"));
        }
    }

    /// Reserving and peeking in a ring may fail for want of memory.
    #[test]
    fn an_object_can_lack_memory() {
        let mut failure = failure();
        failure.kind = ErrorKind::OutOfMemory;
        assert_eq!(failure.kind.errno_of_object(), libc::ENOMEM);
        assert!(Failure::from_words(failure.to_words()).is_some());
    }

    /// A C program may hand over anything, and a segment may hold anything.
    #[test]
    fn any_integers_are_a_text_or_none() {
        assert!(Failure::from_words([u64::MAX; 4]).is_none());
        assert!(Failure::from_words([0; 4]).is_none());
        let mut texts = 0;
        for kind in 0..=255 {
            for what in 0..=255 {
                let tags = u64::from(u32::from_ne_bytes([kind, 4, 5, what]));
                let words = [
                    tags | failure().to_words()[0] & !0xffff_ffff,
                    1,
                    u64::MAX,
                    u64::MAX,
                ];
                if let Some(failure) = Failure::from_words(words) {
                    texts += 1;
                    assert!(
                        failure.to_string().contains("ring (id 1): wait: E"),
                        "{failure}"
                    );
                }
            }
        }
        assert_eq!(texts, ErrorKind::OF_OBJECTS.len() * What::ALL.len());
    }

    #[test]
    fn a_holder_is_named_with_its_state() {
        let mut failure = failure();
        let me = sys::process_id();
        assert!(
            failure
                .thread()
                .to_string()
                .ends_with("of this process (running)")
        );
        assert_eq!(failure.process().to_string(), "this process");
        failure.other = Holder::process(false).bits() + (1 << 30);
        assert_eq!(
            failure.process().to_string(),
            format!("process {me} (dead)")
        );
        // In an object that is shared with other namespaces.
        let shared = Failure {
            namespaces: 0,
            other: Holder::thread(false).bits(),
            ..failure
        };
        let text = shared.thread().to_string();
        assert!(text.ends_with("of this process (running)"), "{text}");
        // One of which only its id is known, and that in another namespace.
        failure.other |= 3 << 62;
        failure.namespaces += 1;
        assert!(
            failure
                .process()
                .to_string()
                .starts_with(&format!("process {me} (unknown"))
        );
    }
}
