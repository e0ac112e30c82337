//! What was in the way of a call on an object.

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
    /// `number`: the size of a buffer, to which the pointer is NULL, or which exceeds PTRDIFF_MAX.
    Buffer,
    /// `number`: the number of structures.
    TooMany,
    /// `number`: an `i64` that was passed as a timeout and is not one.
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
    /// `number`: the count that was given for an array, to which the pointer is NULL.
    Array,
}

impl What {
    pub const ALL: [What; 29] = [
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
        What::Array,
    ];
}
