//! Managed segments: a header that says what a segment holds, and one race-free way to open it.
//!
//! An object is a header of 512 bytes, 512 bytes for the object's own words, and its payload. The
//! header, in the byte order of the machine, so that a program in any language can read it:
//!
//! | offset | bytes | what |
//! |--:|--:|---|
//! | 0 | 8 | `shmkey\r\n` |
//! | 8 | 4 | the order of bytes: 0x01020304 as this machine writes it |
//! | 12 | 4 | the width of a pointer in bits: 64 |
//! | 16 | 4 | the version of this layout: 2 |
//! | 20 | 4 | what it holds: 1 a mutex, 2 a semaphore, 3 a latest value, 4 a ring |
//! | 24 | 4 | 0 nothing yet, 1 being made, 2 ready (a futex) |
//! | 28 | 4 | 1 once a process of other namespaces than the maker's has opened it: holders need tokens |
//! | 32 | 8 | the maker: the number of a thread, as in `holder` |
//! | 40 | 8 | the maker's namespaces: the inode numbers of `/proc/self/ns/pid` (lower half) and `time` |
//! | 48 | 8 | when it was made, in seconds since 1970 |
//! | 56 | 8 | the size of the payload in bytes |
//! | 64 | 8 | the alignment of the payload in bytes: 64 |
//! | 72 | 8 | the fingerprint of the payload's layout: FNV-1a of its name, size and alignment |
//! | 80 | 4 | the length of the key's text |
//! | 84 | 4 | the length of the layout's name |
//! | 88 | 4 | options of what it holds: of a latest value its size; of a ring, bit 0 many senders, bit 1 drops the oldest |
//! | 96 | 8 | the file that its key was made from: FNV-1a of device, inode number and project id; 0 if it was opened by its name or key |
//! | 128 | 256 | the key's text: the name it was opened by; none if it was opened by a path or by its key |
//! | 384 | 128 | the layout's name |
//! | 512 | 512 | the object's own words |
//! | 1024 | | the payload |
//!
//! A segment that was made for an object has a size that is 1 more than a multiple of 64. Segments
//! of other programs seldom have, so a tool that lists all segments knows where to look, and need
//! not attach what is none of its business.
//!
//! The words of holders (the maker, a lock's owner, the processes that have a role) are numbers of
//! 64 bits, which `holder` documents; a lock keeps its flags in their two lowest bits.
//!
//! How one process makes it, and the others wait, is in `sync::ready`. Everything that is read from
//! a header is checked against what this process knows by itself, and never read again.

use crate::{
    Attachment, Error, ErrorKind, Key, Segment, attachment, copy,
    error::{Action, Failure, Label, Mismatch, Shape, What, fold},
    hash::fnv1a,
    holder::{self, Holder, Life},
    place::{Origin, Place, Site},
    status::Status,
    sync::{Deadline, MAGIC, READY, Ready, Sleep, State, Threads},
    sys::{self, futex},
};
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicU8, AtomicU32, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};
use std::{sync::Arc, time::SystemTime};

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Mutex = 1,
    Semaphore = 2,
    Latest = 3,
    Ring = 4,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Mutex, Kind::Semaphore, Kind::Latest, Kind::Ring];

    /// Returns whether a process that may only read it can use it.
    fn can_be_read_only(self) -> bool {
        self == Kind::Latest
    }

    /// Returns its name for error messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mutex => "mutex",
            Kind::Semaphore => "semaphore",
            Kind::Latest => "latest value",
            Kind::Ring => "ring",
        }
    }
}

/// What an object must be for this process: all of it known here, nothing taken from the segment.
pub(crate) struct Spec<'a> {
    pub kind: Kind,
    /// The payload's size in bytes; 0 with `any_size` takes an object as it is.
    pub size: usize,
    pub any_size: bool,
    /// The name of its layout, at most 128 bytes; may be empty.
    pub layout: &'a str,
    /// What the kind's own options are; all who open it must have the same, if they say which.
    pub options: Option<u32>,
}

const HEADER: usize = 512;
const WORDS: usize = 512;
const PAYLOAD: usize = HEADER + WORDS;
/// The alignment of an object in its segment, and of its payload.
const ALIGN: usize = 64;

const ORDER: u32 = 0x0102_0304;
const WIDTH: u32 = usize::BITS;
const VERSION: u32 = 2;

/// The header as it lies in the segment.
#[repr(C)]
struct Header {
    magic: AtomicU64,
    order: AtomicU32,
    width: AtomicU32,
    version: AtomicU32,
    kind: AtomicU32,
    state: AtomicU32,
    mixed: AtomicU32,
    maker: AtomicU64,
    namespace: AtomicU64,
    made: AtomicU64,
    size: AtomicU64,
    align: AtomicU64,
    fingerprint: AtomicU64,
    key_len: AtomicU32,
    layout_len: AtomicU32,
    options: AtomicU32,
    reserved: AtomicU32,
    file: AtomicU64,
    reserved_words: [AtomicU32; 6],
    key: [AtomicU8; 256],
    layout: [AtomicU8; 128],
}

const _: () = assert!(size_of::<Header>() == HEADER);

impl Header {
    /// Returns whether the ids of all holders in this object belong to this process' PID namespace.
    fn is_of_our_namespaces(&self) -> bool {
        // Relaxed: both were written before any number from there was (see `introduce`), and that
        // number was read with acquire.
        let mine = sys::namespaces();
        mine != sys::NO_NAMESPACE
            && self.mixed.load(Relaxed) == 0
            && self.namespace.load(Relaxed) == mine
    }

    /// Returns the namespaces that the holders' ids belong to, for an error that is displayed later.
    fn namespaces(&self) -> u32 {
        // Relaxed: as above; and the text says so if it is wrong.
        match self.mixed.load(Relaxed) {
            0 => fold(self.namespace.load(Relaxed)),
            _ => 0,
        }
    }
}

/// A copy of the beginning of an object, to look at.
#[repr(C, align(64))]
pub(crate) struct Snapshot {
    header: Header,
    /// Atomics, because `words` makes a reference to a type that is made of atomics, which must not be
    /// derived from a reference to memory that does not change.
    words: [AtomicU64; WORDS / 8],
    /// The words that the payload begins with.
    payload: [AtomicU64; (SNAPSHOT - PAYLOAD) / 8],
}

const _: () = assert!(size_of::<Snapshot>() == SNAPSHOT);

/// The size of a snapshot: what is looked at, of any object.
pub(crate) const SNAPSHOT: usize = PAYLOAD + 512;

impl Snapshot {
    /// Takes as many bytes as there are; the rest is taken as zeroes.
    pub fn new(bytes: &[u8]) -> Box<Snapshot> {
        // SAFETY: a snapshot is integers and atomics, for which all bytes will do.
        let mut snapshot: Box<Snapshot> = unsafe { Box::new(core::mem::zeroed()) };
        let len = bytes.len().min(SNAPSHOT);
        // SAFETY: both have so many bytes, and the box is ours alone.
        unsafe {
            let to: *mut Snapshot = &mut *snapshot;
            to.cast::<u8>()
                .copy_from_nonoverlapping(bytes.as_ptr(), len);
        }
        snapshot
    }

    /// What it says that it is, if it is an object of this machine and this version.
    pub fn kind(&self) -> Option<Kind> {
        let header = &self.header;
        // Relaxed, here and below: nobody else has this copy.
        let known = header.magic.load(Relaxed) == MAGIC
            && header.order.load(Relaxed) == ORDER
            && header.width.load(Relaxed) == WIDTH
            && header.version.load(Relaxed) == VERSION;
        let kind = header.kind.load(Relaxed);
        let mut all = Kind::ALL.into_iter();
        all.find(|&known_kind| known && known_kind as u32 == kind)
    }

    /// Whether it is ready for use.
    pub fn is_ready(&self) -> bool {
        self.header.state.load(Relaxed) == READY
    }

    pub fn maker(&self) -> Holder {
        Holder::from_bits(self.header.maker.load(Relaxed))
    }

    /// When it was made, in seconds since 1970.
    pub fn made(&self) -> u64 {
        self.header.made.load(Relaxed)
    }

    /// The size of the payload, in bytes.
    pub fn size(&self) -> u64 {
        self.header.size.load(Relaxed)
    }

    pub fn options(&self) -> u32 {
        self.header.options.load(Relaxed)
    }

    /// The name that it was opened by.
    pub fn name(&self) -> Vec<u8> {
        text_of(&self.header.key, &self.header.key_len)
    }

    /// Returns the hash of the file and project id that its key was made from; 0 for none.
    pub fn file(&self) -> u64 {
        self.header.file.load(Relaxed)
    }

    /// The name of its layout.
    pub fn layout(&self) -> Vec<u8> {
        text_of(&self.header.layout, &self.header.layout_len)
    }

    /// Returns whether a holder is live, dead or unknown to this process.
    pub fn life(&self, holder: Holder) -> Life {
        holder.life(|| self.header.is_of_our_namespaces())
    }

    /// Returns whether a holder's id is known to be one of this process' PID namespace.
    pub fn has_id_here(&self, holder: Holder) -> bool {
        holder.has_id_here(|| self.header.is_of_our_namespaces())
    }

    /// The object's own words.
    ///
    /// # Safety
    /// `T` must be made of atomics, and valid whatever its bytes are.
    pub unsafe fn words<T>(&self) -> &T {
        const { assert!(size_of::<T>() <= WORDS && align_of::<T>() <= ALIGN) }
        // SAFETY: the words begin at a multiple of 64 of a structure with that alignment, and there
        // are enough of them. They are atomics, which may change, as those of `T`. The caller vouches
        // for `T`.
        unsafe { &*self.words.as_ptr().cast() }
    }

    /// The words that the payload begins with.
    pub fn payload(&self) -> impl Iterator<Item = u64> {
        self.payload.iter().map(|word| word.load(Relaxed))
    }
}

fn text_of(room: &[AtomicU8], len: &AtomicU32) -> Vec<u8> {
    let len = (len.load(Relaxed) as usize).min(room.len());
    room[..len].iter().map(|byte| byte.load(Relaxed)).collect()
}

impl Spec<'_> {
    /// The bytes that the whole object takes.
    fn total(&self) -> Option<usize> {
        PAYLOAD.checked_add(self.size)
    }

    /// The size of a segment that is made for it.
    fn segment_size(&self) -> Option<usize> {
        self.total()?
            .checked_next_multiple_of(ALIGN)?
            .checked_add(1)
    }

    /// Returns the same for an error message.
    fn shape(&self) -> Shape {
        Shape {
            kind: self.kind,
            size: (!self.any_size).then_some(self.size as u64),
            options: self.options,
            layout: self.layout.as_bytes().into(),
        }
    }

    fn fingerprint(&self, size: u64) -> u64 {
        let numbers = [size, ALIGN as u64].map(u64::to_le_bytes);
        fnv1a(self.layout.bytes().chain(numbers.into_iter().flatten()))
    }
}

/// An object that is ready for use.
#[derive(Debug)]
pub(crate) struct Object {
    memory: Arc<Attachment>,
    /// The caller has asked for reading only: it is not written, even if `memory` is writable.
    read_only: bool,
    /// Where the header begins, in `memory`.
    base: NonNull<u8>,
    kind: Kind,
    label: Label,
    /// The IPC namespace in which it was opened.
    ipc_namespace: u64,
    /// The process that has introduced itself (see `introduce`): a forked child has not.
    introduced: AtomicU64,
}

// SAFETY: an object is an address in memory that is mapped for the whole process as long as
// `memory` is, and what is done there is done by atomics and by copies that tolerate other writers.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

impl Object {
    /// Opens an object; the first one to do so makes it. `init` sets the object's words, which are
    /// all zero before.
    pub fn open(place: &Place, spec: &Spec, init: impl Fn(&Object)) -> Result<Object, Error> {
        let deadline = Deadline::after(place.timeout);
        check(place, spec)?;
        match &place.site {
            Site::Within { memory, .. } => {
                let object = Object::at(Arc::clone(memory), place, memory.size()?, spec)?;
                object.meet(place, spec, deadline, init)?;
                Ok(object)
            }
            Site::Key { key, .. } => loop {
                // Another process may remove the segment after it was found. Then the result for that
                // segment, success or failure, does not count: another one is found or made.
                let (memory, size) = attach(*key, place, spec, deadline)?;
                let object = Object::at(memory, place, size, spec)?;
                let met = object.meet(place, spec, deadline, &init);
                if !object.is_removed().unwrap_or(false) || deadline.is_over() {
                    return met.map(|()| object);
                }
            },
        }
    }

    /// Returns the object that begins at a place in a segment of at least `size` bytes.
    fn at(
        memory: Arc<Attachment>,
        place: &Place,
        size: usize,
        spec: &Spec,
    ) -> Result<Object, Error> {
        let offset = place.site.offset();
        let label = Label::new(place.site.label(memory.id()));
        if !offset.is_multiple_of(ALIGN) {
            return Err(Error::invalid(
                "open",
                "the offset of an object is a multiple of 64",
            ));
        }
        let end = spec.total().and_then(|total| offset.checked_add(total));
        if end.is_none_or(|end| end > size) {
            return Err(if offset == 0 && size < HEADER {
                truncated(spec.kind, memory.id(), label, size)
            } else {
                Error::out_of_range(
                    memory.id(),
                    offset,
                    spec.total().unwrap_or(usize::MAX),
                    size,
                )
            });
        }
        // SAFETY: the offset is inside the segment, as checked.
        let base = unsafe { memory.as_ptr().add(offset) };
        let base = NonNull::new(base).ok_or_else(|| Error::invalid("open", "no memory"))?;
        Ok(Object {
            memory,
            read_only: place.read_only,
            base,
            kind: spec.kind,
            label,
            ipc_namespace: holder::ipc_namespace(),
            introduced: AtomicU64::new(0),
        })
    }

    fn header(&self) -> &Header {
        // SAFETY: `at` has checked that a whole object lies there, 64-byte aligned; a header is
        // made of atomics, so others may write meanwhile; and the memory is attached as long as
        // `self` lives.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// The object's own words.
    ///
    /// # Safety
    /// `T` must be made of atomics, and valid whatever its bytes are.
    pub unsafe fn words<T>(&self) -> &T {
        const { assert!(size_of::<T>() <= WORDS && align_of::<T>() <= ALIGN) }
        // SAFETY: as in `header`; the words come behind it. The caller vouches for `T`.
        unsafe { self.base.add(HEADER).cast::<T>().as_ref() }
    }

    /// Where the payload begins.
    pub fn payload(&self) -> NonNull<u8> {
        // SAFETY: `at` has checked that the whole object lies in the segment.
        unsafe { self.base.add(PAYLOAD) }
    }

    /// The size of the payload that this object has, and its options: what its header says, as far
    /// as the segment has room for it.
    pub fn found(&self) -> Result<(usize, u32), Error> {
        let header = self.header();
        // Relaxed: *ready* has been acquired.
        let size = usize::try_from(header.size.load(Relaxed)).ok();
        let offset = self.base.as_ptr() as usize - self.memory.as_ptr() as usize;
        let end = size.and_then(|size| size.checked_add(PAYLOAD + offset));
        match (size, end) {
            (Some(size), Some(end)) if end <= self.memory.size()? => {
                Ok((size, header.options.load(Relaxed)))
            }
            _ => Err(self.malformed("the size does not fit into the segment")),
        }
    }

    /// Whether this process may write it.
    pub fn is_writable(&self) -> bool {
        !self.read_only && self.memory.is_writable()
    }

    /// Returns whether its segment was removed: a process that opens it anew gets another one.
    pub fn is_removed(&self) -> Result<bool, Error> {
        self.memory.is_removed()
    }

    /// The id of the segment it lies in.
    pub fn id(&self) -> i32 {
        self.memory.id()
    }

    /// Returns an error about this object. The caller adds the call, and the facts.
    #[inline]
    pub fn error(&self, kind: ErrorKind) -> Error {
        Error::object(Failure {
            namespaces: self.header().namespaces(),
            ..failure(kind, self.kind, self.id(), &self.label)
        })
    }

    #[cold]
    fn malformed(&self, what: &'static str) -> Error {
        let error = self.error(ErrorKind::Damaged).during(Action::Open);
        error.mismatch(Mismatch::Header(what))
    }

    /// The error for something that was not possible in time.
    #[inline]
    pub fn late(&self, deadline: Deadline) -> Error {
        self.error(match deadline {
            Deadline::Now => ErrorKind::WouldBlock,
            Deadline::At(_) | Deadline::Never => ErrorKind::TimedOut,
        })
    }

    pub fn expect_writable(&self) -> Result<(), Error> {
        if self.is_writable() {
            Ok(())
        } else if self.read_only {
            Err(Error::asked_read_only(
                "write",
                "the object was opened for reading only; open it without SHM_RDONLY (Place::read_only) to write",
            ))
        } else {
            Err(self.error(ErrorKind::ReadOnly).during(Action::Open))
        }
    }

    /// The segment it lies in.
    pub fn segment(&self) -> Segment {
        Segment::from_id(self.id())
    }

    /// Makes a liveness check of a holder. One whose state is unknown is dead if only this process has
    /// the segment attached, and the holder does not belong to this process.
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
        // Another thread of this process may attach and detach it meanwhile.
        self.is_in_its_ipc_namespace()
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

    /// Makes the object, or waits until it is made, and checks that it is what it should be.
    fn meet(
        &self,
        place: &Place,
        spec: &Spec,
        deadline: Deadline,
        init: impl Fn(&Object),
    ) -> Result<(), Error> {
        let header = self.header();
        let ready = Ready {
            magic: &header.magic,
            state: &header.state,
            maker: &header.maker,
        };
        let mut sleep = Sleep::until(deadline);
        loop {
            let state = match ready.look(|| self.is_blank()) {
                State::Ready => {
                    self.verify(&place.site, spec)?;
                    return self.expect_usable();
                }
                State::Foreign => return Err(self.foreign()),
                State::Damaged => return Err(self.malformed("the state is not valid")),
                State::Unmade(state) => state,
            };
            if place.create && self.is_writable() {
                let me = self.me().bits();
                let is_dead = |maker| self.is_dead(maker);
                if ready.make(me, is_dead, |after_another| {
                    self.write(&place.site, spec, after_another, &init);
                }) {
                    futex::wake(&header.state, u32::MAX >> 1);
                    continue;
                }
            }
            self.expect_usable()?;
            // No process finds a removed segment by its key: `open` goes on with the next one.
            let is_in_vain =
                matches!(place.site, Site::Key { .. }) && self.is_removed().unwrap_or(false);
            if is_in_vain || !sleep.on(&header.state, state) {
                // Relaxed: only to be shown.
                let maker = header.maker.load(Relaxed);
                let error = self.error(ErrorKind::TimedOut).during(Action::Open);
                return Err(error.with(What::Maker, 0, maker));
            }
        }
    }

    /// Fails if this process cannot write, and the kind of object cannot be used without that.
    fn expect_usable(&self) -> Result<(), Error> {
        if self.kind.can_be_read_only() {
            return Ok(());
        }
        self.expect_writable()
    }

    #[cold]
    fn foreign(&self) -> Error {
        self.error(ErrorKind::Foreign).during(Action::Open)
    }

    /// Nobody has written a header here: all is zero but what those write who are about to.
    fn is_blank(&self) -> bool {
        let header = self.header();
        let words = [
            &header.order,
            &header.width,
            &header.version,
            &header.kind,
            &header.state,
            &header.key_len,
            &header.layout_len,
            &header.options,
            &header.reserved,
        ];
        let longs = [
            &header.made,
            &header.size,
            &header.align,
            &header.fingerprint,
            &header.file,
        ];
        // Relaxed: see `Ready::look`.
        words.iter().all(|word| word.load(Relaxed) == 0)
            && longs.iter().all(|long| long.load(Relaxed) == 0)
            && header
                .reserved_words
                .iter()
                .all(|word| word.load(Relaxed) == 0)
            && header
                .key
                .iter()
                .chain(&header.layout)
                .all(|byte| byte.load(Relaxed) == 0)
    }

    /// Returns the calling thread's number for this object.
    #[inline]
    pub fn me(&self) -> Holder {
        Holder::thread_in(self.ipc_namespace, self.introduce())
    }

    /// The same if it takes no system call.
    #[inline(always)]
    pub fn me_if_known(&self) -> Option<Holder> {
        // Both as in `introduce`.
        let is_introduced = Holder::from_bits(self.introduced.load(Acquire)).is_mine();
        let abroad = self.header().mixed.load(Relaxed) != 0;
        is_introduced
            .then(|| Holder::thread_if_known(self.ipc_namespace, abroad))
            .flatten()
    }

    /// Returns the calling process' number for this object.
    pub fn this_process(&self) -> Holder {
        Holder::process_in(self.ipc_namespace, self.introduce())
    }

    /// Records the namespaces of this process, before a holder's number of it is written here: once in
    /// each process, also in a child that has inherited the object. Returns whether processes of
    /// several namespaces use the object.
    #[inline]
    pub fn introduce(&self) -> bool {
        // Acquire: pairs with the store in `introduce_now`, so that what this thread writes next comes
        // behind what the other thread has written to the header.
        if !Holder::from_bits(self.introduced.load(Acquire)).is_mine() {
            self.introduce_now();
        }
        // Relaxed: a process of another namespace that opens it now may be missed.
        self.header().mixed.load(Relaxed) != 0
    }

    #[cold]
    fn introduce_now(&self) {
        let header = self.header();
        let mine = sys::namespaces();
        // Relaxed: what comes later, the maker's or a lock's word, is written with release and read
        // with acquire.
        let first = header.namespace.compare_exchange(0, mine, Relaxed, Relaxed);
        if mine == sys::NO_NAMESPACE || first.is_err_and(|namespace| namespace != mine) {
            header.mixed.store(1, Relaxed);
        }
        // Release: as above.
        self.introduced
            .store(Holder::this_process().bits(), Release);
    }

    /// Writes the header, and has `init` write the rest. Only for the maker.
    fn write(&self, site: &Site, spec: &Spec, after_another: bool, init: impl Fn(&Object)) {
        let header = self.header();
        // Relaxed, from here on: *ready* releases all of it.
        header.order.store(ORDER, Relaxed);
        header.width.store(WIDTH, Relaxed);
        header.version.store(VERSION, Relaxed);
        header.kind.store(spec.kind as u32, Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        header
            .made
            .store(now.map_or(0, |time| time.as_secs()), Relaxed);
        header.size.store(spec.size as u64, Relaxed);
        header.align.store(ALIGN as u64, Relaxed);
        header
            .fingerprint
            .store(spec.fingerprint(spec.size as u64), Relaxed);
        header.options.store(spec.options.unwrap_or(0), Relaxed);
        header.file.store(site.file(), Relaxed);
        put_text(&header.key, &header.key_len, site.name());
        put_text(&header.layout, &header.layout_len, spec.layout.as_bytes());
        if after_another {
            self.clear(spec);
        }
        init(self);
    }

    /// Makes the words and the payload zero again, after a maker that died while writing them.
    fn clear(&self, spec: &Spec) {
        let zeroes = [0; 4096];
        let mut offset = HEADER;
        while offset < PAYLOAD + spec.size {
            let len = zeroes.len().min(PAYLOAD + spec.size - offset);
            // SAFETY: `at` has checked that the whole object lies in the segment, which is writable
            // (else this process would not make it).
            unsafe { copy::copy_in(zeroes.as_ptr(), self.base.as_ptr().add(offset), len) };
            offset += len;
        }
    }

    /// Checks that a header that is ready is the one that is wanted.
    fn verify(&self, site: &Site, spec: &Spec) -> Result<(), Error> {
        let header = self.header();
        let wrong = |kind, mismatch| {
            let error = self.error(kind).during(Action::Open);
            Err(error.mismatch(mismatch))
        };
        // Relaxed: *ready* has been acquired.
        let order = header.order.load(Relaxed);
        let width = header.width.load(Relaxed);
        if order == ORDER.swap_bytes() {
            return wrong(ErrorKind::WrongMachine, Mismatch::Machine { width: None });
        }
        if order == ORDER && width != WIDTH {
            let width = Some(width);
            return wrong(ErrorKind::WrongMachine, Mismatch::Machine { width });
        }
        let lengths = (
            header.key_len.load(Relaxed),
            header.layout_len.load(Relaxed),
        );
        if order != ORDER {
            return Err(self.malformed("the byte order is not valid"));
        }
        if lengths.0 > 256 || lengths.1 > 128 {
            return Err(self.malformed("the length of a name is larger than its room"));
        }
        let version = header.version.load(Relaxed);
        if version != VERSION {
            let (found, known) = (version, VERSION);
            return wrong(ErrorKind::WrongVersion, Mismatch::Version { found, known });
        }
        // If one of the two was opened by a number, there is nothing to compare.
        let file = header.file.load(Relaxed);
        let is_number = |len: usize, file: u64| len == 0 && file == 0;
        let same_key = file == site.file() && has_text(&header.key, lengths.0, site.name());
        if !same_key
            && !is_number(lengths.0 as usize, file)
            && !is_number(site.name().len(), site.file())
        {
            let found = text_of(&header.key, &header.key_len).into();
            let wanted = site.name().into();
            return wrong(ErrorKind::KeyCollision, Mismatch::Name { found, wanted });
        }
        let found = header.kind.load(Relaxed);
        if found != spec.kind as u32 {
            let wanted = spec.kind;
            return wrong(ErrorKind::WrongKind, Mismatch::Kind { found, wanted });
        }
        let size = header.size.load(Relaxed);
        let options = header.options.load(Relaxed);
        let same = (spec.any_size || size == spec.size as u64)
            && header.align.load(Relaxed) == ALIGN as u64
            && header.fingerprint.load(Relaxed) == spec.fingerprint(size)
            && spec.options.is_none_or(|wanted| wanted == options)
            && has_text(&header.layout, lengths.1, spec.layout.as_bytes());
        if !same {
            let wanted = spec.shape();
            let made = Shape {
                kind: spec.kind,
                size: wanted.size.is_some().then_some(size),
                options: wanted.options.is_some().then_some(options),
                layout: text_of(&header.layout, &header.layout_len).into(),
            };
            return wrong(ErrorKind::WrongLayout, Mismatch::Shape { made, wanted });
        }
        if self.is_writable() {
            self.introduce();
        }
        Ok(())
    }
}

/// Returns an error about an object of which nothing was read.
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

/// Returns the error for a segment that is too small for an object.
#[cold]
fn truncated(object: Kind, id: i32, label: Label, size: usize) -> Error {
    let failure = failure(ErrorKind::Truncated, object, id, &label);
    let error = Error::object(failure).during(Action::Open);
    error.with(What::Size, size as u64, 0)
}

fn put_text(room: &[AtomicU8], len: &AtomicU32, text: &[u8]) {
    // Relaxed: *ready* releases it.
    for (byte, &value) in room.iter().zip(text.iter().chain(core::iter::repeat(&0))) {
        byte.store(value, Relaxed);
    }
    len.store(text.len() as u32, Relaxed);
}

fn has_text(room: &[AtomicU8], len: u32, text: &[u8]) -> bool {
    // Relaxed: *ready* has been acquired.
    len as usize == text.len()
        && room
            .iter()
            .zip(text)
            .all(|(byte, &value)| byte.load(Relaxed) == value)
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

/// Refuses what cannot be opened, before anything is created.
fn check(place: &Place, spec: &Spec) -> Result<(), Error> {
    let refuse = |why| Err(Error::invalid("open", why));
    if spec.layout.len() > 128 {
        return refuse("the name of an object's layout has at most 128 bytes");
    }
    if place.read_only && !spec.kind.can_be_read_only() {
        return Err(Error::asked_read_only(
            "open",
            "every process that uses a mutex, a semaphore or a ring writes it, also one that only waits or \
             receives; open it without SHM_RDONLY (Place::read_only)",
        ));
    }
    match &place.site {
        Site::Key {
            origin: Origin::Name(name),
            ..
        } if name.is_empty() => Err(Error::empty_name()),
        Site::Key {
            origin: Origin::Name(name),
            ..
        } if name.len() > 256 => refuse("the name of an object has at most 256 bytes"),
        Site::Key { key, .. } if key.is_private() => {
            refuse("nobody finds an object in a private segment; attach one and use Place::within")
        }
        Site::Key { .. } if place.create && place.mode & 0o600 != 0o600 => {
            Err(Error::object_mode(place.mode))
        }
        _ => Ok(()),
    }
}

/// Finds or creates the segment of an object, and attaches it: for reading only where no more is
/// allowed.
fn attach(
    key: Key,
    place: &Place,
    spec: &Spec,
    deadline: Deadline,
) -> Result<(Arc<Attachment>, usize), Error> {
    let (Some(total), Some(size)) = (spec.total(), spec.segment_size()) else {
        return Err(Error::invalid("open", "the object is too large"));
    };
    loop {
        let create = || {
            let mut options = Segment::options();
            options.create(true).size(size).mode(place.mode).open(key)
        };
        let open = || Segment::options().size(total).open(key);
        let segment = match place.create {
            true => create().or_else(|error| match error.kind() {
                // Made by somebody else, and perhaps just large enough.
                ErrorKind::TooSmall => open(),
                _ => Err(error),
            }),
            false => open(),
        };
        let attached = match segment {
            Ok(segment) => attach_segment(&segment, place.read_only).inspect_err(|_| {
                if place.create {
                    remove_if_just_made(&segment);
                }
            }),
            // Something else lies there. It says itself what it is.
            Err(error) if error.kind() == ErrorKind::TooSmall => {
                return Err(what_is_there(key, place, spec).err().unwrap_or(error));
            }
            Err(error) => return Err(error),
        };
        match attached {
            Err(error)
                if matches!(error.kind(), ErrorKind::NoSuchSegment | ErrorKind::Removed)
                    && !deadline.is_over() => {}
            attached => {
                let memory = attached?;
                // Before it was attached, the segment could be removed and its id be given to a smaller one.
                let size = attachment::size_of_attached(memory.id())?;
                return Ok((Arc::new(memory), size));
            }
        }
    }
}

/// Attaches a segment for an object: for reading only if the caller asks for that, or if its mode allows
/// only reading.
pub(crate) fn attach_segment(segment: &Segment, read_only: bool) -> Result<Attachment, Error> {
    if read_only {
        return segment.attach_read_only();
    }
    match segment.attach() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => segment.attach_read_only(),
        attached => attached,
    }
}

/// Removes a segment that this process has created and nobody has attached: else it would stay, and
/// nobody would know of it.
fn remove_if_just_made(segment: &Segment) {
    let unused = segment.status().is_ok_and(|status| {
        status.nattch == 0 && status.attached_at.is_none() && status.cpid == sys::process_id()
    });
    if unused {
        // If it is gone already, all the better.
        let _ = segment.remove();
    }
}

/// The error that describes a segment that is too small to be what is wanted.
fn what_is_there(key: Key, place: &Place, spec: &Spec) -> Result<(), Error> {
    let memory = Arc::new(Segment::open(key)?.attach_read_only()?);
    let size = memory.size()?;
    if size < PAYLOAD {
        let label = Label::new(place.site.label(memory.id()));
        return Err(truncated(spec.kind, memory.id(), label, size));
    }
    let small = Spec { size: 0, ..*spec };
    let read_only = Place {
        read_only: true,
        ..place.clone()
    };
    let object = Object::at(memory, &read_only, size, &small)?;
    match object.header().magic.load(Acquire) {
        MAGIC => object.verify(&place.site, spec),
        _ => Err(object.foreign()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Counter;

    /// For Miri: the bytes of a segment become words that are looked at as atomics.
    #[test]
    fn a_snapshot_is_looked_at_as_what_it_holds() {
        let mut bytes = [0; SNAPSHOT];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, b"shmkey\r\n");
        put(8, &ORDER.to_ne_bytes());
        put(12, &WIDTH.to_ne_bytes());
        put(16, &VERSION.to_ne_bytes());
        put(20, &(Kind::Semaphore as u32).to_ne_bytes());
        put(80, &4_u32.to_ne_bytes());
        put(128, b"name");
        put(HEADER, &14_u32.to_ne_bytes()); // a count of 7, and a bit beside it
        put(PAYLOAD + 8, &9_u64.to_ne_bytes());
        for len in [SNAPSHOT, PAYLOAD + 16] {
            let snapshot = Snapshot::new(&bytes[..len]);
            assert_eq!(snapshot.kind(), Some(Kind::Semaphore));
            assert_eq!(snapshot.name(), b"name");
            // SAFETY: a counter is made of atomics, and copes with any bytes.
            let counter: &Counter = unsafe { snapshot.words() };
            assert_eq!(counter.value(), 7);
            assert!(counter.try_take());
            assert_eq!(snapshot.payload().take(3).collect::<Vec<_>>(), [0, 9, 0]);
        }
        assert_eq!(Snapshot::new(&bytes[..10]).kind(), None);
    }
}
