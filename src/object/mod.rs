//! Objects: what processes share in a segment, and what all kinds of objects have in common.
//!
//! An object is a segment, or a part of one, that begins with a header (`header`). The header says what the object
//! is, and a process that opens it checks that (`open`). Each kind has a file of its own: `mutex`, `semaphore`,
//! `latest`, `ring`, `broadcast`, `rwlock`, `condvar`. The algorithms over words are in `sync`; the handles are here.

/// The methods about the segment, for every kind of object: `segment_methods!(self, self.object)`.
macro_rules! segment_methods {
    ($self:ident, $object:expr) => {
        /// Returns the segment that the object lies in.
        #[must_use]
        pub fn segment(&$self) -> $crate::Segment {
            $object.segment()
        }

        /// Returns whether that segment has been removed. Then this process still has the object, but a process
        /// that opens it afterwards gets another one. Makes one system call, which takes about 0.3 µs.
        ///
        /// # Errors
        /// Those of [`Attachment::is_removed`](crate::Attachment::is_removed).
        pub fn is_removed(&$self) -> Result<bool, $crate::Error> {
            $object.is_removed()
        }

        /// Removes that segment: its name is free at once, and its memory is freed when the last process has
        /// closed the object.
        ///
        /// # Errors
        /// Those of [`Segment::remove`](crate::Segment::remove).
        pub fn remove(&$self) -> Result<(), $crate::Error> {
            $object.segment().remove()
        }
    };
}

#[macro_use]
pub(crate) mod interrupt;

pub(crate) mod broadcast;
pub(crate) mod checked;
pub(crate) mod condvar;
pub(crate) mod contents;
mod header;
pub(crate) mod latest;
pub(crate) mod mutex;
mod open;
pub(crate) mod place;
pub(crate) mod readiness;
pub(crate) mod ring;
pub(crate) mod role;
pub(crate) mod rwlock;
pub(crate) mod semaphore;
pub(crate) mod several;
mod snapshot;
pub(crate) mod trust;

pub(crate) use crate::kind::Kind;
pub(crate) use {
    open::{Spec, attach_segment},
    snapshot::{SNAPSHOT, Snapshot},
};

use crate::{
    Error, ErrorKind, Plain, Segment, Status, backend, copy,
    error::{Action, Failure, Label, Mismatch, What},
    holder::{self, Holder, Life},
    memory::Shared,
    sync::{Deadline, Ended, Interrupt, Threads},
    sys::{self, Errno},
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use header::{ALIGN, HEADER, Header, PAYLOAD, WORDS};
use place::Memory;

/// What the header of an object says of its payload. Another process may have written any number there.
pub(crate) struct Found {
    /// In bytes, all of them in the segment.
    pub size: usize,
    /// The capacity of a ring or a broadcast in bytes; 0 for other kinds.
    pub capacity: u64,
    /// The options of its kind.
    pub options: u32,
}

/// An object that is ready for use.
#[derive(Debug)]
pub(crate) struct Object {
    memory: Memory,
    /// Whether the caller has opened it for reading only; then it is not written, even if `memory` is writable.
    read_only: bool,
    /// Where the header begins, in `memory`.
    base: NonNull<u8>,
    kind: Kind,
    label: Label,
    /// The IPC namespace in which it was opened.
    ipc_namespace: u64,
    /// The process that has called `introduce`; a forked child has not.
    introduced: AtomicU64,
    /// What ends the waits of this handle.
    interrupt: Shared<Interrupt>,
}

// SAFETY: the address is in memory that is mapped for the whole process as long as `memory` lives, and all access
// is by atomics and by copies that tolerate other writers.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

impl Object {
    fn header(&self) -> &Header {
        // SAFETY: `at` has checked that a whole object lies there, 64-byte aligned; a header is
        // made of atomics, which other processes may write at the same time; and the memory is attached as
        // long as `self` lives.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// Returns the object's own words.
    ///
    /// # Safety
    /// `T` must be made of atomics, and valid whatever its bytes are.
    pub unsafe fn words<T>(&self) -> &T {
        const { assert!(size_of::<T>() <= WORDS && align_of::<T>() <= ALIGN) }
        // SAFETY: as in `header`; the words lie behind the header. The caller has promised what `T` is.
        unsafe { self.base.add(HEADER).cast::<T>().as_ref() }
    }

    /// Returns the address of the payload.
    pub fn payload(&self) -> NonNull<u8> {
        // SAFETY: `at` has checked that the whole object lies in the segment.
        unsafe { self.base.add(PAYLOAD) }
    }

    /// Copies a value out of the payload.
    ///
    /// # Safety
    /// The payload must have a `T`'s bytes at this offset.
    pub unsafe fn value<T: Plain>(&self, offset: usize) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the caller's promise; every pattern of bytes is a `T`, even if another program writes them
        // at the same time.
        unsafe {
            let from = self.payload().as_ptr().add(offset);
            copy::copy_out(from, value.as_mut_ptr().cast(), size_of::<T>());
            value.assume_init()
        }
    }

    /// Copies a value into the payload.
    ///
    /// # Safety
    /// As for [`value`](Object::value), in memory that is attached for writing.
    pub unsafe fn set_value<T: Plain>(&self, offset: usize, value: T) {
        // SAFETY: the caller's promise; `value` is no shared memory.
        unsafe {
            let to = self.payload().as_ptr().add(offset);
            copy::copy_in((&raw const value).cast(), to, size_of::<T>());
        }
    }

    /// Returns the size of the payload of this object, its capacity, and its options, as its header says. Fails if
    /// the segment is too small for that size.
    pub fn found(&self) -> Result<Found, Error> {
        let header = self.header();
        // Relaxed: *ready* has been acquired.
        let size = usize::try_from(header.size.load(Relaxed)).ok();
        let offset = self.base.as_ptr() as usize - self.memory.as_ptr() as usize;
        let end = size.and_then(|size| size.checked_add(PAYLOAD + offset));
        match (size, end) {
            (Some(size), Some(end)) if end <= self.memory.size()? => Ok(Found {
                size,
                capacity: header.capacity.load(Relaxed),
                options: header.options.load(Relaxed),
            }),
            _ => Err(self.malformed("the size does not fit into the segment")),
        }
    }

    /// Returns whether this process may write it.
    pub fn is_writable(&self) -> bool {
        !self.read_only && self.memory.is_writable()
    }

    /// Returns whether its segment has been removed.
    pub fn is_removed(&self) -> Result<bool, Error> {
        self.memory.is_removed()
    }

    /// Returns the id of the segment that it lies in.
    pub fn id(&self) -> i32 {
        self.memory.id()
    }

    /// Returns an error about this object, to which the caller adds the call and the facts.
    #[inline]
    pub fn error(&self, kind: ErrorKind) -> Error {
        Error::object(Failure {
            namespaces: self.header().namespaces(),
            ..failure(kind, self.kind, self.id(), &self.label)
        })
    }

    /// Returns the error for a descriptor that the system does not let this process make.
    #[cold]
    pub fn no_descriptor(&self, errno: Errno) -> Error {
        let error = self
            .error(ErrorKind::OutOfMemory)
            .during(Action::Descriptor);
        error.no_descriptor(errno)
    }

    #[cold]
    fn malformed(&self, what: &'static str) -> Error {
        let error = self.error(ErrorKind::Damaged).during(Action::Open);
        error.mismatch(Mismatch::Header(what))
    }

    /// Returns what ends the waits of this handle.
    pub fn interrupt(&self) -> &Shared<Interrupt> {
        &self.interrupt
    }

    /// Returns the error for a wait that ended without its event. The deadline is the one that was waited for: only
    /// that knows of an interrupt.
    #[inline]
    pub fn late(&self, deadline: Deadline) -> Error {
        self.error(match deadline.why_ended() {
            Ended::AtOnce => ErrorKind::WouldBlock,
            Ended::TimedOut => ErrorKind::TimedOut,
            Ended::Interrupted => ErrorKind::Interrupted,
            Ended::Cancelled => ErrorKind::Cancelled,
        })
    }

    /// Returns the error for peers that are gone. If the wait is cancelled, returns that error instead: the next call
    /// still finds that the peers are gone, but a cancellation would wait for ever.
    pub fn gone(&self, kind: ErrorKind, deadline: Deadline) -> Error {
        if deadline.is_cancelled() {
            self.late(deadline)
        } else {
            self.error(kind)
        }
    }

    /// Fails if this process may not write it.
    pub fn expect_writable(&self) -> Result<(), Error> {
        if self.is_writable() {
            return Ok(());
        }
        let error = self.error(ErrorKind::ReadOnly).during(Action::Open);
        if self.read_only {
            return Err(error.with(What::OpenedReadOnly, 0, 0));
        }
        Err(error)
    }

    /// Returns the segment that it lies in.
    pub fn segment(&self) -> Segment {
        Segment::from_id(self.id())
    }

    /// Makes a liveness check of a holder. A holder whose state is unknown counts as dead if only this process has
    /// the segment attached and the holder does not belong to this process.
    pub fn life(&self, holder: Holder) -> Life {
        match holder.life(|| self.header().is_of_our_namespaces()) {
            Life::Unknown if self.is_attached_here_only() && !holder.may_be_of_this_process() => {
                Life::Dead
            }
            Life::Dead if !self.is_in_its_ipc_namespace() => Life::Unknown,
            life => life,
        }
    }

    fn is_attached_here_only(&self) -> bool {
        let nattch = || Status::of(self.id()).map_or(u64::MAX, |status| status.nattch);
        let here = || {
            let mut here = 0;
            let counted = sys::find_attachment(|mapping| {
                here += u64::from(mapping.id == self.id());
                false
            });
            counted.map_or(1, |_| here)
        };
        // Another thread of this process may attach and detach it between the two counts.
        backend::counts_every_process()
            && self.is_in_its_ipc_namespace()
            && (nattch() <= 1 || {
                let before = here();
                nattch() <= before && here() == before
            })
    }

    /// Returns whether this thread's IPC namespace is the one in which the object was opened: in
    /// another one, its id and the ids of tokens mean nothing.
    fn is_in_its_ipc_namespace(&self) -> bool {
        self.ipc_namespace == holder::ipc_namespace()
    }

    /// Returns the calling thread's number for this object.
    #[inline]
    pub fn me(&self) -> Holder {
        Holder::thread_in(self.ipc_namespace, self.introduce())
    }

    /// Returns the calling thread's number if that takes no system call.
    #[inline(always)]
    pub fn me_if_known(&self) -> Option<Holder> {
        // Both as in `introduce`.
        let is_introduced = Holder::from_bits(self.introduced.load(Acquire)).is_this_process();
        let abroad = self.header().mixed.load(Relaxed) != 0;
        is_introduced
            .then(|| Holder::thread_if_known(self.ipc_namespace, abroad))
            .flatten()
    }

    /// Returns the calling process's number for this object.
    pub fn this_process(&self) -> Holder {
        Holder::process_in(self.ipc_namespace, self.introduce())
    }

    /// Records the namespaces of this process, before a holder's number of it is written here: once in
    /// each process, also in a child that has inherited the object. Returns whether processes of
    /// several namespaces use the object.
    #[inline]
    pub fn introduce(&self) -> bool {
        // Acquire: pairs with the store in `introduce_now`, so that what this thread writes next is ordered after
        // what the other thread has written to the header.
        if !Holder::from_bits(self.introduced.load(Acquire)).is_this_process() {
            self.introduce_now();
        }
        // Relaxed: a process of another namespace that opens it now may be missed.
        self.header().mixed.load(Relaxed) != 0
    }

    #[cold]
    fn introduce_now(&self) {
        let header = self.header();
        let mine = sys::namespaces();
        // Relaxed: the word that follows, the creator's or a lock's, is written with release and read with acquire.
        let first = header.namespace.compare_exchange(0, mine, Relaxed, Relaxed);
        if mine == sys::NO_NAMESPACE || first.is_err_and(|namespace| namespace != mine) {
            header.mixed.store(1, Relaxed);
        }
        // Release: as above.
        self.introduced
            .store(Holder::this_process().bits(), Release);
    }
}

/// Returns an error about an object from which nothing was read.
#[inline]
fn failure(kind: ErrorKind, object: Kind, id: i32, label: &Label) -> Failure {
    Failure {
        kind,
        object,
        action: Action::Use,
        what: What::Nothing,
        id,
        label: label.number(),
        namespaces: 0,
        number: 0,
        other: 0,
    }
}

/// The threads that use the locks of an object.
impl Threads for Object {
    #[inline(always)]
    fn is_mine(&self, owner: u64) -> bool {
        Holder::from_bits(owner).is_mine()
    }

    fn is_dead(&self, owner: u64) -> bool {
        self.life(Holder::from_bits(owner)) == Life::Dead
    }

    fn seems_dead(&self, owner: u64) -> bool {
        self.is_dead(owner)
    }
}
