//! A value that many threads read at a time, or one thread changes.

use crate::{
    Error, ErrorKind, Place, Plain,
    error::{Action, What},
    object::trust::Trust,
    object::{Kind, Object, Spec},
    sync::{self, Acquired, Deadline, LockError},
    sys,
};
use core::{fmt, marker::PhantomData};
use std::time::Duration;

/// Where the value begins in the payload, behind the words of the lock.
const VALUE: usize = size_of::<sync::RwLock>();

/// A value in shared memory that up to 64 threads, in any processes, read at a time, or one thread changes. The value
/// survives the death of all of them.
///
/// All processes open the lock with the same call; the first one creates it and sets its initial value.
///
/// ```
/// use shmkey::RwLock;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a reader-writer lock {}", std::process::id());
/// let limits = RwLock::<[u32; 2]>::open(&name, [10, 20])?;
/// {
///     let [low, high] = limits.read()?.get(); // other threads read at the same time
///     assert!(low < high);
/// }
/// {
///     let mut guard = limits.write()?; // waits until no thread reads
///     if guard.owner_died() {
///         guard.set([10, 20]); // the last writer may have set one of the two
///         guard.mark_consistent();
///     }
///     guard.update(|[_, high]| *high += 1);
/// } // unlocks it
/// assert_eq!(limits.read()?.get(), [10, 21]);
/// # limits.remove()
/// # }
/// ```
///
/// *Turns.* A thread that asks for the lock while a writer waits gets it after that writer, so neither readers nor
/// writers starve. A thread that has the lock for reading may lock it for reading again, even while a writer waits. If
/// it locks it for writing, or locks it for reading while it has it for writing, it gets
/// [`Deadlock`](ErrorKind::Deadlock). If 64 threads read, the next reader waits until one of them has unlocked the
/// lock.
///
/// *Deaths.* A process can be killed at any instruction. If a *reader* dies, a thread that waits for it releases the
/// reader's lock, and the value is unchanged. If a *writer* dies, the value may be half changed:
/// [`owner_died`](RwLockWriteGuard::owner_died) is true for each reader and writer, until a writer has repaired the
/// value and called [`mark_consistent`](RwLockWriteGuard::mark_consistent). If a writer drops its guard without that,
/// the value is lost: all later calls fail with [`NotRecoverable`](ErrorKind::NotRecoverable). A thread that asks for
/// the lock after the death of a writer recovers it at once. A thread that is waiting at that time notices the death
/// within 10 ms during the first 100 ms of its wait, and after that within 300 ms.
///
/// *Waiting* spins for a few microseconds and then sleeps. Locking and unlocking make no system call unless a thread
/// waits.
///
/// *Removal, namespaces, fork and exec* work as for a [`Mutex`](crate::Mutex).
///
/// *Threads*: several threads may use an `RwLock` at the same time; a guard stays in its thread. *Signals*: no method
/// is safe in a signal handler; see [`set_interruptible`](RwLock::set_interruptible).
///
/// *Memory:* 5184 bytes plus the value.
#[derive(Debug)]
pub struct RwLock<T: Plain> {
    raw: RawRwLock,
    value: PhantomData<T>,
}

/// A reader-writer lock around bytes; the C API uses it directly.
#[derive(Debug)]
pub(crate) struct RawRwLock {
    object: Object,
    trust: Trust,
}

/// Returns the size of the value of a lock whose payload has this many bytes.
pub(crate) fn value_size(payload: u64) -> u64 {
    payload.saturating_sub(VALUE as u64)
}

impl RawRwLock {
    /// Opens a lock around `size` bytes. The process that creates it calls `first` to write them; before that, they are
    /// 0.
    pub fn open(place: &Place, size: usize, first: impl Fn(&Object)) -> Result<RawRwLock, Error> {
        // The error has the size that the caller knows, and not that of the payload.
        let too_large = || Error::too_large(size).opening(Kind::RwLock, place.site.name());
        let payload = VALUE.checked_add(size);
        let spec = Spec {
            kind: Kind::RwLock,
            size: payload.filter(Spec::fits).ok_or_else(too_large)?,
            any_size: false,
            capacity: 0,
            layout: &place.layout,
            options: None,
        };
        let object = Object::open(place, &spec, first)?;
        sys::barrier::take_part();
        Ok(RawRwLock {
            object,
            trust: Trust::default(),
        })
    }

    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Returns the address of the value.
    pub fn value(&self) -> core::ptr::NonNull<u8> {
        // SAFETY: the payload has the words of the lock and the value.
        unsafe { self.object.payload().add(VALUE) }
    }

    /// Locks it for reading. Returns whether a writer died while it had the lock, so that the value may be half
    /// changed.
    #[inline]
    pub fn read(&self, deadline: Deadline) -> Result<bool, Error> {
        let deadline = deadline.or_at(self.object.interrupt());
        let me = self.object.me().bits();
        self.words()
            .read(me, &self.trust.of(&self.object), deadline)
            .map(|acquired| acquired == Acquired::OwnerDied)
            .map_err(|refused| self.not_locked(refused, deadline, Action::LockForReading))
    }

    /// Locks it for writing. Returns whether a writer died while it had the lock, so that the value may be half
    /// changed.
    #[inline]
    pub fn write(&self, deadline: Deadline) -> Result<bool, Error> {
        let deadline = deadline.or_at(self.object.interrupt());
        let me = self.object.me().bits();
        self.words()
            .write(me, &self.trust.of(&self.object), deadline)
            .map(|acquired| acquired == Acquired::OwnerDied)
            .map_err(|refused| self.not_locked(refused, deadline, Action::LockForWriting))
    }

    /// Locks it for reading if no thread has it for writing or waits for that, the value is consistent, and this thread
    /// has used it before. Otherwise returns false, and the caller must call [`read`](RawRwLock::read).
    #[inline(always)]
    pub fn read_at_once(&self) -> bool {
        let me = self.object.me_if_known();
        me.is_some_and(|me| self.words().read_at_once(me.bits()))
    }

    #[cold]
    fn not_locked(&self, refused: LockError, deadline: Deadline, action: Action) -> Error {
        let error = match refused {
            LockError::TimedOut => self.with_holder(self.object.late(deadline), action),
            LockError::Deadlock => self.object.error(ErrorKind::Deadlock),
            LockError::NotRecoverable => self.object.error(ErrorKind::NotRecoverable),
        };
        error.during(action)
    }

    /// Adds to an error the threads that have the lock, or the one that keeps a reader out.
    fn with_holder(&self, error: Error, action: Action) -> Error {
        let seen = self.words().look();
        let (readers, reader) = self
            .words()
            .readers()
            .fold((0, 0), |(count, _), reader| (count + 1, reader));
        match (seen.writer, seen.next) {
            (Some(writer), _) => error.with(What::Held, 0, writer),
            // The readers do not keep another reader out.
            (_, Some(next)) if action == Action::LockForReading => error.with(What::Next, 0, next),
            _ if readers > 0 => error.with(What::Readers, readers, reader),
            (_, Some(next)) => error.with(What::Next, 0, next),
            _ => error.with(What::Held, 0, 0),
        }
    }

    /// Unlocks it if this thread has it and has used it before. Otherwise returns false, and the caller must call
    /// [`unlock`](RawRwLock::unlock).
    #[inline(always)]
    pub fn unlock_at_once(&self) -> bool {
        let me = self.object.me_if_known();
        me.is_some_and(|me| self.words().unlock(me.bits(), &self.object).is_ok())
    }

    /// Unlocks it.
    pub fn unlock(&self) -> Result<(), Error> {
        let me = self.object.me().bits();
        self.words()
            .unlock(me, &self.object)
            .map_err(|_| self.not_owner(Action::Unlock))
    }

    /// Unlocks it for the guard of a reader. Does nothing in a child made by `fork` that has its parent's guard, or if
    /// another program has overwritten the lock: then this thread has nothing to unlock.
    #[inline]
    fn unlock_reading(&self) {
        let me = self.object.me_if_known();
        if !me.is_some_and(|me| self.words().unlock_reading_at_once(me.bits())) {
            self.unlock_reading_slow();
        }
    }

    #[cold]
    fn unlock_reading_slow(&self) {
        let me = self.object.me().bits();
        let _ = self.words().unlock_reading(me, &self.object);
    }

    #[inline]
    fn unlock_writing(&self) {
        let _ = self.words().unlock_writing(&self.object);
    }

    /// Marks the value as consistent.
    pub fn consistent(&self) -> Result<(), Error> {
        self.words()
            .consistent(&self.object)
            .map_err(|_| self.not_owner(Action::MarkConsistent))
    }

    #[cold]
    fn not_owner(&self, action: Action) -> Error {
        self.with_holder(
            self.object.error(ErrorKind::NotOwner).during(action),
            action,
        )
    }

    #[inline(always)]
    fn words(&self) -> &sync::RwLock {
        // SAFETY: the payload begins with the lock's words, 64-byte aligned, which are atomics and valid whatever their
        // bytes are; it is attached as long as the object lives.
        unsafe { self.object.payload().cast().as_ref() }
    }
}

impl<T: Plain> RwLock<T> {
    /// Opens the lock, or creates it with this initial value.
    ///
    /// # Errors
    /// Those of [`Mutex::open`](crate::Mutex::open).
    pub fn open(place: impl Into<Place>, first: T) -> Result<RwLock<T>, Error> {
        const {
            assert!(
                align_of::<T>() <= 64,
                "an object's payload is aligned to 64 bytes"
            )
        }
        let raw = RawRwLock::open(&place.into(), size_of::<T>(), |object| {
            // SAFETY: the payload has this size, and is attached for writing.
            unsafe { object.set_value(VALUE, first) }
        })?;
        Ok(RwLock {
            raw,
            value: PhantomData,
        })
    }

    /// Locks for reading; waits while another thread has the lock for writing, or waits to get it for writing.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait, which has changed nothing;
    /// [`Deadlock`](ErrorKind::Deadlock) (`EDEADLK`) if this thread has it locked for writing;
    /// [`NotRecoverable`](ErrorKind::NotRecoverable) (`ENOTRECOVERABLE`) if the value is lost.
    #[inline]
    pub fn read(&self) -> Result<RwLockReadGuard<'_, T>, Error> {
        self.read_until(Deadline::Never)
    }

    /// Locks for reading if no other thread has the lock for writing, or waits to get it for writing. Repeated tries
    /// make a liveness check of that thread at most once in 8 ms, and notice its death within 10 ms.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if another thread has the lock for writing, waits to get it for
    /// writing, or is just locking it, or if 64 threads read; and those of [`read`](RwLock::read).
    #[inline]
    pub fn try_read(&self) -> Result<RwLockReadGuard<'_, T>, Error> {
        self.read_until(Deadline::Now)
    }

    /// Locks for reading; waits at most this time on the monotonic clock. A time of zero is
    /// [`try_read`](RwLock::try_read).
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`) if this thread did not get the lock in this time, and those of
    /// [`read`](RwLock::read).
    pub fn read_timeout(&self, timeout: Duration) -> Result<RwLockReadGuard<'_, T>, Error> {
        self.read_until(Deadline::after(Some(timeout)))
    }

    #[inline]
    fn read_until(&self, deadline: Deadline) -> Result<RwLockReadGuard<'_, T>, Error> {
        let owner_died = if self.raw.read_at_once() {
            false
        } else {
            self.raw.read(deadline)?
        };
        Ok(RwLockReadGuard {
            lock: self,
            owner_died,
            this_thread: PhantomData,
        })
    }

    /// Locks for writing; waits while other threads have the lock.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait, which has changed nothing;
    /// [`Deadlock`](ErrorKind::Deadlock) (`EDEADLK`) if this thread has it already, for reading or for writing;
    /// [`NotRecoverable`](ErrorKind::NotRecoverable) (`ENOTRECOVERABLE`) if the value is lost.
    #[inline]
    pub fn write(&self) -> Result<RwLockWriteGuard<'_, T>, Error> {
        self.write_until(Deadline::Never)
    }

    /// Locks for writing if no other thread has the lock. Each try makes a liveness check of each reader. Repeated
    /// tries make one of a writer at most once in 8 ms, and notice its death within 10 ms.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if another thread has it, or is just locking it; and those of
    /// [`write`](RwLock::write).
    #[inline]
    pub fn try_write(&self) -> Result<RwLockWriteGuard<'_, T>, Error> {
        self.write_until(Deadline::Now)
    }

    /// Locks for writing; waits at most this time on the monotonic clock while other threads have the lock. A time of
    /// zero is [`try_write`](RwLock::try_write).
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`) if this thread did not get the lock in this time, and those of
    /// [`write`](RwLock::write).
    pub fn write_timeout(&self, timeout: Duration) -> Result<RwLockWriteGuard<'_, T>, Error> {
        self.write_until(Deadline::after(Some(timeout)))
    }

    #[inline]
    fn write_until(&self, deadline: Deadline) -> Result<RwLockWriteGuard<'_, T>, Error> {
        let owner_died = self.raw.write(deadline)?;
        Ok(RwLockWriteGuard {
            lock: self,
            owner_died,
            this_thread: PhantomData,
        })
    }

    fn value(&self) -> T {
        // SAFETY: `open` has made the payload of this size, and it is attached as long as the object lives.
        unsafe { self.raw.object.value(VALUE) }
    }

    interrupt_methods!(self, self.raw.object.interrupt());
    segment_methods!(self, self.raw.object);
}

/// The lock of an [`RwLock`] for reading, and the access to its value. Dropping it unlocks the lock.
///
/// The value is copied out, and the guard gives no reference to it, because a hostile process can write it without the
/// lock. The guard stays in its thread; other threads may read the value through a reference to the guard.
#[must_use = "the lock is unlocked when its guard is dropped"]
pub struct RwLockReadGuard<'a, T: Plain> {
    lock: &'a RwLock<T>,
    owner_died: bool,
    /// The lock belongs to a thread, so its guard stays there.
    this_thread: PhantomData<*const ()>,
}

impl<T: Plain> RwLockReadGuard<'_, T> {
    /// Returns whether a writer died while it had the lock, and no later writer has marked the value as consistent.
    /// Then the value may be half changed. A reader cannot repair it: drop this guard, which loses nothing, and call
    /// [`write`](RwLock::write).
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.owner_died
    }

    /// Returns a copy of the value.
    #[must_use]
    pub fn get(&self) -> T {
        self.lock.value()
    }
}

/// The lock of an [`RwLock`] for writing, and the access to its value. Dropping it unlocks the lock.
///
/// The value is copied in and out, and the guard gives no reference to it, because a hostile process can write it
/// without the lock. The guard stays in its thread; other threads may read the value through a reference to the guard.
#[must_use = "the lock is unlocked when its guard is dropped"]
pub struct RwLockWriteGuard<'a, T: Plain> {
    lock: &'a RwLock<T>,
    owner_died: bool,
    /// The lock belongs to a thread, so its guard stays there.
    this_thread: PhantomData<*const ()>,
}

impl<T: Plain> RwLockWriteGuard<'_, T> {
    /// Returns whether a writer died while it had the lock, and no writer has marked the value as consistent since.
    /// Then the value may be half changed.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.owner_died
    }

    /// Marks the value as consistent, after [`owner_died`](RwLockWriteGuard::owner_died) and a repair.
    pub fn mark_consistent(&mut self) {
        if self.lock.raw.consistent().is_ok() {
            self.owner_died = false;
        }
    }

    /// Returns a copy of the value.
    #[must_use]
    pub fn get(&self) -> T {
        self.lock.value()
    }

    /// Sets the value.
    pub fn set(&mut self, value: T) {
        // SAFETY: `open` has made the payload of this size, and attached it for writing.
        unsafe { self.lock.raw.object.set_value(VALUE, value) }
    }

    /// Changes the value: copies it, calls `change` with the copy, and copies that back. Returns what `change`
    /// returns. If `change` panics, the value stays as it was.
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.get();
        let result = change(&mut value);
        self.set(value);
        result
    }
}

impl<T: Plain> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock_reading();
    }
}

impl<T: Plain> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.unlock_writing();
    }
}

macro_rules! shared_and_shown {
    ($Guard:ident) => {
        // SAFETY: a shared reference to the guard can only copy the value out, and `T` is `Sync`.
        unsafe impl<T: Plain> Sync for $Guard<'_, T> {}

        /// Writes a copy of the value.
        impl<T: Plain + fmt::Display> fmt::Display for $Guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.get().fmt(f)
            }
        }

        impl<T: Plain + fmt::Debug> fmt::Debug for $Guard<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Guard))
                    .field("value", &self.get())
                    .field("owner_died", &self.owner_died)
                    .finish()
            }
        }
    };
}

shared_and_shown!(RwLockReadGuard);
shared_and_shown!(RwLockWriteGuard);
