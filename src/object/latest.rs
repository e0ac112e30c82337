//! The newest value of something, which every process can read at any time.

use crate::{
    Error, ErrorKind, Place, Plain,
    error::{Action, What},
    holder::Holder,
    object::{Kind, Object, Snapshot, Spec},
    object::{readiness::Readiness, role::Role},
    sync::{Area, Claim, Deadline, Source, latest as algorithm},
    sys,
};
use core::{
    borrow::Borrow,
    fmt,
    marker::PhantomData,
    mem::{MaybeUninit, size_of},
};
use std::{os::fd::BorrowedFd, sync::Arc, time::Duration};

/// The newest value of something: one process publishes it, any number of processes read it, and none of them
/// waits for another.
///
/// ```
/// use shmkey::Latest;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a latest value {}", std::process::id());
/// // In one process:
/// let position = Latest::<[f64; 2]>::open(&name)?;
/// let mut publisher = position.publisher()?;
/// publisher.publish([52.5, 13.4])?;
///
/// // In any number of others:
/// let position = Latest::<[f64; 2]>::open(&name)?;
/// assert_eq!(position.read()?, Some([52.5, 13.4]));
///
/// // Only what is newer than the version that was seen:
/// let mut seen = 0;
/// assert_eq!(position.wait_newer(&mut seen)?, [52.5, 13.4]);           // waits for it
/// assert_eq!(position.read_newer(&mut seen)?, None);                   // does not wait
/// let timeout = Duration::from_millis(1);
/// assert!(position.wait_newer_timeout(&mut seen, timeout).is_err());   // waits at most this long
/// # position.remove()
/// # }
/// ```
///
/// *What readers see* is whole: never a part of one value and a part of another. It is the newest
/// one, and a reader can miss those in between; to receive every one, use a [`Ring`](crate::Ring).
///
/// *A dead publisher.* If it is killed, at any instruction, the last value that it has published stays.
/// Another process can then take the role, even one of another PID namespace (see *Namespaces* of
/// [`Mutex`](crate::Mutex)). Release the role before `exec`: the new program cannot use it, but keeps other
/// processes from taking it, unless the process had a token of life, which ends with `exec`.
///
/// *Removal.* [`remove`](Latest::remove), or `shmkey remove`, frees the name at once. The processes that have the value
/// open keep it; a process that opens the name afterwards gets a new one, and the readers of the old one do not see
/// what it publishes. [`is_removed`](Latest::is_removed) returns whether that has happened. A reader that has seen
/// nothing new for a long time calls it; if that returns true, it drops the value and opens it again.
///
/// *Read permission is enough* to read, and a reader that asks for
/// [`Place::read_only`](crate::Place::read_only) gets memory that it cannot write, whatever the
/// permissions are; it creates nothing. A reader that cannot write cannot tell the publisher that it sleeps, so
/// it is not woken: it notices a newer value within 8 ms during the first 100 ms of a wait, and within 250 ms
/// later. Other readers are woken at once.
///
/// *Cost.* Publishing and reading copy the value once each and make no system call; publishing makes one if a
/// reader sleeps. Reading starts again if the publisher has overwritten the value during the copy; for that, it
/// must publish three more values of up to 256 bytes each, or one larger value.
///
/// *Threads*: several threads may use a `Latest` at the same time; one thread at a time uses a [`Publisher`]. *Fork*: a
/// child can read its parent's, and does not have its role. *Signals*: no method is safe in a signal handler; see
/// [`set_interruptible`](Latest::set_interruptible).
///
/// *Memory:* 1024 bytes, plus four times the size of the value if it has up to 256 bytes, else twice (each
/// rounded up to a multiple of 64), because the last complete value stays while the next is written.
#[derive(Debug)]
pub struct Latest<T: Plain> {
    raw: Arc<RawLatest>,
    value: PhantomData<T>,
}

/// The role of the publisher of a [`Latest`], which one process has at a time. Dropping it releases the role.
///
/// ```
/// use shmkey::Latest;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a publisher {}", std::process::id());
/// let celsius = Latest::<f64>::open(&name)?;
/// let mut publisher = celsius.publisher()?;
/// for value in [21.0, 21.5] {
///     publisher.publish(value)?;
/// }
/// assert_eq!((celsius.version(), celsius.read()?), (2, Some(21.5)));
/// # celsius.remove()
/// # }
/// ```
#[must_use = "the publisher's role is released when it is dropped"]
pub struct Publisher<T: Plain> {
    raw: Arc<RawLatest>,
    writer: Writer,
    value: PhantomData<T>,
}

/// A latest value whose size is known at run time, behind the Rust type and the C functions.
#[derive(Debug)]
pub(crate) struct RawLatest {
    object: Object,
    size: usize,
    readiness: Readiness,
}

/// The role of the publisher, and the version that it has published last.
pub(crate) struct Writer {
    role: Role,
    version: u64,
}

/// The object's own words.
#[repr(C)]
struct Words {
    newest: algorithm::LatestWords,
    writer: Claim,
}

/// Reads the version and the publisher from a copy of the segment.
pub(crate) fn look(snapshot: &Snapshot) -> (u64, Option<Holder>) {
    // SAFETY: the words are atomics, and every pattern of bytes is valid.
    let words: &Words = unsafe { snapshot.words() };
    (
        words.newest.version(),
        words.writer.holder().map(Holder::from_bits),
    )
}

impl RawLatest {
    /// Opens a latest value of this size in bytes.
    pub fn open(place: &Place, size: usize) -> Result<RawLatest, Error> {
        let payload =
            algorithm::stride(size).and_then(|stride| stride.checked_mul(algorithm::slots(size)));
        // The error has the size that the caller knows, and not that of the payload.
        let too_large = || Error::too_large(size).opening(Kind::Latest, place.site.name());
        let spec = Spec {
            kind: Kind::Latest,
            size: payload.filter(Spec::fits).ok_or_else(too_large)?,
            any_size: false,
            capacity: 0,
            layout: &place.layout,
            // Values of another size can need slots of the same size.
            options: Some(size as u32),
        };
        let object = Object::open(place, &spec, |_| {})?;
        sys::barrier::take_part();
        Ok(RawLatest {
            readiness: Readiness::new(object.interrupt()),
            object,
            size,
        })
    }

    pub fn object(&self) -> &Object {
        &self.object
    }

    pub fn size(&self) -> usize {
        self.size
    }

    fn words(&self) -> &Words {
        // SAFETY: the words are atomics, and every pattern of bytes is valid.
        unsafe { self.object.words() }
    }

    #[inline(always)]
    fn newest(&self) -> algorithm::Latest<'_> {
        // SAFETY: this is the size of the value.
        unsafe { self.newest_of(self.size) }
    }

    /// # Safety
    /// `size` must be that of the value. It is a parameter for callers that know it at compile time.
    #[inline(always)]
    unsafe fn newest_of(&self, size: usize) -> algorithm::Latest<'_> {
        let len = algorithm::stride(size).unwrap_or(64) * algorithm::slots(size);
        algorithm::Latest {
            words: &self.words().newest,
            // SAFETY: the payload has this size, and is attached as long as the object lives. Only a publisher
            // writes, and only a process that may write becomes one.
            area: unsafe { Area::new(self.object.payload().as_ptr(), len) },
            size,
        }
    }

    /// Takes the role of the publisher.
    pub fn claim(&self) -> Result<Writer, Error> {
        let role = Role::take(&self.object, &self.words().writer).map_err(|error| {
            let error = error.during(Action::BecomePublisher);
            match error.kind() {
                ErrorKind::Busy => error.with(What::Role, 0, self.publisher()),
                _ => error,
            }
        })?;
        // Read after the role was taken, so that it includes what the previous publisher has published.
        let version = self.version();
        Ok(Writer { role, version })
    }

    /// Releases the role.
    pub fn release(&self, writer: &Writer) {
        writer.role.release(&self.words().writer);
    }

    /// Publishes these bytes.
    ///
    /// # Safety
    /// There must be as many as a value has.
    #[inline(always)]
    pub unsafe fn publish(&self, writer: &mut Writer, bytes: Source) -> Result<(), Error> {
        if !self.is_held(writer) {
            return Err(self.busy(writer));
        }
        // SAFETY: the caller's promise.
        writer.version = unsafe { self.newest_of(bytes.len()) }.publish(writer.version, bytes);
        Ok(())
    }

    /// Returns whether this process has the role: it is not a child of the publisher, and no other process has
    /// taken the role over.
    #[inline(always)]
    pub fn is_held(&self, writer: &Writer) -> bool {
        writer.role.is_held(&self.words().writer)
    }

    #[cold]
    fn busy(&self, writer: &Writer) -> Error {
        let error = self.object.error(ErrorKind::Busy).during(Action::Publish);
        let what = if writer.role.is_ours() {
            What::Role
        } else {
            What::Inherited
        };
        error.with(what, 0, self.publisher())
    }

    /// Returns the number of the publisher, for an error.
    fn publisher(&self) -> u64 {
        self.words().writer.holder().unwrap_or(0)
    }

    #[inline(always)]
    pub fn version(&self) -> u64 {
        self.newest().version()
    }

    /// Reads the newest value, and returns its version; 0 if there is none.
    ///
    /// # Safety
    /// As many bytes as a value has, from `to` on, must be writable and used by no other thread.
    pub unsafe fn read(&self, to: *mut u8) -> Result<u64, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.newest().read(to) }.map_err(|_| self.overtaken())
    }

    #[cold]
    fn overtaken(&self) -> Error {
        self.object.error(ErrorKind::Overtaken).during(Action::Read)
    }

    /// Waits for a version other than `seen`.
    #[inline]
    pub fn wait(&self, seen: u64, deadline: Deadline) -> Result<(), Error> {
        let deadline = deadline.or_at(self.object.interrupt());
        let is_writable = self.object.is_writable();
        if self.newest().wait(seen, is_writable, deadline) {
            return Ok(());
        }
        self.readiness
            .unless_blocked(Err(self.none_newer(deadline)), |number| {
                if is_writable && self.newest().enter(number, seen)
                    || self.newest().wait(seen, is_writable, Deadline::Now)
                {
                    Ok(())
                } else {
                    Err(self.none_newer(deadline))
                }
            })
    }

    fn none_newer(&self, deadline: Deadline) -> Error {
        let error = self.object.late(deadline).during(Action::WaitNewer);
        error.with(What::Newest, self.version(), self.publisher())
    }

    /// Returns whether there is a version other than `seen`. If not, the descriptor, if the caller has asked for it,
    /// becomes readable when there is one.
    #[inline]
    fn has_newer(&self, seen: u64) -> Result<bool, Error> {
        if self.version() != seen || !self.readiness.is_used() {
            return Ok(self.version() != seen);
        }
        match self.wait(seen, Deadline::Now) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns whether there is a version other than `seen`, and one at all.
    pub fn is_newer(&self, seen: u64) -> bool {
        let version = self.version();
        version != 0 && version != seen
    }

    /// Returns the word on which to sleep until there is another version.
    pub fn announce_sleep(&self) -> sys::waitv::Word {
        self.newest().announce_sleep(self.object.is_writable())
    }

    /// Makes the descriptor unreadable, unless there is a version other than `seen`. Returns whether that is so.
    pub fn rearm(&self, seen: u64) -> bool {
        self.readiness.rearm(|number| {
            self.object.is_writable() && self.newest().enter(number, seen) || self.is_newer(seen)
        })
    }

    /// Returns the descriptor of this handle.
    pub fn descriptor(&self) -> Result<BorrowedFd<'_>, Error> {
        self.readiness.descriptor(&self.object)
    }
}

impl Drop for RawLatest {
    fn drop(&mut self) {
        if let Some(number) = self.readiness.number()
            && self.object.is_writable()
        {
            self.newest().remove(number);
        }
    }
}

impl<T: Plain> Latest<T> {
    /// Opens the latest value, or creates one in which no value is published yet.
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open), except [`ReadOnly`](ErrorKind::ReadOnly): if the
    /// segment's mode allows only reading, it is opened for reading only.
    pub fn open(place: impl Into<Place>) -> Result<Latest<T>, Error> {
        const {
            assert!(
                align_of::<T>() <= 64,
                "an object's payload is aligned to 64 bytes"
            )
        }
        Ok(Latest {
            raw: Arc::new(RawLatest::open(&place.into(), size_of::<T>())?),
            value: PhantomData,
        })
    }

    /// Takes the role of the publisher, if it is free or its holder has died.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) if a process that is not known to be dead is the publisher, this one
    /// included; [`ReadOnly`](ErrorKind::ReadOnly) (`EACCES`) if it was opened for reading only, or the segment's mode
    /// allows only reading.
    pub fn publisher(&self) -> Result<Publisher<T>, Error> {
        let writer = self.raw.claim()?;
        Ok(Publisher {
            raw: Arc::clone(&self.raw),
            writer,
            value: PhantomData,
        })
    }

    /// Returns the newest value; `None` if nothing was published yet.
    ///
    /// # Errors
    /// [`Overtaken`](ErrorKind::Overtaken) (`ESTALE`) if the publisher overtook the copy 100,000 times in a row.
    #[inline]
    pub fn read(&self) -> Result<Option<T>, Error> {
        self.read_with_version().map(|(value, _)| value)
    }

    /// Copies the newest value into `value`, and returns its version; 0 if nothing was published yet, and then
    /// `value` does not change. This is the fastest way to read.
    ///
    /// # Errors
    /// Those of [`read`](Latest::read); then `value` is arbitrary.
    #[inline(always)]
    pub fn read_into(&self, value: &mut T) -> Result<u64, Error> {
        // SAFETY: it was opened with this size, and every pattern of bytes is a `T`.
        let read = unsafe {
            let newest = self.raw.newest_of(size_of::<T>());
            newest.read(core::ptr::from_mut(value).cast())
        };
        read.map_err(|_| self.raw.overtaken())
    }

    /// Returns the newest value and stores its version in `seen`, if the version differs from `seen`; otherwise `None`.
    /// Does not wait.
    ///
    /// # Errors
    /// Those of [`read`](Latest::read).
    #[inline]
    pub fn read_newer(&self, seen: &mut u64) -> Result<Option<T>, Error> {
        if !self.raw.has_newer(*seen)? {
            return Ok(None);
        }
        let (value, version) = self.read_with_version()?;
        *seen = version;
        Ok(value)
    }

    /// Waits for a value whose version differs from `seen`, stores its version in `seen`, and returns the value. Begin
    /// with 0, which is never the version of a value. [`read_newer`](Latest::read_newer) does the same without waiting.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait; those of [`read`](Latest::read).
    pub fn wait_newer(&self, seen: &mut u64) -> Result<T, Error> {
        self.wait_newer_until(seen, Deadline::Never)
    }

    /// Waits for a newer value as [`wait_newer`](Latest::wait_newer) does, at most this time on the monotonic
    /// clock.
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`), or with a time of zero
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`), if there is none in time; those of
    /// [`wait_newer`](Latest::wait_newer).
    pub fn wait_newer_timeout(&self, seen: &mut u64, timeout: Duration) -> Result<T, Error> {
        self.wait_newer_until(seen, Deadline::after(Some(timeout)))
    }

    fn wait_newer_until(&self, seen: &mut u64, deadline: Deadline) -> Result<T, Error> {
        loop {
            self.raw.wait(*seen, deadline)?;
            if let Some(value) = self.read_newer(seen)? {
                return Ok(value);
            }
        }
    }

    /// Returns a descriptor that is readable when there may be a newer value: for `poll(2)`, `epoll(7)`, `select(2)`
    /// and event loops. When it is readable, call [`read_newer`](Latest::read_newer) until that returns `None`. That
    /// call makes the descriptor unreadable until the next value is published, but for at most 250 ms. Pass the same
    /// `seen` to all these calls. [`Receiver::fd`](crate::Receiver::fd) describes these descriptors.
    ///
    /// If the latest value is opened read-only, the descriptor becomes readable within 250 ms instead of at once.
    ///
    /// # Errors
    /// Those of [`Receiver::fd`](crate::Receiver::fd) about descriptors.
    pub fn fd(&self) -> Result<BorrowedFd<'_>, Error> {
        self.raw.descriptor()
    }

    /// Returns the version of the newest value: 1 for the first published value, and so on; 0 if there is none.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.raw.version()
    }

    #[inline(always)]
    fn read_with_version(&self) -> Result<(Option<T>, u64), Error> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: it was opened with the size of a `T`, for which `value` has room.
        let version = unsafe {
            let newest = self.raw.newest_of(size_of::<T>());
            newest.read(value.as_mut_ptr().cast())
        };
        let version = version.map_err(|_| self.raw.overtaken())?;
        // SAFETY: all its bytes were copied, and every pattern of them is a `T`.
        let value = (version != 0).then(|| unsafe { value.assume_init() });
        Ok((value, version))
    }

    interrupt_methods!(self, self.raw.object.interrupt());
    /// Returns this handle and a version, for [`wait_any`](crate::wait_any), which then waits for a version other than
    /// `seen`.
    pub fn newer_than(&self, seen: u64) -> Newer<'_, T> {
        Newer { latest: self, seen }
    }

    pub(crate) fn raw(&self) -> &RawLatest {
        &self.raw
    }

    segment_methods!(self, self.raw.object);
}

/// A latest value, and a version: made by [`Latest::newer_than`], for [`wait_any`](crate::wait_any).
#[derive(Clone, Copy, Debug)]
pub struct Newer<'a, T: Plain> {
    pub(crate) latest: &'a Latest<T>,
    pub(crate) seen: u64,
}

impl<T: Plain> Publisher<T> {
    /// Publishes a value, given as a `T` or a `&T`.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) (`EBUSY`) in a child made by `fork`, whose parent is the publisher, or if
    /// another process has taken the role over.
    #[inline(always)]
    pub fn publish(&mut self, value: impl Borrow<T>) -> Result<(), Error> {
        let value: *const T = value.borrow();
        // SAFETY: a `T` is its bytes, none of which is padding.
        let bytes = unsafe { Source::new(value.cast(), size_of::<T>()) };
        // SAFETY: it was opened with this size.
        unsafe { self.raw.publish(&mut self.writer, bytes) }
    }
}

impl<T: Plain> Drop for Publisher<T> {
    fn drop(&mut self) {
        self.raw.release(&self.writer);
    }
}

impl<T: Plain> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("raw", &self.raw)
            .finish_non_exhaustive()
    }
}
