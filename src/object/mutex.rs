//! A value that one thread of one process has at a time.

use crate::{
    Error, ErrorKind, Place, Plain,
    error::{Action, What},
    object::trust::Trust,
    object::{Kind, Object, Spec},
    sync::{self, Acquired, Deadline, LockError, Threads, WaitError, Waited},
};
use core::{fmt, marker::PhantomData};
use std::time::Duration;

/// A value in shared memory that one thread of one process has at a time, and that survives the death of that thread.
///
/// All processes open it with the same call; the first one creates it and sets its initial value.
///
/// ```
/// use shmkey::{ErrorKind, Mutex};
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a mutex {}", std::process::id());
/// let visitors = Mutex::<u64>::open(&name, 0)?;
/// {
///     let mut guard = visitors.lock()?;
///     if guard.owner_died() {
///         guard.mark_consistent(); // one number cannot be half written
///     }
///     guard.update(|count| *count += 1);
///     assert_eq!(guard.get(), 1);
/// } // unlocks it
///
/// match visitors.try_lock() {
///     Ok(guard) => println!("{} visitors", guard.get()),
///     Err(error) if error.kind() == ErrorKind::WouldBlock => println!("{error}"), // says which thread has it
///     Err(error) => return Err(error),
/// }
/// # visitors.remove()
/// # }
/// ```
///
/// *A dead owner.* A process can be killed at any instruction, even while it has the lock. The next thread that asks
/// for the lock recovers it at once. A thread that is waiting at that time notices the death within 10 ms during the
/// first 100 ms of its wait, and after that within 300 ms. For the thread that recovers the lock,
/// [`MutexGuard::owner_died`] is true: the value may be half changed. The thread repairs the value and calls
/// [`MutexGuard::mark_consistent`]. If it drops the guard without that, the value is lost: all later calls fail with
/// [`NotRecoverable`](ErrorKind::NotRecoverable).
///
/// *Waiting* spins for a few microseconds and then sleeps. Locking and unlocking make no system call unless a thread
/// waits. A thread that tries to lock a free mutex gets it before the threads that sleep, so the lock is not idle while
/// one of them wakes up. A thread that has waited for 50 ms is next: it stays awake for up to 2 ms, and the following
/// unlock leaves the lock to it, while a newcomer waits. Only a try, with a timeout of zero, can still come first.
///
/// *Removal.* [`remove`](Mutex::remove), or `shmkey remove`, frees the name at once. The processes that have the mutex
/// open keep it and exclude each other as before; a process that opens the name afterwards gets a new mutex with a new
/// value, and excludes none of them. [`is_removed`](Mutex::is_removed) returns whether that has happened. A process
/// that runs for a long time calls it at intervals; if that returns true, it drops the mutex and opens it again.
///
/// *Namespaces.* A lock of a process in another PID namespace is recovered when that process has
/// ended. For this, some processes keep a token of life: a segment of one byte that the kernel
/// destroys when the process ends, and that `ipcs` shows with the status *dest*. A process has a token
/// if it is outside of the initial PID namespace, if it has no `/proc` (before Linux 6.11), or if it
/// shares an object with processes of other namespaces. An owner whose state is unknown keeps the lock,
/// as long as another process has the segment attached. The state is unknown
///
/// - of a thread that died while its process is live, for processes of other namespaces;
/// - of a process of the initial namespace that took the lock before the first process of another
///   namespace opened the mutex, for processes that cannot see it (before Linux 6.14, for all of another namespace);
/// - of a process for whose token there was no segment left (`kernel.shmmni`), for the same;
/// - of a process that has changed its IPC namespace (`unshare`, `setns`) before it took the lock, for
///   the same.
///
/// A token distinguishes the threads of its process by their ids and 6 more bits. If the kernel gives the id of a dead
/// thread to a younger one of the same process, the two are confused in 1 of 63 cases: the younger one gets
/// [`Deadlock`](crate::ErrorKind::Deadlock) instead of recovering the lock.
///
/// *Fork.* A child may use what its parent opened. It does not have the lock of its parent: dropping its copy of a
/// guard does nothing. A child that shares its parent's memory, made by `vfork` or by `clone` with `CLONE_VM` and
/// without `CLONE_THREAD`, cannot be distinguished from its parent, and must not use objects.
///
/// *Exec.* Unlock before `exec`. A token ends with `exec`, and the next thread that asks for the lock recovers it.
/// Without a token, the new program keeps the lock, because it runs in the same thread.
///
/// *Threads*: several threads may use a `Mutex` at the same time; a guard stays in its thread. *Signals*: no method is
/// safe in a signal handler; see [`set_interruptible`](Mutex::set_interruptible).
///
/// *Memory:* 1024 bytes plus the value.
#[derive(Debug)]
pub struct Mutex<T: Plain> {
    raw: RawMutex,
    value: PhantomData<T>,
}

/// A mutex around bytes; the C API uses it directly.
#[derive(Debug)]
pub(crate) struct RawMutex {
    object: Object,
    trust: Trust,
}

impl RawMutex {
    /// Opens a mutex around `size` bytes. The process that creates it calls `first` to write them; they
    /// are zero before.
    pub fn open(place: &Place, size: usize, first: impl Fn(&Object)) -> Result<RawMutex, Error> {
        let spec = Spec {
            kind: Kind::Mutex,
            size,
            any_size: false,
            capacity: 0,
            layout: &place.layout,
            options: None,
        };
        let object = Object::open(place, &spec, first)?;
        Ok(RawMutex {
            object,
            trust: Trust::default(),
        })
    }

    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Locks it. Returns whether the last owner died while it had the lock.
    #[inline]
    pub fn lock(&self, deadline: Deadline) -> Result<bool, Error> {
        let deadline = deadline.or_at(self.object.interrupt());
        let threads = self.trust.of(&self.object);
        // A try at a lock that is held writes nothing.
        if matches!(deadline, Deadline::Now)
            && let (Some(holder), _) = self.words().look()
            && !threads.is_mine(holder)
            && !threads.seems_dead(holder)
        {
            let error = self.object.error(ErrorKind::WouldBlock);
            return Err(error.during(Action::Lock).with(What::Held, 0, holder));
        }
        let me = self.object.me().bits();
        match self.words().lock(me, &threads, deadline) {
            Ok(acquired) => Ok(acquired == Acquired::OwnerDied),
            Err(refused) => Err(self.not_locked(refused, deadline)),
        }
    }

    #[cold]
    fn not_locked(&self, refused: LockError, deadline: Deadline) -> Error {
        let error = match refused {
            LockError::TimedOut => {
                let holder = self.words().look().0.unwrap_or(0);
                self.object.late(deadline).with(What::Held, 0, holder)
            }
            LockError::Deadlock => self.object.error(ErrorKind::Deadlock),
            LockError::NotRecoverable => self.object.error(ErrorKind::NotRecoverable),
        };
        error.during(Action::Lock)
    }

    /// Locks it if it is free and its value consistent, and this thread has used it before. Returns false if
    /// not; then [`lock`](RawMutex::lock) returns the error. A `bool` takes half the time of an error in C.
    #[inline(always)]
    pub fn lock_at_once(&self) -> bool {
        let me = self.object.me_if_known();
        me.is_some_and(|me| self.words().lock_at_once(me.bits()))
    }

    /// Unlocks it. Returns false if this thread does not have it; then [`unlock`](RawMutex::unlock) returns
    /// the error.
    #[inline(always)]
    pub fn unlock_at_once(&self) -> bool {
        self.words().unlock(&self.object).is_ok()
    }

    /// Unlocks it.
    #[inline]
    pub fn unlock(&self) -> Result<(), Error> {
        self.words()
            .unlock(&self.object)
            .map_err(|_| self.not_owner(Action::Unlock))
    }

    /// Unlocks it, waits for a notification of the condition variable, and locks it again.
    pub fn wait(&self, condvar: &sync::Condvar, deadline: Deadline) -> Result<Waited, Error> {
        let threads = self.trust.of(&self.object);
        let me = self.object.me().bits();
        condvar
            .wait(self.words(), me, &threads, deadline)
            .map_err(|refused| match refused {
                WaitError::NotOwner => self.not_owner(Action::Wait),
                WaitError::NotRecoverable => {
                    let error = self.object.error(ErrorKind::NotRecoverable);
                    error.during(Action::Wait)
                }
            })
    }

    /// Marks the value as consistent.
    pub fn consistent(&self) -> Result<(), Error> {
        self.words()
            .consistent(&self.object)
            .map_err(|_| self.not_owner(Action::MarkConsistent))
    }

    #[cold]
    fn not_owner(&self, action: Action) -> Error {
        let holder = self.words().look().0.unwrap_or(0);
        let error = self.object.error(ErrorKind::NotOwner).during(action);
        error.with(What::Held, 0, holder)
    }

    #[inline(always)]
    fn words(&self) -> &sync::Mutex {
        // SAFETY: the words are atomics, and are valid whatever their bytes are.
        unsafe { self.object.words() }
    }
}

impl<T: Plain> Mutex<T> {
    /// Opens the mutex, or creates it with this initial value.
    ///
    /// # Errors
    /// Those of [`SegmentOptions::open`](crate::SegmentOptions::open). If the segment holds something else:
    /// [`Foreign`](ErrorKind::Foreign) (`EMEDIUMTYPE`), [`WrongKind`](ErrorKind::WrongKind) (`EPROTOTYPE`),
    /// [`WrongLayout`](ErrorKind::WrongLayout) (`EPROTO`),
    /// [`WrongVersion`](ErrorKind::WrongVersion) (`EPROTONOSUPPORT`),
    /// [`WrongMachine`](ErrorKind::WrongMachine) (`ENOEXEC`),
    /// [`KeyCollision`](ErrorKind::KeyCollision) (`ENOTUNIQ`), [`Truncated`](ErrorKind::Truncated) (`ENODATA`),
    /// [`Damaged`](ErrorKind::Damaged) (`EBADMSG`). [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`) if another
    /// process has begun to create it, is live, and has not finished within the [timeout](Place::timeout);
    /// [`ReadOnly`](ErrorKind::ReadOnly) (`EACCES`) if the segment's mode does not let this process write;
    /// [`EmptyName`](ErrorKind::EmptyName) and [`InvalidArgument`](ErrorKind::InvalidArgument) (`EINVAL`) for a
    /// name, layout, mode or offset out of range.
    pub fn open(place: impl Into<Place>, first: T) -> Result<Mutex<T>, Error> {
        const {
            assert!(
                align_of::<T>() <= 64,
                "an object's payload is aligned to 64 bytes"
            )
        }
        let raw = RawMutex::open(&place.into(), size_of::<T>(), |object| {
            // SAFETY: the payload has this size, and is attached for writing.
            unsafe { object.set_value(0, first) }
        })?;
        Ok(Mutex {
            raw,
            value: PhantomData,
        })
    }

    /// Locks the mutex; waits while another thread has it.
    ///
    /// # Errors
    /// [`Interrupted`](ErrorKind::Interrupted) (`EINTR`) and [`Cancelled`](ErrorKind::Cancelled) (`ECANCELED`) if a
    /// signal handler or a [`Canceller`](crate::Canceller) has ended the wait, which has changed nothing;
    /// [`Deadlock`](ErrorKind::Deadlock) (`EDEADLK`) if this thread has it already;
    /// [`NotRecoverable`](ErrorKind::NotRecoverable) (`ENOTRECOVERABLE`) if the value is lost.
    #[inline]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, Error> {
        self.lock_until(Deadline::Never)
    }

    /// Locks the mutex if no other thread has it. Makes a liveness check of the holder once in 8 ms, so tries
    /// notice its death within 10 ms.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) (`EAGAIN`) if another thread has it, and those of
    /// [`lock`](Mutex::lock).
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, Error> {
        self.lock_until(Deadline::Now)
    }

    /// Locks the mutex; waits at most this time on the monotonic clock while another thread has it. A time of
    /// zero is [`try_lock`](Mutex::try_lock).
    ///
    /// # Errors
    /// [`TimedOut`](ErrorKind::TimedOut) (`ETIMEDOUT`) if another thread has it for this time, and those of
    /// [`lock`](Mutex::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<MutexGuard<'_, T>, Error> {
        self.lock_until(Deadline::after(Some(timeout)))
    }

    #[inline]
    fn lock_until(&self, deadline: Deadline) -> Result<MutexGuard<'_, T>, Error> {
        if self.raw.lock_at_once() {
            return Ok(self.guard(false));
        }
        self.lock_or_wait(deadline)
    }

    fn lock_or_wait(&self, deadline: Deadline) -> Result<MutexGuard<'_, T>, Error> {
        self.raw
            .lock(deadline)
            .map(|owner_died| self.guard(owner_died))
    }

    pub(crate) fn raw(&self) -> &RawMutex {
        &self.raw
    }

    #[inline]
    pub(crate) fn guard(&self, owner_died: bool) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            owner_died,
            this_thread: PhantomData,
        }
    }

    interrupt_methods!(self, self.raw.object.interrupt());
    segment_methods!(self, self.raw.object);
}

/// The lock of a [`Mutex`], and the access to its value. Dropping it unlocks the mutex.
///
/// ```
/// use shmkey::Mutex;
///
/// # fn main() -> Result<(), shmkey::Error> {
/// # let name = format!("example of a guard {}", std::process::id());
/// let position = Mutex::open(&name, [0.0; 2])?;
/// let mut guard = position.lock()?;
/// guard.set([52.5, 13.4]);
/// guard.update(|[latitude, _]| *latitude += 0.1);
/// assert_eq!(guard.get(), [52.6, 13.4]);
/// drop(guard); // unlocks it
/// # position.remove()
/// # }
/// ```
///
/// The value is copied in and out, and the guard gives no reference to it, because a hostile process can write it
/// without the lock. The guard stays in its thread; other threads may read the value through a reference to the guard.
#[must_use = "the mutex is unlocked when its guard is dropped"]
pub struct MutexGuard<'a, T: Plain> {
    mutex: &'a Mutex<T>,
    owner_died: bool,
    /// The lock belongs to a thread, so its guard stays there.
    this_thread: PhantomData<*const ()>,
}

impl<'a, T: Plain> MutexGuard<'a, T> {
    /// Returns its mutex.
    pub(crate) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }

    /// Returns whether the last owner died while it had the lock, and the value was not marked as consistent
    /// since: it may be half changed.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.owner_died
    }

    /// Marks the value as consistent, after [`owner_died`](MutexGuard::owner_died) and a repair.
    pub fn mark_consistent(&mut self) {
        if self.mutex.raw.consistent().is_ok() {
            self.owner_died = false;
        }
    }

    /// Returns a copy of the value.
    #[must_use]
    pub fn get(&self) -> T {
        // SAFETY: `open` has made the payload of this size.
        unsafe { self.mutex.raw.object.value(0) }
    }

    /// Sets the value.
    pub fn set(&mut self, value: T) {
        // SAFETY: as in `get`; a mutex is attached for writing.
        unsafe { self.mutex.raw.object.set_value(0, value) }
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

// SAFETY: through a shared reference the value is copied out, and nothing else is done; `T` is `Sync`.
unsafe impl<T: Plain> Sync for MutexGuard<'_, T> {}

impl<T: Plain> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // It fails only in a child that has its parent's guard, or if another program has overwritten the
        // lock: then this thread has nothing to unlock.
        let _ = self.mutex.raw.unlock_at_once();
    }
}

/// Writes a copy of the value.
impl<T: Plain + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard")
            .field("value", &self.get())
            .field("owner_died", &self.owner_died)
            .finish()
    }
}
