//! The publishing end.

use super::{RawBroadcast, fill};
use crate::{
    Error, ErrorKind,
    error::{Action, What},
    memory::Shared,
    object::{checked::Checked, interrupt, role::Role},
    sync::{
        Claim, Deadline, Interrupt, Source,
        broadcast::{BroadcastError, Publisher},
    },
};
use core::{fmt, ptr::NonNull, sync::atomic::Ordering::Relaxed};

/// What the publishing end keeps in this process's own memory.
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

impl RawBroadcast {
    /// Takes the role of the publisher. `interrupt` can end its waits; with `None`, it gets a new one.
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

    /// Prepares publishing: checks that this process is the publisher, and aborts a reserved slot.
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
            Some(error) => interrupt::end_of_batch(published, error, interrupt),
            None => Ok(published),
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

    /// Returns the error for a message of `len` bytes that was not published.
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
}

impl fmt::Debug for PublishEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishEnd").finish_non_exhaustive()
    }
}
