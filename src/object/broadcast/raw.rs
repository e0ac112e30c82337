//! The broadcast that the Rust types and the C functions share: the object with its words, and its two ends.

use crate::{
    Error, ErrorKind, Place,
    error::{Action, What},
    holder::{Holder, Life},
    kind::LOSSY,
    memory::Shared,
    object::{Kind, Object, Snapshot, Spec},
    object::{checked::Checked, interrupt, readiness::Readiness, role::Role},
    sync::{
        Area, AtomicU32, Buffer, Claim, Deadline, Interrupt, Source,
        broadcast::{
            self, BroadcastError, BroadcastWords, MemberWords, Peer, Publisher, SUBSCRIBERS, Span,
            Subscriber, View,
        },
    },
    sys,
};
use core::{fmt, ops::Range, ptr::NonNull, slice, sync::atomic::Ordering::Relaxed};
use std::os::fd::BorrowedFd;

/// The size of the members' claims, which the payload begins with, in bytes.
const CLAIMS: usize = SUBSCRIBERS * size_of::<Claim>();
/// The size of the claims and the members' lines, in front of the frames, in bytes.
const FRONT: usize = CLAIMS + SUBSCRIBERS * size_of::<MemberWords>();

/// A broadcast, as both ends use it.
#[derive(Debug)]
pub(crate) struct RawBroadcast {
    object: Object,
    /// The room for the frames in bytes.
    room: usize,
    /// The length of the longest message in bytes.
    capacity: usize,
    options: u32,
}

/// The object's own words.
#[repr(C)]
struct Words {
    publisher: PublisherWords,
    broadcast: BroadcastWords,
}

#[repr(C, align(64))]
struct PublisherWords {
    claim: Claim,
    /// Not 0 once a process has taken the role.
    had: AtomicU32,
}

/// The values of the words of a broadcast.
pub(crate) struct Seen {
    pub used: u64,
    pub published: u64,
    pub publisher: Option<Holder>,
    pub subscribers: Vec<Holder>,
}

/// Reads the words of a broadcast from a copy of its segment.
pub(crate) fn look(snapshot: &Snapshot) -> Seen {
    // SAFETY: the words are atomics, and are valid whatever their bytes are.
    let words: &Words = unsafe { snapshot.words() };
    Seen {
        used: words
            .broadcast
            .used()
            .min(snapshot.size().saturating_sub(FRONT as u64)),
        published: words.broadcast.published(),
        publisher: words.publisher.claim.holder().map(Holder::from_bits),
        subscribers: snapshot
            .payload()
            .take(SUBSCRIBERS)
            .filter(|&bits| bits != 0)
            .map(Holder::from_bits)
            .collect(),
    }
}

/// Returns the size of the payload of a broadcast with this capacity; `None` if no broadcast is as large.
fn payload_for(capacity: usize) -> Option<usize> {
    broadcast::room_for(capacity)?.checked_add(FRONT)
}

/// What the publishing end keeps in this process' own memory.
pub(crate) struct PublishEnd {
    end: Publisher,
    role: Role,
    reserved: Option<Reserved>,
    /// The bytes of a slot that wraps at the end of the area.
    buffer: Vec<u8>,
    checked: Checked,
    interrupt: Shared<Interrupt>,
}

impl PublishEnd {
    /// Returns what ends the waits of this end.
    pub fn interrupt(&self) -> &Shared<Interrupt> {
        &self.interrupt
    }
}

/// A slot, from `reserve` to `commit`, `abort`, or the next use of its end.
#[derive(Clone, Copy)]
struct Reserved {
    /// The offset of its first byte.
    offset: usize,
    /// Its length in bytes.
    len: usize,
    /// Whether its bytes are in the end's buffer until they are committed.
    is_buffered: bool,
}

/// What a subscriber keeps in this process' own memory.
pub(crate) struct SubscribeEnd {
    end: Subscriber,
    /// Its role, and its number as a member; none where this process may not write.
    role: Option<(Role, usize)>,
    /// A copy of a peeked message, if it cannot be read in place.
    copy: Vec<u8>,
    checked: Checked,
    interrupt: Shared<Interrupt>,
    /// It goes on waiting when the publisher has ended.
    keep_waiting: bool,
    readiness: Readiness,
}

impl SubscribeEnd {
    /// Returns what ends the waits of this end.
    pub fn interrupt(&self) -> &Shared<Interrupt> {
        &self.interrupt
    }

    /// Sets whether it goes on waiting when the publisher has ended or died.
    pub fn set_keep_waiting(&mut self, on: bool) {
        self.keep_waiting = on;
    }

    /// Returns where the next message is, or will be.
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
    /// Opens a broadcast, or creates it. A capacity of 0 opens one that exists, with any capacity and options.
    pub fn open(mut place: Place, capacity: usize, options: u32) -> Result<RawBroadcast, Error> {
        let as_it_is = capacity == 0;
        let (Some(payload), true) = (payload_for(capacity), as_it_is || capacity >= 64) else {
            let error = Error::capacity(Kind::Broadcast, broadcast::CAPACITY_MAX);
            return Err(error.opening(Kind::Broadcast, place.site.name()));
        };
        place.create &= !as_it_is;
        let spec = Spec {
            kind: Kind::Broadcast,
            size: if as_it_is { 0 } else { payload },
            any_size: as_it_is,
            capacity,
            layout: &place.layout,
            options: (!as_it_is).then_some(options),
        };
        // A broadcast of zeroes is an empty one.
        let object = Object::open(&place, &spec, |_| {}).map_err(|error| {
            if as_it_is {
                error.no_broadcast()
            } else {
                error
            }
        })?;
        let found = object.found()?;
        let options = found.options;
        let capacity = usize::try_from(found.capacity).ok();
        let (Some(capacity), Some(room)) = (
            capacity.filter(|&capacity| payload_for(capacity) == Some(found.size)),
            found.size.checked_sub(FRONT),
        ) else {
            return Err(object.error(ErrorKind::Damaged).during(Action::Open));
        };
        if options & LOSSY == 0 {
            object.expect_writable()?;
        }
        sys::barrier::take_part();
        Ok(RawBroadcast {
            object,
            room,
            capacity,
            options,
        })
    }

    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the length of the longest message in bytes.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn is_lossy(&self) -> bool {
        self.options & LOSSY != 0
    }

    fn words(&self) -> &Words {
        // SAFETY: the words are atomics, and are valid whatever their bytes are.
        unsafe { self.object.words() }
    }

    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        let front = self.object.payload();
        let writable = self.object.is_writable();
        View {
            words: &self.words().broadcast,
            // SAFETY: `open` has seen that the segment has the front and so many bytes behind it; the members' words are atomics,
            // 64-byte aligned as the payload is, and cope with any bytes.
            members: unsafe {
                let members = front.add(CLAIMS).cast::<MemberWords>();
                slice::from_raw_parts(members.as_ptr(), if writable { SUBSCRIBERS } else { 0 })
            },
            // SAFETY: as above; it is attached as long as the object lives. Only a publisher writes it, and that exists only
            // where writing is allowed.
            area: unsafe { Area::new(front.add(FRONT).as_ptr(), self.room) },
            capacity: self.capacity,
            lossy: self.is_lossy(),
            writable,
        }
    }

    /// Returns the claims of the subscribers.
    fn claims(&self) -> &[Claim] {
        // SAFETY: the payload begins with the claims, 64-byte aligned, which are atomics and cope
        // with any bytes.
        unsafe { slice::from_raw_parts(self.object.payload().as_ptr().cast(), SUBSCRIBERS) }
    }

    /// Returns the number of subscribers, dead or not. Each of them receives what is published from now on.
    pub fn subscribers(&self) -> usize {
        if self.is_lossy() {
            let claims = self.claims().iter();
            claims.filter(|claim| claim.holder().is_some()).count()
        } else {
            // One that has a claim and has not joined yet does not count.
            self.view().joined_count()
        }
    }

    fn is_dead(&self, holder: u64) -> bool {
        self.object.life(Holder::from_bits(holder)) == Life::Dead
    }

    /// Returns the publisher as a number, for an error.
    fn publisher_seen(&self) -> u64 {
        self.words().publisher.claim.holder().unwrap_or(0)
    }

    #[cold]
    fn fail(&self, kind: ErrorKind, action: Action) -> Error {
        self.object.error(kind).during(action)
    }

    /// Returns a range of a message of `size` bytes, if it lies inside the message.
    fn part(
        &self,
        action: Action,
        offset: usize,
        len: usize,
        size: usize,
    ) -> Result<Range<usize>, Error> {
        match offset.checked_add(len) {
            Some(end) if end <= size => Ok(offset..end),
            _ => {
                let error = self.fail(ErrorKind::OutOfRange, action);
                Err(error.outside_message(offset, len, size))
            }
        }
    }

    // The publishing end.

    /// Takes the role of the publisher. `interrupt` ends its waits; `None` makes one.
    pub fn publisher(&self, interrupt: Option<&Shared<Interrupt>>) -> Result<PublishEnd, Error> {
        let words = &self.words().publisher;
        let action = Action::BecomePublisher;
        let role = Role::take(&self.object, &words.claim).map_err(|error| {
            let error = error.during(action);
            match error.kind() {
                ErrorKind::Busy => error.with(What::Role, 0, self.publisher_seen()),
                _ => error,
            }
        })?;
        let interrupt = interrupt::of_end(interrupt).inspect_err(|_| role.release(&words.claim))?;
        // Relaxed: read only before a wait.
        words.had.store(1, Relaxed);
        match Publisher::find(self.view()) {
            Ok(end) => Ok(PublishEnd {
                end,
                role,
                reserved: None,
                buffer: Vec::new(),
                checked: Checked::default(),
                interrupt,
            }),
            Err(_) => {
                role.release(&words.claim);
                Err(self.fail(ErrorKind::Damaged, action))
            }
        }
    }

    /// Returns whether this process has the role, and no other process has taken it over.
    #[inline(always)]
    pub fn is_publisher(&self, end: &PublishEnd) -> bool {
        end.role.is_held(&self.words().publisher.claim)
    }

    /// Releases the role of the publisher, and aborts its slot.
    pub fn drop_publisher(&self, end: &mut PublishEnd) {
        if self.is_publisher(end) {
            end.reserved = None;
            end.role.release(&self.words().publisher.claim);
            self.view().wake_subscribers();
        }
    }

    /// Prepares publishing: checks that this process is the publisher.
    #[inline(always)]
    fn begin(&self, end: &mut PublishEnd, action: Action) -> Result<(), Error> {
        if !self.is_publisher(end) {
            return Err(self.not_publisher(end, action));
        }
        end.reserved = None;
        Ok(())
    }

    #[cold]
    fn not_publisher(&self, end: &PublishEnd, action: Action) -> Error {
        let what = if end.role.is_ours() {
            What::Role
        } else {
            What::Inherited
        };
        let error = self.fail(ErrorKind::Busy, action);
        error.with(what, 0, self.publisher_seen())
    }

    /// Removes a member if it is dead. Returns whether it did.
    fn drop_dead(&self, member: usize) -> bool {
        let Some(claim) = self.claims().get(member) else {
            return false;
        };
        let me = self.object.this_process().bits();
        // With the claim, no new subscriber takes the number at the same time.
        let taken = claim.take(me, |holder| self.is_dead(holder));
        if taken {
            self.view().leave(member);
            claim.release(me);
        }
        taken
    }

    /// Publishes a message.
    #[inline(always)]
    pub fn publish(
        &self,
        end: &mut PublishEnd,
        bytes: Source,
        deadline: Deadline,
    ) -> Result<(), Error> {
        self.begin(end, Action::Publish)?;
        if end.end.publish_if_room(self.view(), bytes) {
            return Ok(());
        }
        let PublishEnd {
            end,
            checked,
            interrupt,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let is_gone = |member| checked.finds(|| self.drop_dead(member));
        end.publish(self.view(), bytes, deadline, is_gone)
            .map_err(|refused| self.not_published(refused, deadline, Action::Publish, bytes.len()))
    }

    /// Publishes messages until one is refused or invalid, and returns how many were published. Fails if the first
    /// one was not.
    pub fn publish_batch<'a>(
        &self,
        end: &mut PublishEnd,
        messages: impl Iterator<Item = Result<Source<'a>, Error>>,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        self.begin(end, Action::Publish)?;
        let PublishEnd {
            end,
            checked,
            interrupt,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let mut published = 0;
        let mut failed = None;
        for message in messages {
            let is_gone = |member| checked.finds(|| self.drop_dead(member));
            let added = message.and_then(|message| {
                end.add(self.view(), message, deadline, is_gone)
                    .map_err(|refused| {
                        self.not_published(refused, deadline, Action::Publish, message.len())
                    })
            });
            if let Err(error) = added {
                failed = Some(error);
                break;
            }
            published += 1;
        }
        end.commit(self.view());
        match failed {
            Some(error) if published == 0 => Err(error),
            _ => Ok(published),
        }
    }

    /// Reserves a slot.
    pub fn reserve(
        &self,
        end: &mut PublishEnd,
        len: usize,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let action = Action::Reserve;
        self.begin(end, action)?;
        let view = self.view();
        let PublishEnd {
            end: tail,
            checked,
            interrupt,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let is_gone = |member| checked.finds(|| self.drop_dead(member));
        let offset = tail
            .reserve(view, len, deadline, is_gone)
            .map_err(|refused| self.not_published(refused, deadline, action, len))?;
        let is_buffered = view.area.wraps(offset, len);
        if is_buffered {
            fill(&mut end.buffer, len)?;
        }
        end.reserved = Some(Reserved {
            offset,
            len,
            is_buffered,
        });
        Ok(())
    }

    /// Returns the reserved slot, if this process may still write and commit it.
    fn slot(&self, end: &PublishEnd, action: Action) -> Result<Reserved, Error> {
        match end.reserved {
            Some(slot) if self.is_publisher(end) => Ok(slot),
            _ => Err(self.fail(ErrorKind::NotOwner, action)),
        }
    }

    /// Returns whether a slot is reserved.
    pub fn is_reserved(&self, end: &PublishEnd) -> bool {
        self.slot(end, Action::Write).is_ok()
    }

    /// Returns the address of the slot's first byte, which is 8-byte aligned if the slot is not buffered.
    pub fn slot_address(&self, end: &mut PublishEnd) -> Result<NonNull<u8>, Error> {
        let slot = self.slot(end, Action::Write)?;
        let address = if slot.is_buffered {
            end.buffer.as_mut_ptr()
        } else {
            self.view().area.address(slot.offset)
        };
        NonNull::new(address).ok_or_else(|| self.fail(ErrorKind::NotOwner, Action::Write))
    }

    /// Writes bytes into the slot, inside its first `len` bytes.
    pub fn write_slot(
        &self,
        end: &mut PublishEnd,
        offset: usize,
        bytes: &[u8],
        len: usize,
    ) -> Result<(), Error> {
        let slot = self.slot(end, Action::Write)?;
        let part = self.part(Action::Write, offset, bytes.len(), len.min(slot.len))?;
        if slot.is_buffered {
            if let Some(to) = end.buffer.get_mut(part) {
                to.copy_from_slice(bytes);
            }
        } else {
            let area = self.view().area;
            area.write(slot.offset + offset, bytes.into());
        }
        Ok(())
    }

    /// Publishes the first `len` bytes of the slot.
    pub fn commit(&self, end: &mut PublishEnd, len: usize) -> Result<(), Error> {
        let slot = self.slot(end, Action::Commit)?;
        if len > slot.len {
            let error = self.fail(ErrorKind::InvalidArgument, Action::Commit);
            return Err(error.with(What::ShortSlot, len as u64, slot.len as u64));
        }
        end.reserved = None;
        let view = self.view();
        if slot.is_buffered {
            let bytes = end.buffer.get(..len).unwrap_or_default();
            view.area.write_wrapping(slot.offset, bytes.into());
        }
        end.end.append(view, len);
        end.end.commit(view);
        Ok(())
    }

    /// Aborts the slot.
    pub fn abort(&self, end: &mut PublishEnd) -> Result<(), Error> {
        self.slot(end, Action::Abort)?;
        end.reserved = None;
        Ok(())
    }

    /// Returns the error for a refused operation. `len`: the length of the message.
    #[cold]
    fn not_published(
        &self,
        refused: BroadcastError,
        deadline: Deadline,
        action: Action,
        len: usize,
    ) -> Error {
        let error = match refused {
            BroadcastError::Slow(member) => {
                let holder = self.claims().get(member).and_then(Claim::holder);
                let error = self.object.late(deadline);
                error.with(What::NoRoom, len as u64, holder.unwrap_or(0))
            }
            BroadcastError::TooLong(message) => {
                let error = self.object.error(ErrorKind::TooLong);
                error.with(What::TooLong, message as u64, self.capacity as u64)
            }
            _ => self.object.error(ErrorKind::Damaged),
        };
        error.during(action)
    }

    // The subscribing end.

    /// Subscribes. `interrupt` ends the waits of the subscriber; `None` makes one.
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
            // It joins first: a subscriber that is counted receives what is published from then on.
            let end = self.join(None, from_oldest)?;
            let is_writable = self.object.is_writable();
            (end, is_writable.then(|| self.take_claim()).transpose()?)
        };
        Ok(SubscribeEnd {
            end,
            role,
            copy: Vec::new(),
            checked: Checked::default(),
            interrupt,
            keep_waiting: false,
            readiness: Readiness::default(),
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

    /// Returns the error for an end that is not subscribed, or no longer.
    #[cold]
    pub fn not_subscribed(&self, action: Action) -> Error {
        let error = self.fail(ErrorKind::NotOwner, action);
        error.with(What::NotSubscribed, 0, 0)
    }

    /// Returns what a subscriber can expect of the publisher.
    fn look_at_publisher(&self, checked: &Checked) -> Peer {
        let words = &self.words().publisher;
        match words.claim.holder() {
            // Relaxed: orders nothing.
            None if words.had.load(Relaxed) == 0 => Peer::Expected,
            None => Peer::Gone,
            Some(holder) if checked.finds(|| self.is_dead(holder)) => Peer::Died,
            Some(_) => Peer::Expected,
        }
    }

    /// Returns what a subscriber can expect of the publisher, unless it waits for another one.
    fn expected_of_publisher(&self, checked: &Checked, keep_waiting: bool) -> Peer {
        if keep_waiting {
            Peer::Expected
        } else {
            self.look_at_publisher(checked)
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
            let peer = || self.expected_of_publisher(checked, *keep_waiting);
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

    /// Returns whether a try to receive would not block: there is a message, or news of the publisher, or an error.
    pub fn is_ready(&self, end: &mut SubscribeEnd) -> bool {
        let peer = || self.expected_of_publisher(&end.checked, end.keep_waiting);
        let found = end.end.peek(self.view(), Deadline::Now, peer);
        !matches!(found, Err(BroadcastError::TimedOut))
    }

    /// Returns the word on which to sleep until there is news, and the position of the next message.
    pub fn announce_sleep(&self, end: &mut SubscribeEnd) -> (sys::waitv::Word, u64) {
        let word = end.end.announce_sleep(self.view());
        (word, end.end.position())
    }

    /// Makes the descriptor unreadable, unless a try would not block. Returns whether that is so.
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
            let peer = || self.expected_of_publisher(checked, *keep_waiting);
            let found = end.peek(view, Deadline::Now, peer);
            !matches!(found, Err(BroadcastError::TimedOut))
        })
    }

    /// Returns the descriptor of a subscriber.
    pub fn descriptor<'a>(&self, end: &'a SubscribeEnd) -> Result<BorrowedFd<'a>, Error> {
        self.expect_subscriber(end)?;
        end.readiness.descriptor(&self.object)
    }

    /// Receives a message in place of a vector's contents, and returns its length. After an error, the vector is empty.
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
                Err(error) if received == 0 => return Err(error),
                // There are no more messages, or the next does not fit. The next call returns any other error.
                Err(_) => break,
            }
        }
        Ok(received)
    }

    /// Waits for a message, and makes it readable: as a copy if it can be overwritten or wraps at the end of the area, and
    /// else in place.
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
        let peer = || self.expected_of_publisher(checked, *keep_waiting);
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
        peer: impl Fn() -> Peer + Copy,
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
            BroadcastError::Closed => self.object.error(ErrorKind::Closed).with(What::Peer, 0, 0),
            BroadcastError::PeerDied => {
                let error = self.object.error(ErrorKind::PeerDied);
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

/// Extends a buffer to at least `len` bytes.
fn fill(buffer: &mut Vec<u8>, len: usize) -> Result<(), Error> {
    let more = len.saturating_sub(buffer.len());
    buffer.try_reserve(more).map_err(|_| no_memory())?;
    buffer.resize(buffer.len().max(len), 0);
    Ok(())
}

#[cold]
fn no_memory() -> Error {
    Error::new(ErrorKind::OutOfMemory, libc::ENOMEM, "receive")
}

impl fmt::Debug for PublishEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishEnd").finish_non_exhaustive()
    }
}

impl fmt::Debug for SubscribeEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscribeEnd").finish_non_exhaustive()
    }
}
