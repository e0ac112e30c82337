//! The descriptor of a handle, for `poll(2)`, `epoll(7)`, `select(2)` and event loops.
//!
//! A handle creates its descriptor when the caller first asks for it. From then on, a try that would block makes the
//! descriptor unreadable, enters its number in the object, and tries once more. So the descriptor is readable unless
//! the last try would have blocked and no process has changed the object since. [`sys::Inbox`] also makes it readable
//! at intervals, so that the caller notices deaths, and changes by processes that cannot reach the descriptor.
//! A cancellation of the handle makes it readable, too, and a try that would block then fails with that error.

use crate::{
    Error, ErrorKind,
    holder::Holder,
    memory::{Shared, boxed},
    object::Object,
    sync::Interrupt,
    sys::Inbox,
};
use core::{
    num::NonZeroU32,
    sync::atomic::{
        AtomicPtr,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::Duration,
};
use std::os::fd::BorrowedFd;

/// The longest time for which a descriptor stays unreadable.
const INTERVAL: Duration = Duration::from_millis(250);

/// The descriptor of a handle, if the caller has asked for it.
#[derive(Debug)]
pub(crate) struct Readiness {
    /// NULL, or from a box. In a child made by `fork` that asks for the descriptor, its own replaces its parent's.
    own: AtomicPtr<Own>,
    /// What ends the waits of the handle.
    interrupt: Shared<Interrupt>,
}

#[derive(Debug)]
struct Own {
    inbox: Inbox,
    /// The process that has created it.
    maker: Holder,
    /// In a child that has created its own: the parent's, which is freed with it.
    inherited: *mut Own,
}

impl Readiness {
    /// Returns one without a descriptor. `interrupt` ends the waits of the handle.
    pub fn new(interrupt: &Shared<Interrupt>) -> Readiness {
        Readiness {
            own: AtomicPtr::default(),
            interrupt: interrupt.clone(),
        }
    }

    /// Returns whether this process, or the one that forked it, has asked for the descriptor.
    #[inline(always)]
    pub fn is_used(&self) -> bool {
        // Relaxed: `own` acquires it.
        !self.own.load(Relaxed).is_null()
    }

    /// Returns the descriptor of this process, if it has asked for it.
    #[inline]
    fn own(&self) -> Option<&Own> {
        // Acquire: pairs with the exchange in `descriptor`.
        let own = self.own.load(Acquire);
        // SAFETY: it is NULL or from a box, which lives as long as `self`, also if a child replaces it.
        let own = unsafe { own.as_ref() }?;
        own.maker.is_mine().then_some(own)
    }

    /// Returns the descriptor, and creates it if this process has none yet.
    pub fn descriptor(&self, object: &Object) -> Result<BorrowedFd<'_>, Error> {
        let own = match self.own() {
            Some(own) => own,
            None => self.make(object)?,
        };
        // SAFETY: it is open as long as `self` lives, as in `own`.
        Ok(unsafe { BorrowedFd::borrow_raw(own.inbox.descriptor()) })
    }

    #[cold]
    fn make(&self, object: &Object) -> Result<&Own, Error> {
        let before = self.own.load(Acquire);
        let inbox = Inbox::new(INTERVAL).map_err(|errno| object.no_descriptor(errno))?;
        let made = Box::into_raw(boxed(Own {
            inbox,
            maker: Holder::this_process(),
            inherited: before,
        })?);
        // Release: a thread that sees the pointer sees what it points to. Acquire: pairs with the release of another
        // thread.
        let own = match self.own.compare_exchange(before, made, AcqRel, Acquire) {
            Ok(_) => made,
            Err(others) => {
                // SAFETY: it is from a box, and no other thread has seen it.
                drop(unsafe { Box::from_raw(made) });
                others
            }
        };
        // SAFETY: both are from a box, as in `own`.
        let own = unsafe { &*own };
        self.interrupt.set_descriptor(own.inbox.number());
        Ok(own)
    }

    /// Returns the result of a try, unless it has failed and this process has asked for the descriptor. If it would
    /// block, makes the descriptor unreadable and calls `enter_and_retry`, which enters its number in the object and
    /// tries again. Takes a cancellation if that lets the next try say the same.
    #[inline]
    pub fn unless_blocked<T>(
        &self,
        tried: Result<T, Error>,
        enter_and_retry: impl FnOnce(NonZeroU32) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match tried {
            Err(error) if self.is_used() => self.after(error, enter_and_retry),
            tried => tried,
        }
    }

    #[cold]
    fn after<T>(
        &self,
        error: Error,
        enter_and_retry: impl FnOnce(NonZeroU32) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(Own { inbox, .. }) = self.own() else {
            return Err(error);
        };
        match error.kind() {
            ErrorKind::WouldBlock => {}
            // The peers are still gone in the next try.
            ErrorKind::Closed | ErrorKind::PeerDied if self.interrupt.take() => {
                return Err(error.cancelled());
            }
            _ => return Err(error),
        }
        inbox.drain();
        let tried = enter_and_retry(inbox.number());
        let is_blocked = matches!(&tried, Err(error) if error.kind() == ErrorKind::WouldBlock);
        // A cancellation since the inbox was drained has made it readable again.
        if is_blocked && !self.interrupt.take() {
            return tried;
        }
        // There may be more, and a caller that tries once each time that the descriptor is readable relies on it.
        inbox.make_readable();
        if is_blocked {
            tried.map_err(Error::cancelled)
        } else {
            tried
        }
    }

    /// Makes the descriptor unreadable and calls `enter_and_look`, which enters its number in the object and returns
    /// whether the object is ready. If it is, makes the descriptor readable again. Returns whether the object is ready.
    pub fn rearm(&self, enter_and_look: impl FnOnce(NonZeroU32) -> bool) -> bool {
        let Some(Own { inbox, .. }) = self.own() else {
            return false;
        };
        inbox.drain();
        let is_ready = enter_and_look(inbox.number());
        if is_ready {
            inbox.make_readable();
        }
        is_ready
    }

    /// Returns the number of this process's descriptor, with which the object removes it at the end.
    pub fn number(&self) -> Option<NonZeroU32> {
        self.own().map(|own| own.inbox.number())
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        let mut own = *self.own.get_mut();
        while !own.is_null() {
            // SAFETY: each is from a box, and no reference to it is left. In a child that has inherited it, its
            // descriptors are copies of the parent's.
            own = unsafe { Box::from_raw(own) }.inherited;
        }
    }
}
