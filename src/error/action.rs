//! What a call on an object was to do.

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
    pub const ALL: [(Action, &str); 26] = [
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
    pub fn receives(self) -> bool {
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
