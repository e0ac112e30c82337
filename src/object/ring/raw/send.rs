//! The sending end.

use super::{Parties, Piece, PieceBuffer, RawRing, Watch};
use crate::{
    Error, ErrorKind,
    error::{Action, What},
    holder::{Holder, Life, ThreadProof},
    memory::Shared,
    object::{interrupt, role::Role},
    sync::{
        self, Acquired, Deadline, Interrupt, Source,
        keep::{self, Keeper},
        ring::Producer,
        wait,
    },
};
use core::{fmt, sync::atomic::Ordering::Relaxed};

/// What the sending end has in this process's own memory.
pub(crate) struct SendEnd {
    tail: Producer,
    role: Role,
    /// The place of its claim, and of its seat.
    claim: usize,
    keeper: Keeper,
    user: User,
    /// Whether no other sender has sent between the last two messages of this one.
    in_a_row: bool,
    /// What was reserved, and neither committed nor aborted.
    reserved: Option<Reserved>,
    /// For slots that wrap at the end of the ring.
    buffer: PieceBuffer,
    watch: Watch,
    interrupt: Shared<Interrupt>,
}

/// The thread that last used an end, if it is known: in a ring for many senders, the one that began to keep the lock; in
/// a ring for one, the one that reserved a slot.
#[derive(Default)]
struct User {
    thread: u64,
    proof: ThreadProof,
}

impl User {
    fn this_thread(thread: Holder) -> User {
        User {
            thread: thread.bits(),
            proof: ThreadProof::of_this_thread(),
        }
    }

    /// Returns this thread if it is the calling one.
    #[inline(always)]
    fn here(&self) -> Option<Holder> {
        self.proof.holds().then(|| Holder::from_bits(self.thread))
    }
}

/// A slot, from `reserve` to `commit`, `abort`, or the next use of its end.
struct Reserved {
    /// The thread that has reserved it, and so has the senders' lock of a ring for many.
    by: Holder,
    /// Its length in bytes.
    len: usize,
    /// Where it begins in the ring.
    offset: usize,
    /// It wraps at the end of the ring, and its bytes are written into the buffer until `commit`.
    wraps: bool,
}

impl SendEnd {
    /// Returns whether this process has the role: false in a child of the process that has it.
    #[inline]
    pub fn is_ours(&self) -> bool {
        self.role.is_ours()
    }

    /// Returns what ends the waits of this end.
    pub fn interrupt(&self) -> &Shared<Interrupt> {
        &self.interrupt
    }
}

impl RawRing {
    /// Takes the role of a sender. `interrupt` ends its waits; `None` makes one.
    pub fn sender(&self, interrupt: Option<&Shared<Interrupt>>) -> Result<SendEnd, Error> {
        self.take_sender(interrupt)
            .map_err(|error| error.during(Action::BecomeSender))
    }

    fn take_sender(&self, interrupt: Option<&Shared<Interrupt>>) -> Result<SendEnd, Error> {
        let busy = if self.has_many_senders() {
            ErrorKind::LimitReached
        } else {
            ErrorKind::Busy
        };
        let mut taken = self
            .senders()
            .iter()
            .enumerate()
            .map(|(claim, word)| (claim, Role::take(&self.object, word)));
        let (claim, role) = taken
            .find_map(|(claim, role)| match role {
                Ok(role) => Some(Ok((claim, role))),
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
        let interrupt =
            interrupt::of_end(interrupt).inspect_err(|_| role.release(&self.senders()[claim]))?;
        // Relaxed: read only before a wait.
        self.words().parties.had_sender.store(1, Relaxed);
        self.free_the_dead();
        let tail = if self.has_many_senders() {
            // Each time that another sender has had the lock, the end of the ring is found again.
            Producer::default()
        } else {
            Producer::find(self.view()).map_err(|_| {
                role.release(&self.senders()[claim]);
                self.object.error(ErrorKind::Damaged)
            })?
        };
        let mut end = SendEnd {
            tail,
            role,
            claim,
            keeper: Keeper::default(),
            user: User::default(),
            in_a_row: false,
            reserved: None,
            buffer: PieceBuffer::default(),
            watch: Watch::default(),
            interrupt,
        };
        if self.has_many_senders() && self.object.introduce() {
            self.end_keeping(&mut end)
                .inspect_err(|_| end.role.release(&self.senders()[claim]))?;
        }
        Ok(end)
    }

    /// Makes a sender that keeps the senders' lock take it again, under its token. Processes of several PID namespaces
    /// use the ring: that sender may have begun to keep the lock before they did, under a number by which the others
    /// cannot find out whether it is live.
    #[cold]
    fn end_keeping(&self, end: &mut SendEnd) -> Result<(), Error> {
        match self.begin_locked(end, &Deadline::Now, Action::BecomeSender) {
            Ok(()) => self.unlock(end),
            Err(error) if error.kind() == ErrorKind::Damaged => return Err(error),
            // That sender is in a turn, at the end of which it releases the lock; or this thread has a slot reserved.
            Err(_) => {}
        }
        Ok(())
    }

    /// Releases the role of a sender, and aborts its slot.
    pub fn drop_sender(&self, end: &mut SendEnd) {
        if end.role.is_ours() {
            self.give_up(end);
            end.keeper.release(&self.words().parties.lock);
            end.role.release(&self.senders()[end.claim]);
            Producer::wake_receivers(self.view());
        }
    }

    #[inline(always)]
    fn lock(&self, deadline: Deadline, action: Action) -> Result<Acquired, Error> {
        let me = self.object.me();
        let lock = &self.words().parties.lock;
        match lock.lock(me.bits(), &self.sending_threads(), deadline) {
            Ok(acquired) => Ok(acquired),
            Err(refused) => self.lock_again(me, refused, deadline, action),
        }
    }

    /// Takes the senders' lock after it was refused. A sender that runs has it for a very short time, so a try looks
    /// for it again and again for 30 µs: it fails only if that sender is interrupted, or has a slot reserved.
    #[cold]
    fn lock_again(
        &self,
        me: Holder,
        refused: sync::LockError,
        deadline: Deadline,
        action: Action,
    ) -> Result<Acquired, Error> {
        let lock = &self.words().parties.lock;
        let owner = lock.look().0;
        let is_kept = owner.is_some_and(|owner| keep::place(owner).is_some());
        let again = || {
            // The first try has asked the sender that keeps the lock to release it at the end of its turn. Until then,
            // another try would only make another heavy barrier.
            if is_kept && lock.look().0 == owner {
                return None;
            }
            match lock.lock(me.bits(), &self.sending_threads(), deadline) {
                Err(sync::LockError::TimedOut) => None,
                acquired => Some(acquired),
            }
        };
        let tries = refused == sync::LockError::TimedOut && matches!(deadline, Deadline::Now);
        let acquired = tries.then(|| wait::stay_awake(None, again)).flatten();
        acquired
            .unwrap_or(Err(refused))
            .map_err(|refused| self.not_locked(refused, deadline, action))
    }

    #[cold]
    fn not_locked(&self, refused: sync::LockError, deadline: Deadline, action: Action) -> Error {
        let error = match refused {
            sync::LockError::TimedOut => self.object.late(deadline),
            sync::LockError::Deadlock => self.object.error(ErrorKind::Deadlock),
            // No sender leaves the lock so: another program has overwritten its word.
            sync::LockError::NotRecoverable => {
                return self.object.error(ErrorKind::Damaged).during(action);
            }
        };
        let holder = self.lock_owner().map_or(0, Holder::bits);
        error.during(action).with(What::Sending, 0, holder)
    }

    #[inline(always)]
    fn unlock(&self, end: &mut SendEnd) {
        if self.has_many_senders() && !self.end_kept(end) {
            self.unlock_or_keep(end);
        }
    }

    /// Ends a turn of the senders' lock. Returns false if this end does not keep it.
    #[inline(always)]
    fn end_kept(&self, end: &mut SendEnd) -> bool {
        let lock = &self.words().parties.lock;
        end.keeper.end(lock, &self.seats()[end.claim])
    }

    #[inline(never)]
    fn unlock_or_keep(&self, end: &mut SendEnd) {
        let Parties { lock, kept, .. } = &self.words().parties;
        let seat = (end.claim, &self.seats()[end.claim]);
        let me = self.object.me();
        if end.keeper.keep(lock, me.bits(), seat, kept, end.in_a_row) {
            end.user = User::this_thread(me);
        } else {
            // An error means that another program has overwritten the lock.
            let _ = lock.unlock(&self.object);
        }
    }

    /// Prepares sending: checks that this process is the sender, and finds the end of the ring.
    #[inline(always)]
    fn begin(&self, end: &mut SendEnd, deadline: &Deadline, action: Action) -> Result<(), Error> {
        // A thread has another number in a child made by `fork`.
        let keeps = end
            .keeper
            .thread()
            .is_some_and(|thread| Holder::from_bits(thread).is_mine());
        if keeps && end.reserved.is_none() {
            let Parties { lock, .. } = &self.words().parties;
            if end.keeper.begin(lock, &self.seats()[end.claim]) {
                return Ok(());
            }
        }
        self.expect_ours(&end.role, action)?;
        if end.reserved.is_some() {
            self.give_up(end);
        }
        if self.has_many_senders() {
            return self.begin_locked(end, deadline, action);
        }
        Ok(())
    }

    #[inline(never)]
    fn begin_locked(
        &self,
        end: &mut SendEnd,
        deadline: &Deadline,
        action: Action,
    ) -> Result<(), Error> {
        end.keeper.release(&self.words().parties.lock);
        match self.lock(deadline.or_at(&end.interrupt), action)? {
            Acquired::Clean => end.in_a_row = end.tail.catch_up(self.view()),
            Acquired::OwnerDied => self.put_in_order(end, action)?,
        }
        Ok(())
    }

    /// Finds the ring's end after a sender that died while it had the lock.
    #[cold]
    fn put_in_order(&self, end: &mut SendEnd, action: Action) -> Result<(), Error> {
        let found = Producer::find(self.view());
        // An error means that another program has overwritten the lock.
        let _ = self.words().parties.lock.consistent(&self.object);
        match found {
            Ok(tail) => end.tail = tail,
            Err(_) => {
                self.unlock(end);
                return Err(self.object.error(ErrorKind::Damaged).during(action));
            }
        }
        Ok(())
    }

    /// Sends a message.
    #[inline(always)]
    pub fn send(&self, end: &mut SendEnd, bytes: Source, deadline: &Deadline) -> Result<(), Error> {
        if self.send_at_once(end, bytes) {
            return Ok(());
        }
        self.send_otherwise(end, bytes, deadline)
    }

    /// Sends a message in the most frequent case alone: see [`Producer::send_usual`] and `send_kept`. Returns whether it
    /// was sent.
    #[inline(always)]
    pub fn send_at_once(&self, end: &mut SendEnd, bytes: Source) -> bool {
        if self.has_many_senders() {
            return self.send_kept(end, bytes);
        }
        end.role.is_certainly_ours()
            && end.reserved.is_none()
            && end.tail.send_usual(self.view(), bytes)
    }

    /// Sends a usual message to a ring for many senders if the calling thread keeps their lock. Returns whether it was
    /// sent.
    #[inline(never)]
    fn send_kept(&self, end: &mut SendEnd, bytes: Source) -> bool {
        let lock = &self.words().parties.lock;
        let seat = &self.seats()[end.claim];
        let keeps = end
            .user
            .here()
            .is_some_and(|me| end.keeper.thread() == Some(me.bits()));
        if !keeps || end.reserved.is_some() || !end.keeper.begin(lock, seat) {
            return false;
        }
        let sent = end.tail.send_usual(self.view(), bytes);
        end.keeper.end_turn(lock, seat);
        sent
    }

    /// Sends a message to a ring for one sender if it is short, does not wrap, and is known to have room. Returns
    /// whether it was sent.
    #[inline]
    pub fn send_short(&self, end: &mut SendEnd, bytes: Source) -> bool {
        !self.has_many_senders()
            && end.role.is_ours()
            && end.reserved.is_none()
            && end.tail.send_short(self.view(), bytes)
    }

    /// Sends a message that was not sent at once.
    #[inline(never)]
    fn send_otherwise(
        &self,
        end: &mut SendEnd,
        bytes: Source,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        if self.send_short(end, bytes) {
            return Ok(());
        }
        self.send_slowly(end, bytes, deadline)
    }

    /// Sends a message that `send_short` has not sent.
    #[inline(always)]
    pub fn send_slowly(
        &self,
        end: &mut SendEnd,
        bytes: Source,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        self.begin(end, deadline, Action::Send)?;
        let tail = &mut end.tail;
        // The usual message of one of many senders is sent here, without a call.
        if self.has_many_senders()
            && (tail.send_usual(self.view(), bytes) || tail.send_short(self.view(), bytes))
        {
            self.unlock(end);
            return Ok(());
        }
        self.send_begun(end, bytes, deadline)
    }

    #[cold]
    #[inline(never)]
    fn send_begun(
        &self,
        end: &mut SendEnd,
        bytes: Source,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        let SendEnd {
            tail,
            watch,
            interrupt,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let peers = |asked| self.look_at_receiver(watch, asked);
        let sent = tail.send(self.view(), bytes, deadline, peers);
        let sent = sent
            .map_err(|refused| self.explain(refused, deadline, Action::Send, bytes.len(), watch));
        self.unlock(end);
        sent
    }

    /// Sends messages until one is refused or invalid, and returns how many were sent. Fails if the first
    /// one was not sent.
    pub fn send_batch<'a>(
        &self,
        end: &mut SendEnd,
        mut messages: impl Iterator<Item = Result<Source<'a>, Error>>,
        deadline: Deadline,
    ) -> Result<usize, Error> {
        self.begin(end, &deadline, Action::Send)?;
        let view = self.view();
        let SendEnd {
            tail,
            watch,
            interrupt,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let mut sent = 0;
        let failed = loop {
            let (added, next) = tail.add_short(view, &mut messages);
            sent += added;
            let Some(message) = next else {
                break None;
            };
            let peers = |asked| self.look_at_receiver(watch, asked);
            let added = message.and_then(|message| {
                tail.add(view, message, deadline, peers).map_err(|refused| {
                    self.explain(refused, deadline, Action::Send, message.len(), watch)
                })
            });
            if let Err(error) = added {
                break Some(error);
            }
            sent += 1;
        };
        tail.commit(view);
        self.unlock(end);
        match failed {
            Some(error) => interrupt::end_of_batch(sent, error, &end.interrupt),
            None => Ok(sent),
        }
    }

    /// Finds room for a message: see `slot`. The senders' lock stays locked until `commit` or `abort`.
    #[inline(always)]
    pub fn reserve(&self, end: &mut SendEnd, len: usize, deadline: &Deadline) -> Result<(), Error> {
        if self.reserve_at_once(end, len) {
            return Ok(());
        }
        self.reserve_otherwise(end, len, deadline)
    }

    /// Finds room for a message in the most frequent case alone: see [`Producer::reserve_at_once`]. Returns whether there
    /// is room.
    #[inline(never)]
    fn reserve_at_once(&self, end: &mut SendEnd, len: usize) -> bool {
        if self.has_many_senders() || !end.role.is_certainly_ours() || end.reserved.is_some() {
            return false;
        }
        let Some(offset) = end.tail.reserve_at_once(self.view(), len) else {
            return false;
        };
        let by = end.user.here().unwrap_or_else(|| self.find_user(end));
        end.reserved = Some(Reserved {
            by,
            len,
            offset,
            wraps: false,
        });
        true
    }

    /// Remembers the calling thread as the user of an end, and returns it.
    #[cold]
    fn find_user(&self, end: &mut SendEnd) -> Holder {
        let me = self.object.me();
        end.user = User::this_thread(me);
        me
    }

    #[inline(never)]
    fn reserve_otherwise(
        &self,
        end: &mut SendEnd,
        len: usize,
        deadline: &Deadline,
    ) -> Result<(), Error> {
        self.begin(end, deadline, Action::Reserve)?;
        let reserved = self
            .find_slot(end, len, deadline)
            .inspect_err(|_| self.unlock(end))?;
        end.reserved = Some(reserved);
        Ok(())
    }

    fn find_slot(
        &self,
        end: &mut SendEnd,
        len: usize,
        deadline: &Deadline,
    ) -> Result<Reserved, Error> {
        let view = self.view();
        let SendEnd {
            tail,
            watch,
            buffer,
            interrupt,
            ..
        } = end;
        let deadline = deadline.or_at(interrupt);
        let peers = |asked| self.look_at_receiver(watch, asked);
        let offset = tail
            .reserve_slot(view, len, deadline, peers)
            .map_err(|refused| self.explain(refused, deadline, Action::Reserve, len, watch))?;
        let wraps = view.area.wraps(offset, len);
        if wraps && buffer.allocate(self.room).is_err() {
            tail.abort();
            let error = self.object.error(ErrorKind::OutOfMemory);
            return Err(error.during(Action::Reserve));
        }
        let by_lock = if self.has_many_senders() {
            self.lock_owner()
        } else {
            None
        };
        Ok(Reserved {
            by: by_lock.unwrap_or_else(|| self.object.me()),
            len,
            offset,
            wraps,
        })
    }

    /// Returns where the bytes of the slot are written; `None` if nothing is reserved.
    pub fn slot<'a>(&'a self, end: &'a SendEnd) -> Option<Piece<'a>> {
        let reserved = end.reserved.as_ref()?;
        if reserved.wraps {
            return end.buffer.piece();
        }
        Some(Piece {
            area: self.view().area,
            start: reserved.offset,
        })
    }

    /// Returns whether the calling thread may write and commit what was reserved: it has reserved it
    /// itself, or the ring is for one sender; and no other sender has sent since.
    #[inline(always)]
    pub fn has_slot(&self, end: &SendEnd) -> bool {
        end.role.is_ours()
            && end.reserved.as_ref().is_some_and(|reserved| {
                (!self.has_many_senders() || self.is_locked_by_me(reserved.by))
                    && end.tail.is_last(self.view())
            })
    }

    /// Returns whether a thread is the calling one, and has the senders' lock.
    #[inline(never)]
    fn is_locked_by_me(&self, thread: Holder) -> bool {
        thread.is_mine() && self.is_locked_by(thread)
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
        // A thread of this process, so its id belongs to this PID namespace.
        let may_live = || by.life(|| true) != Life::Dead;
        let is_anothers = end.role.is_ours()
            && !by.is_mine()
            && (!self.has_many_senders() || self.is_locked_by(by))
            && may_live();
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

    /// Returns the thread that has the senders' lock, and does not only keep it.
    fn lock_owner(&self) -> Option<Holder> {
        let (owner, _) = self.words().parties.lock.look();
        let user = self.sending_threads().user(owner?);
        (user != 0).then(|| Holder::from_bits(user))
    }

    fn is_locked_by(&self, thread: Holder) -> bool {
        self.lock_owner() == Some(thread)
    }

    #[cold]
    fn no_slot(&self, end: &SendEnd, action: Action) -> Error {
        let error = self.object.error(ErrorKind::NotOwner).during(action);
        match self.anothers_slot(end) {
            Some(by) => error.with(What::Sending, 0, by.bits()),
            None => error,
        }
    }

    /// Sends the first bytes of what was reserved.
    #[inline]
    pub fn commit(&self, end: &mut SendEnd, len: usize) -> Result<(), Error> {
        if !self.has_slot(end) {
            return Err(self.no_slot(end, Action::Commit));
        }
        if let Some(reserved) = &end.reserved
            && len > reserved.len
        {
            let error = self.object.error(ErrorKind::InvalidArgument);
            let error = error.during(Action::Commit);
            return Err(error.with(What::ShortSlot, len as u64, reserved.len as u64));
        }
        let view = self.view();
        match end.reserved.take() {
            Some(Reserved { wraps: true, .. }) => {
                end.tail.commit_copy(view, end.buffer.source(len))
            }
            _ => end.tail.commit_message(view, len),
        }
        self.unlock(end);
        Ok(())
    }

    /// Aborts what was reserved.
    pub fn abort(&self, end: &mut SendEnd) -> Result<(), Error> {
        if !self.has_slot(end) {
            return Err(self.no_slot(end, Action::Abort));
        }
        self.give_up(end);
        Ok(())
    }

    /// Aborts what was reserved, whichever thread has reserved it, and whether or not that thread still
    /// has the lock: the slot is no longer used, and nothing is written.
    #[inline(never)]
    fn give_up(&self, end: &mut SendEnd) {
        if let Some(reserved) = end.reserved.take() {
            end.tail.abort();
            if self.has_many_senders() {
                // If that thread no longer has the lock, there is nothing to unlock.
                if !self.end_kept(end) {
                    self.words().parties.lock.unlock_for(reserved.by.bits());
                }
            }
        }
    }
}

impl fmt::Debug for SendEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendEnd").finish_non_exhaustive()
    }
}
