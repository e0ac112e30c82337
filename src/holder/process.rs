//! The numbers of this process, which no child of it may take for its own.
//!
//! A child made by `fork` is noticed in three ways. The numbers are in a page that the kernel clears in
//! a child (`MADV_WIPEONFORK`); a handler clears them, too (`pthread_atfork(3)`); and where the kernel
//! does not clear the page, the process's id is compared each time, because a child that was made
//! without libc's `fork` has run no handler.

use super::{Holder, Names, token};
use crate::sys::{self, Scope};
use core::{
    ffi::c_int,
    ptr,
    sync::atomic::{
        AtomicI32, AtomicPtr, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// The numbers of this process. All zero: it has not asked for them yet.
#[repr(C)]
pub(super) struct Process {
    /// Its number without a token.
    plain: AtomicU64,
    /// The number that its token makes; 0 if it has none.
    token: AtomicU64,
    /// The IPC namespace of the token; 0 before the first try to make one.
    ipc_namespace: AtomicU64,
    /// Not 0 once there could be no token: so that what names the process does not change again.
    no_token: AtomicI32,
    /// Where the page is not cleared in a child, the id of the process that these numbers are of.
    of: AtomicI32,
}

/// The proof that a number is one of those of this process: the word that has it. In a child, the kernel clears the
/// word.
pub(crate) struct Proof(&'static AtomicU64);

impl Proof {
    /// Returns true only if the calling process has the number, for which this was made. May return false although it
    /// has.
    #[inline(always)]
    pub fn holds(&self, holder: Holder) -> bool {
        // Relaxed: the number says nothing of other memory.
        self.0.load(Relaxed) == holder.0
    }
}

static PAGE: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());

/// The same page if the kernel clears it in a child; else `NONE`.
static WIPED: AtomicPtr<Process> = AtomicPtr::new(ptr::from_ref(&NONE).cast_mut());

static NONE: Process = Process::none();

/// Used instead of a page that is cleared.
static NOT_WIPED: Process = Process::none();

/// In `of`, while the numbers are cleared.
const CLEARING: i32 = -1;

impl Process {
    const fn none() -> Process {
        Process {
            plain: AtomicU64::new(0),
            token: AtomicU64::new(0),
            ipc_namespace: AtomicU64::new(0),
            no_token: AtomicI32::new(0),
            of: AtomicI32::new(0),
        }
    }

    /// Returns this process if the kernel clears its page in a child; otherwise, a process without numbers.
    #[inline(always)]
    fn wiped() -> &'static Process {
        // Acquire: as in `current`.
        let page = WIPED.load(Acquire);
        // SAFETY: WIPED is the address of a static or of a page that is never unmapped.
        unsafe { &*page }
    }

    /// Returns whether a number that is not 0 is one of those of this process. May return false for any number.
    #[inline(always)]
    pub fn is_certainly(number: u64) -> bool {
        // Relaxed: no access to other memory depends on the number.
        Process::is_certainly_plain(number) || Process::wiped().token.load(Relaxed) == number
    }

    /// Returns whether a number that is not 0 is that of this process without a token. May return false for any number.
    #[inline(always)]
    pub fn is_certainly_plain(number: u64) -> bool {
        // Relaxed: as in `is_certainly`.
        Process::wiped().plain.load(Relaxed) == number
    }

    /// Returns the proof that a number, which is not 0, is one of those of this process. It never holds if that is
    /// false, or where the kernel does not clear the page in a child.
    pub fn proof(number: u64) -> Proof {
        let process = match Process::current() {
            process if ptr::eq(process, &NOT_WIPED) => &NONE,
            process => process,
        };
        // Relaxed: as in `is_certainly`.
        let is_plain = process.plain.load(Relaxed) == number;
        Proof(if is_plain {
            &process.plain
        } else {
            &process.token
        })
    }

    /// Returns the calling process.
    #[inline(always)]
    pub fn current() -> &'static Process {
        // Acquire: pairs with the exchange in `make`, after which the page is complete.
        let page = PAGE.load(Acquire);
        if page.is_null() {
            return Process::make();
        }
        // SAFETY: PAGE is null, or the address of a static or of a page that is never unmapped.
        let process = unsafe { &*page };
        if ptr::eq(process, &NOT_WIPED) {
            process.forget_parent();
        }
        process
    }

    #[cold]
    fn make() -> &'static Process {
        let (page, room) = match sys::page_wiped_on_fork() {
            Ok((page, true)) => (page.cast(), Some(page)),
            Ok((page, false)) => (ptr::from_ref(&NOT_WIPED).cast_mut(), Some(page)),
            Err(_) => (ptr::from_ref(&NOT_WIPED).cast_mut(), None),
        };
        // Release in AcqRel: a thread that sees the address sees a page of zeroes. Acquire: as in
        // `current`.
        let first = PAGE.compare_exchange(ptr::null_mut(), page, AcqRel, Acquire);
        if let Some(room) = room
            && (first.is_err() || room != page.cast())
        {
            // SAFETY: this function has mapped the page, and its address was not published.
            unsafe { sys::release(room, sys::page_size()) };
        }
        if first.is_ok() {
            if !ptr::eq(page, &NOT_WIPED) {
                // Release: as for PAGE.
                WIPED.store(page, Release);
            }
            // SAFETY: the handler only stores to atomics. If it cannot be registered for lack of
            // memory, the other means remain.
            let _ = unsafe { libc::pthread_atfork(None, None, Some(clear_in_child)) };
        }
        Process::current()
    }

    /// Clears the numbers of the parent. Other threads wait for that, so a signal handler that interrupts
    /// it must not come here: none may use objects.
    #[cold]
    fn forget_parent(&self) {
        let me = sys::process_id();
        loop {
            // Acquire: pairs with the release below; what is then read of the numbers is cleared.
            let of = self.of.load(Acquire);
            if of == me {
                return;
            }
            // Relaxed: if it fails, the load above looks again.
            let first = of != CLEARING
                && self
                    .of
                    .compare_exchange(of, CLEARING, Relaxed, Relaxed)
                    .is_ok();
            if first {
                self.clear();
                // Release: as above.
                self.of.store(me, Release);
                return;
            }
            sys::yield_now();
        }
    }

    fn clear(&self) {
        // Relaxed, all: a new process has one thread; `forget_parent` orders it for others.
        self.plain.store(0, Relaxed);
        self.token.store(0, Relaxed);
        self.ipc_namespace.store(0, Relaxed);
        self.no_token.store(0, Relaxed);
    }

    /// Returns the number of this process without a token; 0 before [`settle`](Process::settle).
    #[inline(always)]
    pub fn plain(&self) -> u64 {
        // Relaxed: the number says nothing of other memory.
        self.plain.load(Relaxed)
    }

    #[inline(always)]
    pub fn names(&self) -> Names {
        // Acquire: pairs with the exchange of `token` in `settle`, so that its namespace is seen.
        let token = self.token.load(Acquire);
        Names {
            plain: self.plain(),
            token,
            // Relaxed: as above.
            ipc_namespace: self.ipc_namespace.load(Relaxed),
        }
    }

    /// Returns the id of its token, if it has one.
    pub fn token(&self) -> Option<c_int> {
        match self.names().token {
            0 => None,
            bits => Some(Holder(bits).token()),
        }
    }

    /// Makes the number of the process if it has none, and a token if it needs one. Returns the token's id.
    #[cold]
    pub fn settle(&self, abroad: bool) -> Option<c_int> {
        let pid = sys::process_id();
        if self.plain() == 0 {
            let plain = Holder::plain(pid, Scope::Process).0;
            // Relaxed, both: as in `plain`. If another thread was first, its number is the one.
            let _ = self.plain.compare_exchange(0, plain, Relaxed, Relaxed);
        }
        let needs_token = self.token().is_none()
            && self.no_token.load(Relaxed) == 0
            && (abroad || !sys::sees_all_processes())
            && self.may_have_token_here();
        match needs_token.then(token::Token::make) {
            None => {}
            Some(None) => self.no_token.store(1, Relaxed),
            Some(Some(token)) => {
                let bits = Holder::of_process_token(token.id(), pid).0;
                // Release: see `names`.
                match self.token.compare_exchange(0, bits, Release, Relaxed) {
                    Ok(_) => token.keep(),
                    Err(_) => drop(token),
                }
            }
        }
        self.token()
    }

    /// Returns whether the token is in this thread's IPC namespace, or would be: that of the first thread
    /// which asks.
    fn may_have_token_here(&self) -> bool {
        let here = super::ipc_namespace();
        // Relaxed, both: see `names`.
        let first = self
            .ipc_namespace
            .compare_exchange(0, here, Relaxed, Relaxed);
        first.is_ok() || first == Err(here)
    }
}

extern "C" fn clear_in_child() {
    // Acquire: as in `current`.
    let page = PAGE.load(Acquire);
    // SAFETY: as in `current`.
    if let Some(process) = unsafe { page.as_ref() } {
        process.clear();
        // Relaxed: as in `clear`. Another thread of the parent may have been about to clear it.
        process.of.store(0, Relaxed);
    }
}
