//! What is behind the Rust types and the C functions of a ring: who has which part, who lives, and
//! when to wait.

use crate::{
    Error, ErrorKind, Place,
    error::{Action, What},
    object::holder::{Holder, Life},
    object::role::Role,
    object::trust::Trust,
    object::{Kind, Object, Snapshot, Spec},
    sync::{
        self, Acquired, Area, AtomicU32, Buffer, Claim, Deadline, Mutex, Source,
        ring::{self, Consumer, Peers, Producer, RingError, View},
    },
    sys,
};
use core::{cell::Cell, fmt, slice, sync::atomic::Ordering::Relaxed};

/// How many senders a ring for many can have at a time.
const SENDERS: usize = 64;
/// The bytes that they take, in front of the messages.
const CLAIMS: usize = SENDERS * size_of::<Claim>();

pub(crate) const MANY_SENDERS: u32 = 1;
pub(crate) const DROP_OLDEST: u32 = 2;

/// How long the other side is not looked at again, after it was seen alive: asking takes some
/// microseconds.
const TRUST: u64 = 4_000_000; // nanoseconds

/// What both ends have.
#[derive(Debug)]
pub(crate) struct RawRing {
    object: Object,
    /// The bytes that the frames have.
    room: usize,
    capacity: usize,
    options: u32,
    trust: Trust,
}

/// The object's own words.
#[repr(C)]
struct Words {
    parties: Parties,
    ring: ring::RingWords,
}

#[repr(C, align(64))]
struct Parties {
    /// For the senders of a ring that has many.
    lock: Mutex,
    receiver: Claim,
    /// Whether there ever was one.
    had_receiver: AtomicU32,
    had_sender: AtomicU32,
}

/// What the sending end has for itself.
pub(crate) struct SendEnd {
    tail: Producer,
    part: Role,
    /// Which of the claims it has.
    claim: usize,
    /// What was reserved, and neither committed nor given up.
    reserved: Option<Reserved>,
    watch: Watch,
}

/// A slot, from `reserve` to `commit`, `abort`, or the next use of its end.
struct Reserved {
    /// The thread that has reserved it, and so has the senders' lock of a ring for many.
    by: Holder,
    /// The bytes that it has.
    len: usize,
}

/// What a ring's words say, in a copy.
pub(crate) struct Seen {
    pub used: u64,
    pub dropped: u64,
    /// The processes that have a part.
    pub senders: Vec<Holder>,
    pub receiver: Option<Holder>,
    /// The thread that holds the lock of many senders.
    pub sending: Option<Holder>,
}

pub(crate) fn look(snapshot: &Snapshot) -> Seen {
    // SAFETY: the words are atomics, and cope with any bytes.
    let words: &Words = unsafe { snapshot.words() };
    let used = words.ring.used(false);
    Seen {
        used: used.min(capacity_of(snapshot.size()) + 32),
        dropped: words.ring.dropped(),
        senders: snapshot
            .payload()
            .take(SENDERS)
            .filter(|&bits| bits != 0)
            .map(Holder::from_bits)
            .collect(),
        receiver: words.parties.receiver.holder().map(Holder::from_bits),
        sending: words.parties.lock.look().0.map(Holder::from_bits),
    }
}

/// The capacity of a ring whose payload has so many bytes.
pub(crate) fn capacity_of(payload: u64) -> u64 {
    payload.saturating_sub(CLAIMS as u64 + 32)
}

fn capacity_of_room(room: usize) -> usize {
    let mut c = (room - 64) / 9 * 8 + 512;
    while ring::room_for(c).unwrap_or(usize::MAX) > room { c -= 8; }
    c
}

impl SendEnd {
    /// Whether this process has it, and is not a child of the one that has.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.part.is_ours()
    }
}

/// What the receiving end has for itself.
pub(crate) struct ReceiveEnd {
    head: Consumer,
    part: Role,
    watch: Watch,
}

impl ReceiveEnd {
    /// As for the sending end.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.part.is_ours()
    }
}

impl RawRing {
    pub fn open(mut place: Place, capacity: usize, options: u32) -> Result<RawRing, Error> {
        let as_it_is = capacity == 0;
        let room = ring::room_for(capacity).and_then(|room| room.checked_add(CLAIMS));
        let (Some(payload), true) = (room, as_it_is || capacity >= 64) else {
            return Err(Error::invalid(
                "open",
                "the capacity of a ring is 64 bytes to 32 TiB, or 0 for one that exists",
            ));
        };
        place.create &= !as_it_is;
        let spec = Spec {
            kind: Kind::Ring,
            size: if as_it_is { 0 } else { payload },
            any_size: as_it_is,
            layout: &place.layout,
            options: (!as_it_is).then_some(options),
        };
        // A ring of zeroes is an empty one.
        let object = Object::open(&place, &spec, |_| {}).map_err(|error| match as_it_is {
            true => error.no_ring(),
            false => error,
        })?;
        let (payload, options) = object.found()?;
        let room = payload.wrapping_sub(CLAIMS);
        if payload < CLAIMS + 64 || !room.is_multiple_of(64) {
            return Err(object.error(ErrorKind::Damaged).during(Action::Open));
        }
        sys::barrier::take_part();
        Ok(RawRing {
            object,
            room,
            capacity: capacity_of_room(room),
            options,
            trust: Trust::default(),
        })
    }

    pub fn object(&self) -> &Object {
        &self.object
    }

    fn words(&self) -> &Words {
        // SAFETY: the words are atomics, and cope with any bytes.
        unsafe { self.object.words() }
    }

    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        View {
            words: &self.words().ring,
            // SAFETY: `open` has seen that the segment has so many bytes behind the claims; it is
            // attached for writing as long as the object lives.
            area: unsafe { Area::new(self.object.payload().as_ptr().add(CLAIMS), self.room) },
            capacity: self.capacity,
            drops: self.options & DROP_OLDEST != 0,
        }
    }

    fn has_many_senders(&self) -> bool {
        self.options & MANY_SENDERS != 0
    }

    /// Who sends: one claim, or all of them.
    fn senders(&self) -> &[Claim] {
        let len = if self.has_many_senders() { SENDERS } else { 1 };
        // SAFETY: the payload begins with the claims, 64-byte aligned, which are atomics and cope
        // with any bytes.
        unsafe { slice::from_raw_parts(self.object.payload().as_ptr().cast(), len) }
    }

    /// Becomes a sender.
    pub fn sender(&self) -> Result<SendEnd, Error> {
        self.take_sender()
            .map_err(|error| error.during(Action::BecomeSender))
    }

    fn take_sender(&self) -> Result<SendEnd, Error> {
        let busy = match self.has_many_senders() {
            true => ErrorKind::LimitReached,
            false => ErrorKind::Busy,
        };
        let mut taken = self
            .senders()
            .iter()
            .enumerate()
            .map(|(claim, word)| (claim, Role::take(&self.object, word)));
        let (claim, part) = taken
            .find_map(|(claim, part)| match part {
                Ok(part) => Some(Ok((claim, part))),
                Err(error) if error.kind() == ErrorKind::Busy => None,
                Err(error) => Some(Err(error)),
            })
            .unwrap_or_else(|| {
                let error = self.object.error(busy);
                Err(match busy {
                    ErrorKind::Busy => error.with(What::Role, 0, self.word_of(Action::Send)),
                    _ => error,
                })
            })?;
        // Relaxed: looked at only when something has to be waited for.
        self.words().parties.had_sender.store(1, Relaxed);
        self.forget_the_dead();
        let tail = match self.has_many_senders() {
            // Where the ring ends is looked up each time that the lock was somebody else's.
            true => Producer::default(),
            false => Producer::find(self.view()).map_err(|_| {
                part.release(&self.senders()[claim]);
                self.object.error(ErrorKind::Damaged)
            })?,
        };
        Ok(SendEnd {
            tail,
            part,
            claim,
            reserved: None,
            watch: Watch::default(),
        })
    }

    /// Gives back the parts of senders that have died: another one has come.
    fn forget_the_dead(&self) {
        for claim in self.senders() {
            if let Some(holder) = claim.holder()
                && self.object.life(Holder::from_bits(holder)) == Life::Dead
            {
                claim.release(holder);
            }
        }
    }

    pub fn drop_sender(&self, end: &mut SendEnd) {
        if end.part.is_ours() {
            self.give_up(end);
            end.part.release(&self.senders()[end.claim]);
            Producer::wake_receivers(self.view());
        }
    }

    /// Becomes the receiver.
    pub fn receiver(&self) -> Result<ReceiveEnd, Error> {
        let parties = &self.words().parties;
        let part = Role::take(&self.object, &parties.receiver).map_err(|error| {
            let error = error.during(Action::BecomeReceiver);
            match error.kind() {
                ErrorKind::Busy => error.with(What::Role, 0, self.word_of(Action::Receive)),
                _ => error,
            }
        })?;
        // Relaxed: as for senders.
        parties.had_receiver.store(1, Relaxed);
        Ok(ReceiveEnd {
            head: Consumer::find(self.view()),
            part,
            watch: Watch::default(),
        })
    }

    pub fn drop_receiver(&self, end: &mut ReceiveEnd) {
        if end.part.is_ours() {
            end.part.release(&self.words().parties.receiver);
            end.head.wake_sender_for_news(self.view());
        }
    }

    /// What the receiver is to expect of the senders.
    fn look_at_senders(&self, watch: &Watch) -> Peers {
        let had = &self.words().parties.had_sender;
        self.look_at(self.senders(), had, watch)
    }

    /// What a sender is to expect of the receiver.
    fn look_at_receiver(&self, watch: &Watch) -> Peers {
        let parties = &self.words().parties;
        let receiver = slice::from_ref(&parties.receiver);
        self.look_at(receiver, &parties.had_receiver, watch)
    }

    fn look_at(&self, claims: &[Claim], had: &AtomicU32, watch: &Watch) -> Peers {
        let holders = claims.iter().enumerate();
        let mut holders = holders
            .filter_map(|(place, claim)| Some((place, claim.holder()?)))
            .peekable();
        if holders.peek().is_none() {
            // Relaxed: orders nothing.
            return match had.load(Relaxed) {
                0 => Peers::Expected,
                _ => Peers::Gone,
            };
        }
        if watch.trusts() {
            return Peers::Expected;
        }
        let is_dead = |holder| self.object.life(Holder::from_bits(holder)) == Life::Dead;
        match holders.find(|&(_, holder)| !is_dead(holder)) {
            Some((place, _)) => {
                watch.seen.set(place);
                Peers::Expected
            }
            None => {
                watch.distrust();
                Peers::Died
            }
        }
    }

    /// Returns the number of a process that has the role which this call needs, for an error.
    fn word_of(&self, action: Action) -> u64 {
        let holder = match action {
            Action::Send | Action::Reserve => self.senders().iter().find_map(Claim::holder),
            _ => self.words().parties.receiver.holder(),
        };
        holder.unwrap_or(0)
    }

    /// Returns the number of a sender, for a receiver's error: the one that was not dead when the senders
    /// were last looked at.
    fn sender_seen(&self, watch: &Watch) -> u64 {
        let seen = self.senders().get(watch.seen.get());
        let seen = seen.and_then(Claim::holder);
        seen.unwrap_or_else(|| self.word_of(Action::Send))
    }

    /// Takes the senders' lock.
    #[inline(always)]
    fn lock(&self, deadline: Deadline, action: Action) -> Result<Acquired, Error> {
        let me = self.object.me().bits();
        let lock = &self.words().parties.lock;
        match lock.lock(me, &self.trust.of(&self.object), deadline) {
            Ok(acquired) => Ok(acquired),
            Err(refused) => Err(self.not_locked(refused, deadline, action)),
        }
    }

    #[cold]
    fn not_locked(&self, refused: sync::LockError, deadline: Deadline, action: Action) -> Error {
        let error = match refused {
            sync::LockError::TimedOut => self.object.late(deadline),
            sync::LockError::Deadlock => self.object.error(ErrorKind::Deadlock),
            sync::LockError::NotRecoverable => self.object.error(ErrorKind::Damaged),
        };
        let holder = self.words().parties.lock.look().0.unwrap_or(0);
        error.during(action).with(What::Sending, 0, holder)
    }

    #[inline]
    fn unlock(&self) {
        if self.has_many_senders() {
            // An error means that somebody has overwritten the lock.
            let _ = self.words().parties.lock.unlock(&self.object);
        }
    }

    /// Gets ready to send: is this the sender, and does it know where the ring ends?
    #[inline(always)]
    fn begin(&self, end: &mut SendEnd, deadline: Deadline, action: Action) -> Result<(), Error> {
        self.expect_ours(&end.part, action)?;
        if end.reserved.is_some() {
            self.give_up(end);
        }
        if self.has_many_senders() {
            match self.lock(deadline, action)? {
                Acquired::Clean => end.tail.catch_up(self.view()),
                Acquired::OwnerDied => self.put_in_order(end, action)?,
            }
        }
        Ok(())
    }

    /// Finds the ring's end after a sender that died while it had the lock.
    #[cold]
    fn put_in_order(&self, end: &mut SendEnd, action: Action) -> Result<(), Error> {
        let found = Producer::find(self.view());
        // An error means that somebody has overwritten the lock.
        let _ = self.words().parties.lock.consistent(&self.object);
        match found {
            Ok(tail) => end.tail = tail,
            Err(_) => {
                self.unlock();
                return Err(self.object.error(ErrorKind::Damaged).during(action));
            }
        }
        Ok(())
    }

    #[inline(always)]
    pub fn send(&self, end: &mut SendEnd, bytes: Source, deadline: Deadline) -> Result<(), Error> {
        self.begin(end, deadline, Action::Send)?;
        if !end.tail.send_short(self.view(), bytes) {
            return self.send_otherwise(end, bytes, deadline);
        }
        self.unlock();
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn send_otherwise(
        &self,
        end: &mut SendEnd,
        bytes: Source,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let SendEnd { tail, watch, .. } = end;
        let peers = || self.look_at_receiver(watch);
        let sent = tail.send(self.view(), bytes, deadline, peers);
        self.unlock();
        sent.map_err(|refused| self.explain(refused, deadline, Action::Send, bytes.len(), watch))
    }

    /// Sends messages until one is refused or invalid, and returns how many were sent. Fails if the first
    /// one was not sent.
    pub fn send_batch<'a>(
        &self,
        end: &mut SendEnd,
        messages: impl Iterator<Item = Result<Source<'a>, Error>>,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        self.begin(end, deadline, Action::Send)?;
        let view = self.view();
        let SendEnd { tail, watch, .. } = end;
        let mut sent = 0;
        let mut failed = None;
        for message in messages {
            let peers = || self.look_at_receiver(watch);
            let added = message.and_then(|message| {
                tail.add(view, message, deadline, peers).map_err(|refused| {
                    self.explain(refused, deadline, Action::Send, message.len(), watch)
                })
            });
            if let Err(error) = added {
                failed = Some(error);
                break;
            }
            sent += 1;
        }
        tail.commit(view);
        self.unlock();
        match failed {
            Some(error) if sent == 0 => Err(error),
            _ => Ok(sent),
        }
    }

    /// Finds room for a message, and returns its offset. The senders' lock stays locked until
    /// `commit` or `abort`.
    pub fn reserve(
        &self,
        end: &mut SendEnd,
        len: usize,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        self.begin(end, deadline, Action::Reserve)?;
        let SendEnd { tail, watch, .. } = end;
        let peers = || self.look_at_receiver(watch);
        match tail.reserve(self.view(), len, deadline, peers) {
            Ok(offset) => {
                let by = self.lock_owner().unwrap_or_else(|| self.object.me());
                end.reserved = Some(Reserved { by, len });
                Ok(offset)
            }
            Err(refused) => {
                self.unlock();
                Err(self.explain(refused, deadline, Action::Reserve, len, watch))
            }
        }
    }

    /// Returns whether the calling thread may write and commit what was reserved: it has reserved it
    /// itself, or the ring is for one sender; and no other sender has sent since.
    pub fn has_slot(&self, end: &SendEnd) -> bool {
        end.part.is_ours()
            && end.reserved.as_ref().is_some_and(|reserved| {
                let by_me = || reserved.by.is_mine() && self.is_locked_by(reserved.by);
                (!self.has_many_senders() || by_me()) && end.tail.is_last(self.view())
            })
    }

    /// Returns whether the calling thread, or another one that is live, has reserved a slot and may be
    /// writing into it.
    pub fn is_reserved(&self, end: &SendEnd) -> bool {
        let by_me = |reserved: &Reserved| reserved.by.is_mine();
        end.reserved.as_ref().is_some_and(by_me) && self.has_slot(end)
            || self.anothers_slot(end).is_some()
    }

    /// Returns the thread that has reserved a slot and may be writing into it: a live one, and not the
    /// calling one.
    fn anothers_slot(&self, end: &SendEnd) -> Option<Holder> {
        let by = end.reserved.as_ref()?.by;
        let is_anothers = end.part.is_ours()
            && !by.is_mine()
            && (!self.has_many_senders() || self.is_locked_by(by))
            // A thread of this process, so its id belongs to this PID namespace.
            && by.life(|| true) != Life::Dead;
        is_anothers.then_some(by)
    }

    /// Fails if another thread may be writing into a slot, so that its place must not be used again.
    pub fn expect_no_writer(&self, end: &SendEnd) -> Result<(), Error> {
        match self.anothers_slot(end) {
            None => Ok(()),
            Some(by) => {
                let error = self.object.error(ErrorKind::NotOwner);
                let error = error.during(Action::EndSending);
                Err(error.with(What::Sending, 0, by.bits()))
            }
        }
    }

    /// The thread that has the senders' lock.
    fn lock_owner(&self) -> Option<Holder> {
        let (owner, _) = self.words().parties.lock.look();
        owner.map(Holder::from_bits)
    }

    fn is_locked_by(&self, thread: Holder) -> bool {
        self.lock_owner() == Some(thread)
    }

    /// Sends the first bytes of what was reserved.
    pub fn commit(&self, end: &mut SendEnd, len: usize) -> Result<(), Error> {
        if !self.has_slot(end) {
            let error = self.object.error(ErrorKind::NotOwner);
            return Err(error.during(Action::Commit));
        }
        match &end.reserved {
            Some(reserved) if len > reserved.len => {
                let error = self.object.error(ErrorKind::InvalidArgument);
                let error = error.during(Action::Commit);
                return Err(error.with(What::ShortSlot, len as u64, reserved.len as u64));
            }
            _ => end.reserved = None,
        }
        end.tail.append_message(self.view(), len);
        end.tail.commit(self.view());
        self.unlock();
        Ok(())
    }

    /// Gives up what was reserved.
    pub fn abort(&self, end: &mut SendEnd) -> Result<(), Error> {
        if !self.has_slot(end) {
            let error = self.object.error(ErrorKind::NotOwner);
            return Err(error.during(Action::Abort));
        }
        self.give_up(end);
        Ok(())
    }

    /// Gives up what was reserved, whichever thread has reserved it, and whether or not that thread still
    /// has the lock: the end's user needs it no more, and nothing is written.
    #[inline(never)]
    fn give_up(&self, end: &mut SendEnd) {
        if let Some(reserved) = end.reserved.take() {
            end.tail.abort();
            if self.has_many_senders() {
                // If it no longer has the lock, there is nothing to unlock.
                self.words().parties.lock.unlock_for(reserved.by.bits());
            }
        }
    }

    #[inline(always)]
    fn expect_ours(&self, part: &Role, action: Action) -> Result<(), Error> {
        match part.is_ours() {
            true => Ok(()),
            false => Err(self.inherited(action)),
        }
    }

    #[cold]
    fn inherited(&self, action: Action) -> Error {
        let error = self.object.error(ErrorKind::Busy).during(action);
        error.with(What::Inherited, 0, self.word_of(action))
    }

    #[inline(always)]
    pub fn receive(
        &self,
        end: &mut ReceiveEnd,
        buffer: Buffer,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        self.expect_ours(&end.part, Action::Receive)?;
        if let Some(len) = end.head.receive_short(self.view(), buffer) {
            return Ok(len);
        }
        if matches!(deadline, Deadline::Now) {
            // What most tries in vain come to: the senders were looked at a short time ago.
            if end.head.finds_nothing(self.view())
                && let Some(sender) = self.word_of_trusted_sender(&end.watch)
            {
                return Err(self.no_message(buffer.len(), sender));
            }
        } else if let Some(len) = end.head.receive_soon(self.view(), buffer) {
            return Ok(len);
        }
        self.receive_otherwise(end, buffer, deadline)
    }

    /// Returns the number of a sender, if there is one and it is not yet time to look at senders again.
    #[inline]
    fn word_of_trusted_sender(&self, watch: &Watch) -> Option<u64> {
        let sender = self.senders().iter().find_map(Claim::holder)?;
        watch.is_recent(sys::about_now()).then_some(sender)
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
        deadline: Deadline,
    ) -> Result<usize, Error> {
        let ReceiveEnd { head, watch, .. } = end;
        let peers = || self.look_at_senders(watch);
        head.receive(self.view(), buffer, deadline, peers)
            .map_err(|refused| {
                self.explain(refused, deadline, Action::Receive, buffer.len(), watch)
            })
    }

    /// Receives up to `count` messages, and hands the place and the length of each to `store`.
    pub fn receive_batch(
        &self,
        end: &mut ReceiveEnd,
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
                Err(error) if received == 0 => return Err(error),
                // There are no more, or no more that fit. If it is worse, the next call says so.
                Err(_) => break,
            }
        }
        Ok(received)
    }

    pub fn peek(&self, end: &mut ReceiveEnd, deadline: Deadline) -> Result<ring::Span, Error> {
        self.expect_ours(&end.part, Action::Peek)?;
        let ReceiveEnd { head, watch, .. } = end;
        let peers = || self.look_at_senders(watch);
        head.peek(self.view(), deadline, peers)
            .map_err(|refused| self.explain(refused, deadline, Action::Peek, 0, watch))
    }

    pub fn release(&self, end: &mut ReceiveEnd, message: ring::Span) -> Result<(), Error> {
        if !end.part.is_ours() || !end.head.is_first(self.view(), &message) {
            let error = self.object.error(ErrorKind::NotOwner);
            return Err(error.during(Action::Release));
        }
        match end.head.release(self.view(), message) {
            true => Ok(()),
            false => Err(self
                .object
                .error(ErrorKind::Overtaken)
                .during(Action::Release)),
        }
    }

    /// The error for what was refused. `len` is that of the message to be sent, or of the buffer.
    #[cold]
    fn explain(
        &self,
        refused: RingError,
        deadline: Deadline,
        action: Action,
        len: usize,
        watch: &Watch,
    ) -> Error {
        let sends = matches!(action, Action::Send | Action::Reserve);
        let peer = || match sends {
            true => self.word_of(Action::Receive),
            false => self.sender_seen(watch),
        };
        let error = match refused {
            RingError::TimedOut => {
                let what = if sends { What::NoRoom } else { What::NoMessage };
                self.object.late(deadline).with(what, len as u64, peer())
            }
            RingError::Closed => self.object.error(ErrorKind::Closed).with(What::Peer, 0, 0),
            RingError::PeerDied => {
                let error = self.object.error(ErrorKind::PeerDied);
                error.with(What::Peer, 0, peer())
            }
            RingError::TooLong(message) => {
                let (what, most) = match sends {
                    true => (What::TooLong, self.view().capacity),
                    false => (What::ShortBuffer, len),
                };
                let error = self.object.error(ErrorKind::TooLong);
                error.with(what, message as u64, most as u64)
            }
            RingError::Damaged => self.object.error(ErrorKind::Damaged),
        };
        error.during(action)
    }
}

/// Remembers when the other side was last asked for, so as not to do that again and again.
#[derive(Default)]
struct Watch {
    /// In nanoseconds.
    asked: Cell<Option<u64>>,
    /// The place of a claim whose process was not dead then.
    seen: Cell<usize>,
}

impl Watch {
    /// Whether it is not yet time to ask again. If it is, the caller asks.
    fn trusts(&self) -> bool {
        let now = sys::about_now();
        if self.is_recent(now) {
            return true;
        }
        self.asked.set(Some(now));
        false
    }

    /// Whether the other side was asked for a short time before `now`.
    #[inline]
    fn is_recent(&self, now: u64) -> bool {
        let asked = self.asked.get();
        asked.is_some_and(|asked| now.abs_diff(asked) < TRUST)
    }

    fn distrust(&self) {
        self.asked.set(None);
    }
}

impl fmt::Debug for SendEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendEnd").finish_non_exhaustive()
    }
}

impl fmt::Debug for ReceiveEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveEnd").finish_non_exhaustive()
    }
}
