//! The subscribing end.

use super::{RawBroadcast, fill, no_memory};
use crate::{
    Error, ErrorKind,
    error::{Action, What},
    memory::Shared,
    object::{checked::Checked, interrupt, readiness::Readiness, role::Role},
    sync::{
        Buffer, Deadline, Inquiry, Interrupt,
        broadcast::{BroadcastError, Peer, SUBSCRIBERS, Span, Subscriber},
    },
    sys,
};
use core::{fmt, sync::atomic::Ordering::Relaxed};
use std::os::fd::BorrowedFd;

/// What a subscriber keeps in this process's own memory.
pub(crate) struct SubscribeEnd {
    end: Subscriber,
    /// Its role, and its number as a member; `None` if this process cannot write the broadcast.
    role: Option<(Role, usize)>,
    /// A copy of a peeked message, if it cannot be read in place.
    copy: Vec<u8>,
    checked: Checked,
    interrupt: Shared<Interrupt>,
    /// Whether it continues to wait when the publisher has released its role or died.
    keep_waiting: bool,
    readiness: Readiness,
}

impl SubscribeEnd {
    /// Returns what ends the waits of this end.
    pub fn interrupt(&self) -> &Shared<Interrupt> {
        &self.interrupt
    }

    /// Sets whether it continues to wait when the publisher has released its role or died.
    pub fn set_keep_waiting(&mut self, on: bool) {
        self.keep_waiting = on;
    }

    /// Returns the position of the next message, which may not be published yet.
    pub fn position(&self) -> u64 {
        self.end.position()
    }

    /// Returns the processor that the publisher last ran on, if it is known.
    pub fn publisher(&self) -> Option<u32> {
        self.end.publisher()
    }
}

/// A peeked message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peeked {
    span: Span,
    is_copied: bool,
}

impl Peeked {
    pub fn len(&self) -> usize {
        self.span.len
    }
}

impl RawBroadcast {
    /// Subscribes. `interrupt` can end the waits of the subscriber; with `None`, it gets a new one.
    pub fn subscribe(
        &self,
        from_oldest: bool,
        interrupt: Option<&Shared<Interrupt>>,
    ) -> Result<SubscribeEnd, Error> {
        let interrupt = interrupt::of_end(interrupt)?;
        let (end, role) = if !self.is_lossy() {
            let (role, member) = self.take_claim()?;
            match self.join(Some(member), from_oldest) {
                Ok(end) => (end, Some((role, member))),
                Err(error) => {
                    role.release(&self.claims()[member]);
                    return Err(error);
                }
            }
        } else {
            // It joins before it takes a claim: a subscriber that is counted receives what is published from then on.
            let end = self.join(None, from_oldest)?;
            let is_writable = self.object.is_writable();
            (end, is_writable.then(|| self.take_claim()).transpose()?)
        };
        Ok(SubscribeEnd {
            end,
            role,
            copy: Vec::new(),
            checked: Checked::default(),
            readiness: Readiness::new(&interrupt),
            interrupt,
            keep_waiting: false,
        })
    }

    fn join(&self, member: Option<usize>, from_oldest: bool) -> Result<Subscriber, Error> {
        Subscriber::join(self.view(), member, from_oldest).map_err(|refused| {
            let kind = match refused {
                BroadcastError::TimedOut => ErrorKind::Overtaken,
                _ => ErrorKind::Damaged,
            };
            self.fail(kind, Action::Subscribe)
        })
    }

    fn take_claim(&self) -> Result<(Role, usize), Error> {
        for (member, claim) in self.claims().iter().enumerate() {
            match Role::take(&self.object, claim) {
                Ok(role) => return Ok((role, member)),
                Err(error) if error.kind() == ErrorKind::Busy => {}
                Err(error) => return Err(error.during(Action::Subscribe)),
            }
        }
        let error = self.fail(ErrorKind::LimitReached, Action::Subscribe);
        Err(error.with(What::Subscribers, SUBSCRIBERS as u64, 0))
    }

    /// Returns whether this process has subscribed, and no other process has taken its claim over.
    #[inline(always)]
    pub fn is_subscribed(&self, end: &SubscribeEnd) -> bool {
        match &end.role {
            Some((role, member)) => self
                .claims()
                .get(*member)
                .is_some_and(|claim| role.is_held(claim)),
            None => true,
        }
    }

    /// Unsubscribes.
    pub fn drop_subscriber(&self, end: &mut SubscribeEnd) {
        if let Some(number) = end.readiness.number() {
            end.end.remove(self.view(), number);
        }
        if self.is_subscribed(end)
            && let Some((role, member)) = end.role.take()
            && let Some(claim) = self.claims().get(member)
        {
            self.view().leave(member);
            role.release(claim);
        }
    }

    #[inline(always)]
    fn expect_subscribed(&self, end: &SubscribeEnd, action: Action) -> Result<(), Error> {
        if self.is_subscribed(end) {
            Ok(())
        } else {
            Err(self.not_subscribed(action))
        }
    }

    /// Returns the error for an end that is not, or no longer, subscribed.
    #[cold]
    pub fn not_subscribed(&self, action: Action) -> Error {
        let error = self.fail(ErrorKind::NotOwner, action);
        error.with(What::NotSubscribed, 0, 0)
    }

    /// Returns what a subscriber can expect of the publisher.
    fn look_at_publisher(&self, checked: &Checked, inquiry: Inquiry) -> Peer {
        let words = &self.words().publisher;
        match words.claim.holder() {
            // Relaxed: orders nothing.
            None if words.had.load(Relaxed) == 0 => Peer::Expected,
            None => Peer::Gone,
            Some(holder) => {
                let is_dead = |holder| self.is_dead(holder);
                if checked.answers(inquiry, || words.claim.died_in_role(holder, is_dead)) {
                    Peer::Died
                } else {
                    Peer::Expected
                }
            }
        }
    }

    /// Returns what a subscriber can expect of the publisher; a message, if it keeps waiting for the next publisher.
    fn expected_of_publisher(
        &self,
        checked: &Checked,
        keep_waiting: bool,
        inquiry: Inquiry,
    ) -> Peer {
        if keep_waiting {
            Peer::Expected
        } else {
            self.look_at_publisher(checked, inquiry)
        }
    }

    /// Receives a message into a buffer, and returns its length.
    #[inline(always)]
    pub fn receive(
        &self,
        end: &mut SubscribeEnd,
        buffer: Buffer,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        self.receive_into(end, |_| Some(buffer), buffer.len(), deadline)
    }

    /// Receives a message into the buffer that `buffer` returns for its length.
    #[inline(always)]
    fn receive_into<'b>(
        &self,
        end: &mut SubscribeEnd,
        mut buffer: impl FnMut(usize) -> Option<Buffer<'b>>,
        size: usize,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        let action = Action::Receive;
        self.expect_subscribed(end, action)?;
        let SubscribeEnd {
            end,
            checked,
            readiness,
            interrupt,
            keep_waiting,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let view = self.view();
        let mut receive = |end: &mut Subscriber| {
            let peer = |asked| self.expected_of_publisher(checked, *keep_waiting, asked);
            let received = end.receive(view, &mut buffer, deadline, peer);
            received.map_err(|refused| self.not_received(refused, deadline, action, size))
        };
        let received = receive(end);
        readiness.unless_blocked(received, |number| {
            end.enter(view, number);
            receive(end)
        })
    }

    /// Fails if the subscriber does not belong to this process.
    pub fn expect_subscriber(&self, end: &SubscribeEnd) -> Result<(), Error> {
        self.expect_subscribed(end, Action::Receive)
    }

    /// Returns whether a try to receive would return at once: with a message, or with an error other than would-block.
    pub fn is_ready(&self, end: &mut SubscribeEnd) -> bool {
        !matches!(self.find(end), Err(BroadcastError::TimedOut))
    }

    /// Returns whether there is no message, and the publisher is gone.
    pub fn is_deserted(&self, end: &mut SubscribeEnd) -> bool {
        matches!(
            self.find(end),
            Err(BroadcastError::Closed | BroadcastError::PeerDied)
        )
    }

    /// Returns the next message, if there is one now.
    fn find(&self, end: &mut SubscribeEnd) -> Result<Span, BroadcastError> {
        let peer = |asked| self.expected_of_publisher(&end.checked, end.keep_waiting, asked);
        end.end.peek(self.view(), Deadline::Now, peer)
    }

    /// Announces a sleep. Returns the word on which to sleep until a message comes or the publisher releases its role,
    /// and the position of the next message.
    pub fn announce_sleep(&self, end: &mut SubscribeEnd) -> (sys::waitv::Word, u64) {
        let word = end.end.announce_sleep(self.view());
        (word, end.end.position())
    }

    /// Makes the descriptor unreadable if a try to receive would block. Returns whether it would not block.
    pub fn rearm(&self, end: &mut SubscribeEnd) -> bool {
        let SubscribeEnd {
            end,
            checked,
            readiness,
            keep_waiting,
            ..
        } = end;
        let view = self.view();
        readiness.rearm(|number| {
            end.enter(view, number);
            let peer = |asked| self.expected_of_publisher(checked, *keep_waiting, asked);
            let found = end.peek(view, Deadline::Now, peer);
            !matches!(found, Err(BroadcastError::TimedOut))
        })
    }

    /// Returns the descriptor of a subscriber.
    pub fn descriptor<'a>(&self, end: &'a SubscribeEnd) -> Result<BorrowedFd<'a>, Error> {
        self.expect_subscriber(end)?;
        end.readiness.descriptor(&self.object)
    }

    /// Receives a message, which replaces a vector's contents, and returns its length. After an error, the vector is
    /// empty.
    pub fn receive_vec(
        &self,
        end: &mut SubscribeEnd,
        message: &mut Vec<u8>,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        message.clear();
        let mut full = false;
        let buffer = |len: usize| {
            full = message.try_reserve(len).is_err();
            let room = message.spare_capacity_mut();
            // SAFETY: only this call uses the room, before the vector changes again, and only writes it.
            (!full).then(|| unsafe { Buffer::new(room.as_mut_ptr().cast(), room.len()) })
        };
        let received = self.receive_into(end, buffer, 0, deadline);
        match received {
            Ok(len) => {
                // SAFETY: `len` bytes were copied there, because the whole message lies inside the area.
                unsafe { message.set_len(len) };
                Ok(len)
            }
            Err(_) if full => Err(no_memory()),
            Err(error) => Err(error),
        }
    }

    /// Receives up to `count` messages, and passes the index and the length of each to `store`.
    pub fn receive_batch(
        &self,
        end: &mut SubscribeEnd,
        buffer: Buffer,
        count: usize,
        deadline: Deadline,
        mut store: impl FnMut(usize, usize),
    ) -> Result<usize, Error> {
        let mut deadline = deadline;
        let mut rest = buffer;
        let mut received = 0;
        while received < count {
            match self.receive(end, rest, deadline) {
                Ok(len) => {
                    store(received, len);
                    received += 1;
                    rest = rest.behind(len);
                    deadline = Deadline::Now;
                }
                // Usually, there is no other message, or it does not fit.
                Err(error) => return interrupt::end_of_batch(received, error, &end.interrupt),
            }
        }
        Ok(received)
    }

    /// Waits for a message, and gives access to it: to a copy if the message can be overwritten or wraps around the end
    /// of the area, otherwise in place.
    pub fn peek(&self, end: &mut SubscribeEnd, deadline: Deadline) -> Result<Peeked, Error> {
        self.expect_subscribed(end, Action::Peek)?;
        let SubscribeEnd {
            end,
            copy,
            checked,
            readiness,
            interrupt,
            keep_waiting,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let peer = |asked| self.expected_of_publisher(checked, *keep_waiting, asked);
        let mut peek = |end: &mut Subscriber| self.peek_once(end, copy, deadline, peer);
        let peeked = peek(end);
        readiness.unless_blocked(peeked, |number| {
            end.enter(self.view(), number);
            peek(end)
        })
    }

    fn peek_once(
        &self,
        end: &mut Subscriber,
        copy: &mut Vec<u8>,
        deadline: Deadline,
        peer: impl Fn(Inquiry) -> Peer + Copy,
    ) -> Result<Peeked, Error> {
        let action = Action::Peek;
        let view = self.view();
        let refused = |refused| self.not_received(refused, deadline, action, 0);
        if !view.lossy {
            let span = end.peek(view, deadline, peer).map_err(refused)?;
            if !view.area.wraps(span.offset, span.len) {
                return Ok(Peeked {
                    span,
                    is_copied: false,
                });
            }
        }
        let mut full = false;
        let buffer = |len: usize| {
            full = fill(copy, len).is_err();
            // SAFETY: only this call uses the copy, before the vector changes again.
            (!full).then(|| unsafe { Buffer::new(copy.as_mut_ptr(), len) })
        };
        match end.copy(view, buffer, deadline, peer) {
            Ok(span) => Ok(Peeked {
                span,
                is_copied: true,
            }),
            Err(_) if full => Err(no_memory()),
            Err(error) => Err(refused(error)),
        }
    }

    /// Returns the address of the first byte of a peeked message.
    pub fn message_address(&self, end: &SubscribeEnd, message: &Peeked) -> *const u8 {
        if message.is_copied {
            end.copy.as_ptr()
        } else {
            self.view().area.address(message.span.offset)
        }
    }

    /// Copies bytes of a peeked message.
    pub fn read_message(
        &self,
        end: &SubscribeEnd,
        message: &Peeked,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let part = self.part(Action::Peek, offset, bytes.len(), message.len())?;
        if message.is_copied {
            if let Some(from) = end.copy.get(part) {
                bytes.copy_from_slice(from);
            }
        } else {
            let area = self.view().area;
            area.read(message.span.offset + offset, bytes.into());
        }
        Ok(())
    }

    /// Releases a peeked message.
    pub fn release(&self, end: &mut SubscribeEnd, message: Peeked) -> Result<(), Error> {
        let action = Action::Release;
        self.expect_subscribed(end, action)?;
        if !end.end.is_next(&message.span) {
            return Err(self.fail(ErrorKind::NotOwner, action));
        }
        let view = self.view();
        if !message.is_copied && !end.end.is_whole(view, &message.span) {
            return Err(self.not_received(BroadcastError::Dropped, Deadline::Now, action, 0));
        }
        end.end.release(view, message.span);
        Ok(())
    }

    /// Returns how many messages a subscriber has missed.
    pub fn missed(&self, end: &SubscribeEnd) -> u64 {
        end.end.missed()
    }

    #[cold]
    fn not_received(
        &self,
        refused: BroadcastError,
        deadline: Deadline,
        action: Action,
        size: usize,
    ) -> Error {
        let error = match refused {
            BroadcastError::TimedOut => {
                let error = self.object.late(deadline);
                error.with(What::NoMessage, 0, self.publisher_seen())
            }
            BroadcastError::Closed => {
                let error = self.object.gone(ErrorKind::Closed, deadline);
                error.with(What::Peer, 0, 0)
            }
            BroadcastError::PeerDied => {
                let error = self.object.gone(ErrorKind::PeerDied, deadline);
                error.with(What::Peer, 0, self.publisher_seen())
            }
            BroadcastError::TooLong(message) => {
                let error = self.object.error(ErrorKind::TooLong);
                error.with(What::ShortBuffer, message as u64, size as u64)
            }
            BroadcastError::Dropped => {
                let error = self.object.error(ErrorKind::Overtaken);
                error.with(What::Dropped, 0, 0)
            }
            BroadcastError::Slow(_) | BroadcastError::Damaged => {
                self.object.error(ErrorKind::Damaged)
            }
        };
        error.during(action)
    }
}

impl fmt::Debug for SubscribeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribeEnd").finish_non_exhaustive()
    }
}
