//! The descriptor of a handle, for `poll(2)`, `epoll(7)`, `select(2)` and event loops.
//!
//! A handle makes its descriptor when the caller first asks for it. From then on, a try that would block makes the
//! descriptor unreadable, enters its number in the object, and tries once more. So the descriptor is readable unless
//! the last try has found nothing and no process has changed the object since. [`sys::Inbox`] makes it readable
//! at intervals as well: for deaths, and for changes by processes that cannot reach it.

use crate::{Error, ErrorKind, holder::Holder, memory::boxed, object::Object, sys::Inbox};
use core::{
    num::NonZeroU32,
    sync::atomic::{
        AtomicPtr,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::Duration,
};
use std::os::fd::BorrowedFd;

/// How long a descriptor stays unreadable at most.
const INTERVAL: Duration = Duration::from_millis(250);

/// The descriptor of a handle, if the caller has asked for it.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// NULL, or from a box. A child made by `fork` that asks for the descriptor puts its own in place of its parent's.
    own: AtomicPtr<Own>,
}

#[derive(Debug)]
struct Own {
    inbox: Inbox,
    /// The process that has made it.
    maker: Holder,
    /// The parent's, in a child that has made its own: freed with it.
    inherited: *mut Own,
}

impl Readiness {
    /// Returns whether a process has asked for the descriptor: this one, or that from which it was forked.
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

    /// Returns the descriptor, which is made if this process has none yet.
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
        // Release: a thread that sees it sees its contents. Acquire: pairs with that.
        let own = match self.own.compare_exchange(before, made, AcqRel, Acquire) {
            Ok(_) => made,
            Err(others) => {
                // SAFETY: no other thread has seen this one.
                drop(unsafe { Box::from_raw(made) });
                others
            }
        };
        // SAFETY: both are from a box, as in `own`.
        Ok(unsafe { &*own })
    }

    /// Returns the result of a try, unless it would block and this process has asked for the descriptor. Then makes the
    /// descriptor unreadable and calls `enter_and_retry`, which enters its number in the object and tries again.
    #[inline]
    pub fn unless_blocked<T>(
        &self,
        tried: Result<T, Error>,
        enter_and_retry: impl FnOnce(NonZeroU32) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match tried {
            Err(error) if self.is_used() && error.kind() == ErrorKind::WouldBlock => {
                self.enter(error, enter_and_retry)
            }
            tried => tried,
        }
    }

    #[cold]
    fn enter<T>(
        &self,
        error: Error,
        enter_and_retry: impl FnOnce(NonZeroU32) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(Own { inbox, .. }) = self.own() else {
            return Err(error);
        };
        inbox.drain();
        let tried = enter_and_retry(inbox.number());
        let is_blocked = matches!(&tried, Err(error) if error.kind() == ErrorKind::WouldBlock);
        if !is_blocked {
            // There may be more, and a caller that tries once each time that the descriptor is readable relies on it.
            inbox.make_readable();
        }
        tried
    }

    /// Makes the descriptor unreadable and calls `enter_and_look`, which enters its number in the object and returns
    /// whether there is something; then makes the descriptor readable again. Returns the same.
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

    /// Returns the number of the descriptor of this process, for the object's last use.
    pub fn number(&self) -> Option<NonZeroU32> {
        self.own().map(|own| own.inbox.number())
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        let mut own = *self.own.get_mut();
        while !own.is_null() {
            // SAFETY: each is from a box, and no reference to it is left. In a child that has inherited it, its descriptors
            // are copies of the parent's.
            own = unsafe { Box::from_raw(own) }.inherited;
        }
    }
}
