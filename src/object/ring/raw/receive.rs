//! The receiving end.

use super::{Piece, PieceBuffer, RawRing, Watch};
use crate::{
    Error, ErrorKind,
    error::{Action, What},
    memory::Shared,
    object::{interrupt, readiness::Readiness, role::Role},
    sync::{
        Buffer, Claim, Deadline, Inquiry, Interrupt,
        ring::{self, Consumer, Found, Peers, RingError},
    },
    sys,
};
use core::{fmt, sync::atomic::Ordering::Relaxed};
use std::os::fd::BorrowedFd;

/// What the receiving end has in this process's own memory.
pub(crate) struct ReceiveEnd {
    head: Consumer,
    role: Role,
    /// For a peeked message that wraps at the end of the ring.
    buffer: PieceBuffer,
    watch: Watch,
    interrupt: Shared<Interrupt>,
    /// Whether it continues to wait when all senders have released their roles or died.
    keep_waiting: bool,
    readiness: Readiness,
}

impl ReceiveEnd {
    /// Returns whether this process has the role: false in a child of the process that has it.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.role.is_ours()
    }

    /// Returns what ends the waits of this end.
    pub fn interrupt(&self) -> &Shared<Interrupt> {
        &self.interrupt
    }

    /// Sets whether it continues to wait when all senders have released their roles or died.
    pub fn set_keep_waiting(&mut self, on: bool) {
        self.keep_waiting = on;
    }

    /// Returns where the next message is, or will be.
    pub fn position(&self) -> u64 {
        self.head.position()
    }

    /// Returns the processor that the sender last ran on, if it is known.
    pub fn sender(&self) -> Option<u32> {
        self.head.sender()
    }
}

impl RawRing {
    /// Takes the role of the receiver. `interrupt` ends its waits; `None` makes one.
    pub fn receiver(&self, interrupt: Option<&Shared<Interrupt>>) -> Result<ReceiveEnd, Error> {
        let parties = &self.words().parties;
        let role = Role::take(&self.object, &parties.receiver).map_err(|error| {
            let error = error.during(Action::BecomeReceiver);
            match error.kind() {
                ErrorKind::Busy => error.with(What::Role, 0, self.word_of(Action::Receive)),
                _ => error,
            }
        })?;
        let interrupt =
            interrupt::of_end(interrupt).inspect_err(|_| role.release(&parties.receiver))?;
        // Relaxed: as for senders.
        parties.had_receiver.store(1, Relaxed);
        Ok(ReceiveEnd {
            head: Consumer::find(self.view()),
            role,
            buffer: PieceBuffer::default(),
            watch: Watch::default(),
            readiness: Readiness::new(&interrupt),
            interrupt,
            keep_waiting: false,
        })
    }

    /// Releases the role of the receiver.
    pub fn drop_receiver(&self, end: &mut ReceiveEnd) {
        if end.role.is_ours() {
            // Before the next receiver can come.
            end.head.free_all(self.view());
            if let Some(number) = end.readiness.number() {
                end.head.remove(self.view(), number);
            }
            end.role.release(&self.words().parties.receiver);
            end.head.wake_sender(self.view());
        }
    }

    /// Receives a message into a buffer, and returns its length.
    #[inline(always)]
    pub fn receive(
        &self,
        end: &mut ReceiveEnd,
        buffer: Buffer,
        deadline: &Deadline,
    ) -> Result<usize, Error> {
        match self.receive_at_once(end, buffer) {
            Found::Usual(len) => Ok(len),
            Found::Nothing => self.receive_soon(end, buffer, deadline),
            Found::Other => self.receive_other(end, buffer, deadline),
        }
    }

    /// Receives a message in the most frequent case alone: see [`Consumer::receive_usual`].
    #[inline(always)]
    pub fn receive_at_once(&self, end: &mut ReceiveEnd, buffer: Buffer) -> Found<usize> {
        if end.role.is_certainly_ours() {
            end.head.receive_usual(self.view(), buffer)
        } else {
            Found::Other
        }
    }

    /// Receives a message that is not the usual one, or that has not arrived yet.
    #[inline(never)]
    fn receive_other(
        &self,
        end: &mut ReceiveEnd,
        buffer: Buffer,
        deadline: &Deadline,
    ) -> Result<usize, Error> {
        match self.receive_short(end, buffer) {
            Some(len) => Ok(len),
            None => self.receive_soon(end, buffer, deadline),
        }
    }

    /// Receives a message that had not arrived when the caller looked for it.
    #[inline(always)]
    pub fn receive_soon(
        &self,
        end: &mut ReceiveEnd,
        buffer: Buffer,
        deadline: &Deadline,
    ) -> Result<usize, Error> {
        if self.arrives_soon(end, deadline) {
            // The usual message is received here, without a call.
            if let Found::Usual(len) = end.head.receive_usual(self.view(), buffer) {
                return Ok(len);
            }
            if let Some(len) = self.receive_short(end, buffer) {
                return Ok(len);
            }
        }
        self.receive_otherwise(end, buffer, deadline)
    }

    /// Looks again a few times for a message, if the caller may wait. Returns whether there is one.
    #[inline(always)]
    fn arrives_soon(&self, end: &mut ReceiveEnd, deadline: &Deadline) -> bool {
        let may_wait = !matches!(deadline, Deadline::Now) && end.role.is_ours();
        may_wait && end.head.arrives_soon(self.view())
    }

    /// Receives a message if it is there, is short, does not wrap, and fits into the buffer. Returns its length.
    #[inline(never)]
    pub fn receive_short(&self, end: &mut ReceiveEnd, buffer: Buffer) -> Option<usize> {
        if end.role.is_ours() {
            end.head.receive_short(self.view(), buffer)
        } else {
            None
        }
    }

    /// Returns the number of a sender, if there is one and the last liveness check is recent.
    #[inline]
    fn word_of_trusted_sender(&self, watch: &Watch) -> Option<u64> {
        let sender = self.senders().iter().find_map(Claim::holder)?;
        watch.checked.is_recent().then_some(sender)
    }

    #[inline]
    fn no_message(&self, len: usize, sender: u64) -> Error {
        self.object
            .error(ErrorKind::WouldBlock)
            .during(Action::Receive)
            .with(What::NoMessage, len as u64, sender)
    }

    #[cold]
    #[inline(never)]
    fn receive_otherwise(
        &self,
        end: &mut ReceiveEnd,
        buffer: Buffer,
        deadline: &Deadline,
    ) -> Result<usize, Error> {
        self.expect_ours(&end.role, Action::Receive)?;
        let size = buffer.len();
        // The usual try without a message: the last liveness check of the senders is recent.
        if matches!(deadline, Deadline::Now)
            && end.head.finds_nothing(self.view())
            && !end.readiness.is_used()
            && let Some(sender) = self.word_of_trusted_sender(&end.watch)
        {
            return Err(self.no_message(size, sender));
        }
        self.look_at_head(
            end,
            *deadline,
            (Action::Receive, size),
            |head, time, peers| head.receive(self.view(), buffer, time, peers),
        )
    }

    /// Returns what `look` finds at the head; if it would block and the descriptor is in use, enters that and looks
    /// again. `len`: the size of the buffer, for an error.
    fn look_at_head<T>(
        &self,
        end: &mut ReceiveEnd,
        deadline: Deadline,
        (action, len): (Action, usize),
        look: impl Fn(&mut Consumer, Deadline, &dyn Fn(Inquiry) -> Peers) -> Result<T, RingError>,
    ) -> Result<T, Error> {
        let ReceiveEnd {
            head,
            watch,
            readiness,
            interrupt,
            keep_waiting,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let look = |head: &mut Consumer| {
            let peers = |asked| self.expected_of_senders(watch, *keep_waiting, asked);
            let found = look(head, deadline, &peers);
            found.map_err(|refused| self.explain(refused, deadline, action, len, watch))
        };
        let found = look(head);
        readiness.unless_blocked(found, |number| {
            head.enter(self.view(), number);
            look(head)
        })
    }

    /// Fails in a child of the process that has the role.
    pub fn expect_receiver(&self, end: &ReceiveEnd) -> Result<(), Error> {
        self.expect_ours(&end.role, Action::Receive)
    }

    /// Returns whether a try to receive would not block: there is a message, or news of the senders, or an error.
    pub fn is_ready(&self, end: &mut ReceiveEnd) -> bool {
        !matches!(self.find(end), Err(RingError::TimedOut))
    }

    /// Returns whether there is no message, and the senders are gone.
    pub fn is_deserted(&self, end: &mut ReceiveEnd) -> bool {
        matches!(self.find(end), Err(RingError::Closed | RingError::PeerDied))
    }

    /// Returns the next message, if there is one now.
    fn find(&self, end: &mut ReceiveEnd) -> Result<ring::Span, RingError> {
        let peers = |asked| self.expected_of_senders(&end.watch, end.keep_waiting, asked);
        end.head.peek(self.view(), Deadline::Now, peers)
    }

    /// Announces a sleep. Returns the word on which to sleep until a message comes or the senders release their roles,
    /// and the position of the next message.
    pub fn announce_sleep(&self, end: &mut ReceiveEnd) -> (sys::waitv::Word, u64) {
        let word = end.head.announce_sleep(self.view());
        (word, end.head.position())
    }

    /// Makes the descriptor unreadable, unless a try would not block. Returns whether that is so.
    pub fn rearm(&self, end: &mut ReceiveEnd) -> bool {
        let ReceiveEnd {
            head,
            watch,
            readiness,
            keep_waiting,
            ..
        } = end;
        let view = self.view();
        readiness.rearm(|number| {
            head.enter(view, number);
            let peers = |asked| self.expected_of_senders(watch, *keep_waiting, asked);
            let found = head.peek(view, Deadline::Now, peers);
            !matches!(found, Err(RingError::TimedOut))
        })
    }

    /// Returns the descriptor of a receiving end.
    pub fn descriptor<'a>(&self, end: &'a ReceiveEnd) -> Result<BorrowedFd<'a>, Error> {
        self.expect_receiver(end)?;
        end.readiness.descriptor(&self.object)
    }

    /// Returns what the receiver can expect of the senders, unless it waits for others.
    fn expected_of_senders(&self, watch: &Watch, keep_waiting: bool, inquiry: Inquiry) -> Peers {
        if keep_waiting {
            Peers::Expected
        } else {
            self.look_at_senders(watch, inquiry)
        }
    }

    /// Receives up to `count` messages, and passes the index and the length of each to `store`.
    pub fn receive_batch(
        &self,
        end: &mut ReceiveEnd,
        buffer: Buffer,
        count: usize,
        deadline: Deadline,
        mut store: impl FnMut(usize, usize),
    ) -> Result<usize, Error> {
        self.expect_ours(&end.role, Action::Receive)?;
        let mut rest = buffer;
        let mut received = 0;
        loop {
            let first = received;
            let mut used = 0;
            received +=
                end.head
                    .receive_short_batch(self.view(), rest, count - received, |at, len| {
                        store(first + at, len);
                        used += len;
                    });
            rest = rest.behind(used);
            let is_empty = || !end.readiness.is_used() && end.head.finds_nothing(self.view());
            if received == count || received > 0 && is_empty() {
                return Ok(received);
            }
            // Waits only for the first message.
            let deadline = if received == 0 {
                deadline
            } else {
                Deadline::Now
            };
            match self.receive(end, rest, &deadline) {
                Ok(len) => {
                    store(received, len);
                    received += 1;
                    rest = rest.behind(len);
                }
                // Usually, there are no more, or no more that fit.
                Err(error) => return interrupt::end_of_batch(received, error, &end.interrupt),
            }
        }
    }

    /// Waits for a message, and has its bytes in one piece: see `message`.
    #[inline(always)]
    pub fn peek(&self, end: &mut ReceiveEnd, deadline: &Deadline) -> Result<ring::Span, Error> {
        // The usual message is found here, without a call: it then stays in registers.
        let mut is_late = false;
        match self.peek_at_once(end) {
            Found::Usual(message) => return Ok(message),
            Found::Nothing => {
                is_late = !self.arrives_soon(end, deadline);
                if !is_late && let Found::Usual(message) = self.peek_at_once(end) {
                    return Ok(message);
                }
            }
            Found::Other => {}
        }
        self.peek_otherwise(end, deadline, is_late)
    }

    #[inline(always)]
    fn peek_at_once(&self, end: &ReceiveEnd) -> Found<ring::Span> {
        if end.role.is_certainly_ours() {
            end.head.find_usual(self.view())
        } else {
            Found::Other
        }
    }

    /// Waits for a message that `peek_at_once` has not found. `is_late`: whether `arrives_soon` has returned false.
    #[inline(never)]
    fn peek_otherwise(
        &self,
        end: &mut ReceiveEnd,
        deadline: &Deadline,
        is_late: bool,
    ) -> Result<ring::Span, Error> {
        let message = if is_late {
            self.wait_for_message(end, deadline)?
        } else {
            self.look_for_message(end, deadline)?
        };
        let view = self.view();
        if message.wraps(view) {
            if end.buffer.allocate(self.room).is_err() {
                let error = self.object.error(ErrorKind::OutOfMemory);
                return Err(error.during(Action::Peek));
            }
            view.area
                .read_wrapping(message.offset, end.buffer.buffer(message.len));
        }
        Ok(message)
    }

    /// Returns the bytes of a message that was peeked at; `None` if this end has not peeked at it.
    pub fn message<'a>(&'a self, end: &'a ReceiveEnd, message: &ring::Span) -> Option<Piece<'a>> {
        let view = self.view();
        if message.wraps(view) {
            return end.buffer.piece();
        }
        Some(Piece {
            area: view.area,
            start: message.offset,
        })
    }

    /// Waits for a message, and returns its place.
    pub fn look_for_message(
        &self,
        end: &mut ReceiveEnd,
        deadline: &Deadline,
    ) -> Result<ring::Span, Error> {
        self.expect_ours(&end.role, Action::Peek)?;
        let view = self.view();
        if let Some(message) = end.head.next(view) {
            return Ok(message);
        }
        if !matches!(deadline, Deadline::Now)
            && let Some(message) = end.head.next_soon(view)
        {
            return Ok(message);
        }
        self.wait_for_message(end, deadline)
    }

    fn wait_for_message(
        &self,
        end: &mut ReceiveEnd,
        deadline: &Deadline,
    ) -> Result<ring::Span, Error> {
        self.expect_ours(&end.role, Action::Peek)?;
        self.look_at_head(end, *deadline, (Action::Peek, 0), |head, time, peers| {
            head.peek(self.view(), time, peers)
        })
    }

    /// Releases a message that was peeked at.
    #[inline(always)]
    pub fn release(&self, end: &mut ReceiveEnd, message: ring::Span) -> Result<(), Error> {
        if end.role.is_certainly_ours() && end.head.release_usual(self.view(), message) {
            return Ok(());
        }
        self.release_otherwise(end, message)
    }

    #[inline(never)]
    fn release_otherwise(&self, end: &mut ReceiveEnd, message: ring::Span) -> Result<(), Error> {
        if !end.role.is_ours() || !end.head.is_first(self.view(), &message) {
            return Err(self.not_released(ErrorKind::NotOwner));
        }
        if end.head.release_unread(self.view(), message) {
            Ok(())
        } else {
            Err(self.not_released(ErrorKind::Overtaken))
        }
    }

    #[cold]
    fn not_released(&self, kind: ErrorKind) -> Error {
        self.object.error(kind).during(Action::Release)
    }
}

impl fmt::Debug for ReceiveEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveEnd").finish_non_exhaustive()
    }
}
