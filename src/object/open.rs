//! Opening: one process creates an object; the others find it and check that it is the one that they expect.

use super::{
    Kind, Object, failure,
    header::{ALIGN, HEADER, ORDER, PAYLOAD, VERSION, WIDTH, has_text, put_text, text_of},
    place::{Memory, Origin, Place, Site},
};
use crate::{
    Attachment, Error, ErrorKind, Key, Segment, Status, copy,
    error::{Action, Label, Mismatch, Shape, What},
    hash::fnv1a,
    holder,
    memory::{Shared, Text},
    segment::attachment,
    sync::{Deadline, Interrupt, MAGIC, Ready, Sleep, State, Threads},
    sys::{self, futex},
};
use core::{
    ptr::NonNull,
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed},
    },
};
use std::time::{Duration, SystemTime};

/// What this process expects of an object. None of it is read from the segment.
pub(crate) struct Spec<'a> {
    pub kind: Kind,
    /// The payload's size in bytes; 0 with `any_size` accepts an object of any size.
    pub size: usize,
    pub any_size: bool,
    /// The capacity of a ring or a broadcast in bytes; 0 for other kinds.
    pub capacity: usize,
    /// The name of its layout, at most 128 bytes; empty for none.
    pub layout: &'a [u8],
    /// The options of its kind, which must be the same for all processes that open it; `None` for any.
    pub options: Option<u32>,
}

/// Returns the size of a segment that is created for an object with a payload of this size.
fn segment_size(payload: usize) -> Option<usize> {
    PAYLOAD
        .checked_add(payload)?
        .checked_next_multiple_of(ALIGN)?
        .checked_add(1)
}

impl Spec<'_> {
    /// Returns whether a segment can have room for an object with a payload of this size.
    pub fn fits(payload: &usize) -> bool {
        segment_size(*payload).is_some()
    }

    /// Returns the number of bytes that the whole object takes.
    fn total(&self) -> Option<usize> {
        PAYLOAD.checked_add(self.size)
    }

    /// Returns the description for an error message.
    fn shape(&self) -> Shape {
        Shape {
            kind: self.kind,
            size: (!self.any_size).then_some(shown(self.size as u64, self.capacity as u64)),
            options: self.options,
            layout: Text::new(self.layout),
        }
    }

    fn fingerprint(&self, size: u64) -> u64 {
        let numbers = [size, ALIGN as u64].map(u64::to_le_bytes);
        fnv1a(
            self.layout
                .iter()
                .copied()
                .chain(numbers.into_iter().flatten()),
        )
    }
}

impl Object {
    /// Opens an object, or creates it; then `init` sets the object's words, which are all 0 before.
    pub fn open(place: &Place, spec: &Spec, init: impl Fn(&Object)) -> Result<Object, Error> {
        Object::find_or_make(place, spec, init).map_err(|error| {
            let error = error.opening(spec.kind, place.site.name());
            if place.read_only {
                error.not_created_read_only()
            } else {
                error
            }
        })
    }

    fn find_or_make(place: &Place, spec: &Spec, init: impl Fn(&Object)) -> Result<Object, Error> {
        let deadline = Deadline::after(place.timeout);
        check(place, spec)?;
        match &place.site {
            Site::Within { memory, .. } => {
                let object = Object::at(memory.clone(), place, memory.size()?, spec)?;
                object.meet(place, spec, deadline, init)?;
                Ok(object)
            }
            Site::Key { key, .. } => loop {
                // Another process may remove the segment after this one has found it. Then the result for
                // that segment, success or failure, is discarded, and the search begins again.
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
    fn at(memory: Memory, place: &Place, size: usize, spec: &Spec) -> Result<Object, Error> {
        if let Some(uid) = place.owner {
            expect_owner(memory.id(), uid)?;
        }
        let offset = place.site.offset();
        let label = Label::new(&place.site.label(memory.id()));
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
                    "open",
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
            interrupt: Shared::new(Interrupt::default())?,
        })
    }

    /// Creates the object, or waits until another process has created it, and checks that it is the expected
    /// one.
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
            creator: &header.creator,
        };
        let mut sleep = Sleep::until(deadline);
        loop {
            let state = match ready.look(|| header.is_blank()) {
                State::Ready => {
                    self.verify(&place.site, spec)?;
                    return self.expect_usable();
                }
                State::Foreign => return Err(self.foreign(&place.site)),
                State::Damaged => return Err(self.malformed("the state is not valid")),
                State::Unready(state) => state,
            };
            if place.creates() && self.is_writable() {
                let me = self.me().bits();
                let is_dead = |creator| self.is_dead(creator);
                if ready.create(me, is_dead, |after_another| {
                    self.write(&place.site, spec, after_another, &init);
                }) {
                    futex::wake(&header.state, u32::MAX >> 1);
                    continue;
                }
            }
            self.expect_usable()?;
            let is_within = matches!(place.site, Site::Within { .. });
            // Relaxed: a process that begins now is as late as one that begins after this call. In a segment of its
            // own, the object's creator has made the segment, and begins at once.
            if is_within && header.creator.load(Relaxed) == 0 {
                return Err(self
                    .error(ErrorKind::TimedOut)
                    .during(Action::Open)
                    .not_created());
            }
            // No process finds a removed segment by its key: `open` searches again.
            let is_in_vain =
                matches!(place.site, Site::Key { .. }) && self.is_removed().unwrap_or(false);
            if is_in_vain || !sleep.on(&header.state, state) {
                // Relaxed: the value is only displayed.
                let creator = header.creator.load(Relaxed);
                let error = self.error(ErrorKind::TimedOut).during(Action::Open);
                return Err(error.with(What::Creator, 0, creator));
            }
        }
    }

    /// Fails if this process cannot write the object, and objects of this kind need that.
    fn expect_usable(&self) -> Result<(), Error> {
        if self.kind.can_be_read_only() {
            return Ok(());
        }
        self.expect_writable()
    }

    #[cold]
    fn foreign(&self, site: &Site) -> Error {
        let error = self.error(ErrorKind::Foreign).during(Action::Open);
        match site {
            Site::Key { .. } => error,
            Site::Within { offset, .. } => error.with(What::Offset, *offset as u64, 0),
        }
    }

    /// Writes the header, and calls `init` to write the rest. Only the creator calls this.
    fn write(&self, site: &Site, spec: &Spec, after_another: bool, init: impl Fn(&Object)) {
        let header = self.header();
        // Relaxed, from here on: the store of *ready* releases all of it.
        header.order.store(ORDER, Relaxed);
        header.width.store(WIDTH, Relaxed);
        header.version.store(VERSION, Relaxed);
        header.kind.store(spec.kind as u32, Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        header
            .created
            .store(now.map_or(0, |time| time.as_secs()), Relaxed);
        header.size.store(spec.size as u64, Relaxed);
        header.align.store(ALIGN as u64, Relaxed);
        header.capacity.store(spec.capacity as u64, Relaxed);
        header
            .fingerprint
            .store(spec.fingerprint(spec.size as u64), Relaxed);
        header.options.store(spec.options.unwrap_or(0), Relaxed);
        header.file.store(site.file(), Relaxed);
        put_text(&header.key, &header.key_len, site.name());
        put_text(&header.layout, &header.layout_len, spec.layout);
        if after_another {
            self.clear(spec);
        }
        init(self);
    }

    /// Sets the words and the payload to 0 after a creator has died while writing them.
    fn clear(&self, spec: &Spec) {
        let zeroes = [0; 4096];
        let mut offset = HEADER;
        while offset < PAYLOAD + spec.size {
            let len = zeroes.len().min(PAYLOAD + spec.size - offset);
            // SAFETY: `at` has checked that the whole object lies in the segment; and only a process that can
            // write it calls this.
            unsafe { copy::copy_in(zeroes.as_ptr(), self.base.as_ptr().add(offset), len) };
            offset += len;
        }
    }

    /// Checks that the header, which is ready, describes the expected object.
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
        // If the object is or was opened by a number, there is nothing to compare.
        let file = header.file.load(Relaxed);
        let is_number = |len: usize, file: u64| len == 0 && file == 0;
        let same_key = file == site.file() && has_text(&header.key, lengths.0, site.name());
        if !same_key
            && !is_number(lengths.0 as usize, file)
            && !is_number(site.name().len(), site.file())
        {
            let found = text_of(&header.key, &header.key_len).collect();
            let wanted = Text::new(site.name());
            return wrong(ErrorKind::KeyCollision, Mismatch::Name { found, wanted });
        }
        let found = header.kind.load(Relaxed);
        if found != spec.kind as u32 {
            let wanted = spec.kind;
            return wrong(ErrorKind::WrongKind, Mismatch::Kind { found, wanted });
        }
        let size = header.size.load(Relaxed);
        let options = header.options.load(Relaxed);
        let capacity = header.capacity.load(Relaxed);
        let same_size = size == spec.size as u64 && capacity == spec.capacity as u64;
        let same = (spec.any_size || same_size)
            && header.align.load(Relaxed) == ALIGN as u64
            && header.fingerprint.load(Relaxed) == spec.fingerprint(size)
            && spec.options.is_none_or(|wanted| wanted == options)
            && has_text(&header.layout, lengths.1, spec.layout);
        if !same {
            let wanted = spec.shape();
            let created = Shape {
                kind: spec.kind,
                size: wanted.size.is_some().then_some(shown(size, capacity)),
                options: wanted.options.is_some().then_some(options),
                layout: text_of(&header.layout, &header.layout_len).collect(),
            };
            return wrong(ErrorKind::WrongLayout, Mismatch::Shape { created, wanted });
        }
        if self.is_writable() {
            self.introduce();
        }
        Ok(())
    }
}

/// Returns the number that an error shows as the object's size: the one that its users passed.
fn shown(size: u64, capacity: u64) -> u64 {
    if capacity == 0 { size } else { capacity }
}

/// Fails, before anything is created, if the arguments are not valid.
fn check(place: &Place, spec: &Spec) -> Result<(), Error> {
    let refuse = |why| Err(Error::invalid("open", why));
    if spec.layout.len() > 128 {
        return Err(Error::layout_too_long());
    }
    if place.read_only && !spec.kind.can_be_read_only() {
        return Err(Error::asked_read_only());
    }
    match &place.site {
        Site::Key {
            origin: Origin::Name(name),
            ..
        } if name.is_empty() => Err(Error::empty_name()),
        Site::Key {
            origin: Origin::Name(name),
            ..
        } if name.len() > 256 => Err(Error::object_name_too_long()),
        Site::Key { key, .. } if key.is_private() => refuse(
            "no other process finds an object in a private segment; attach one and use Place::within",
        ),
        Site::Key { .. } if place.creates() && place.mode & 0o600 != 0o600 => {
            Err(Error::object_mode(place.mode))
        }
        Site::Key { .. }
            if place.create && place.owner.is_some_and(|uid| uid != sys::effective_user()) =>
        {
            Err(Error::other_owner_wanted())
        }
        _ => Ok(()),
    }
}

/// Fails unless a segment belongs to this user, and this user or root has created it. While the segment is
/// attached, its id is not reused.
fn expect_owner(id: i32, uid: u32) -> Result<(), Error> {
    let status = Status::of(id)?;
    if status.uid == uid && (status.cuid == uid || status.cuid == 0) {
        return Ok(());
    }
    Err(Error::other_owner(id, uid, status.uid, status.cuid))
}

/// Finds or creates the segment of an object, and attaches it; for reading only if its mode does not allow
/// writing.
fn attach(
    key: Key,
    place: &Place,
    spec: &Spec,
    deadline: Deadline,
) -> Result<(Memory, usize), Error> {
    let (Some(total), Some(size)) = (spec.total(), segment_size(spec.size)) else {
        return Err(Error::too_large(spec.size));
    };
    loop {
        let create = || {
            Segment::options()
                .create(true)
                .size(size)
                .mode(place.mode)
                .open(key)
        };
        let open = || Segment::options().size(total).open(key);
        let segment = if place.creates() {
            create().or_else(|error| match error.kind() {
                // Another program has created it, and it may be large enough for the object without the
                // rounding.
                ErrorKind::TooSmall => open(),
                _ => Err(error),
            })
        } else {
            open()
        };
        let attached = match segment {
            Ok(segment) => attach_segment(&segment, place.read_only).inspect_err(|_| {
                if place.creates() {
                    remove_if_just_made(&segment);
                }
            }),
            // The segment holds something else: describe it by its header.
            Err(error) if error.kind() == ErrorKind::TooSmall => {
                return Err(what_is_there(key, place, spec).err().unwrap_or(error));
            }
            Err(error) => return Err(error),
        };
        match attached {
            Err(error)
                if matches!(error.kind(), ErrorKind::NoSuchSegment | ErrorKind::Removed)
                    && !deadline.is_over() =>
            {
                // The next search finds another segment, unless a program has removed or replaced a file of the user
                // backend: then each attempt fails until the deadline.
                sys::sleep(Duration::from_millis(1));
            }
            attached => {
                let memory = attached?;
                // Before it was attached, it could be removed, and its id given to a smaller segment.
                let size = attachment::size_of_attached(memory.id())?;
                return Ok((Memory::own(memory)?, size));
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

/// Removes a segment that this process has just created and that no process has attached, because otherwise
/// it would stay unused.
fn remove_if_just_made(segment: &Segment) {
    let unused = segment.status().is_ok_and(|status| {
        status.nattch == 0 && status.attached_at.is_none() && status.cpid == sys::process_id()
    });
    if unused {
        // If another process has removed it, nothing is left to do.
        let _ = segment.remove();
    }
}

/// Returns the error that describes what a segment holds which is too small for the expected object.
fn what_is_there(key: Key, place: &Place, spec: &Spec) -> Result<(), Error> {
    let memory = Memory::own(Segment::open(key)?.attach_read_only()?)?;
    let size = memory.size()?;
    if size < PAYLOAD {
        let label = Label::new(&place.site.label(memory.id()));
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
        _ => Err(object.foreign(&place.site)),
    }
}

/// Returns the error for a segment that is too small for an object.
#[cold]
fn truncated(object: Kind, id: i32, label: Label, size: usize) -> Error {
    let failure = failure(ErrorKind::Truncated, object, id, &label);
    let error = Error::object(failure).during(Action::Open);
    error.with(What::Size, size as u64, 0)
}
