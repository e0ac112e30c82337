//! glibc's synchronisation in shared memory: the robust mutex, and the semaphore.

use crate::processes::{Failure, Memory};
use std::mem::MaybeUninit;

/// A robust mutex that processes share, and the number that it protects.
pub struct RobustMutex(Memory);

#[repr(C)]
struct Guarded {
    mutex: libc::pthread_mutex_t,
    number: u64,
}

impl RobustMutex {
    pub fn new() -> Result<RobustMutex, Failure> {
        let memory = Memory::new(size_of::<Guarded>())?;
        let mutex = memory.as_ptr().cast::<libc::pthread_mutex_t>();
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised first; the mutex' memory is large enough, aligned
        // to a page, and not shared yet.
        unsafe {
            assert_eq!(libc::pthread_mutexattr_init(attributes), 0);
            libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST);
            assert_eq!(libc::pthread_mutex_init(mutex, attributes), 0);
            libc::pthread_mutexattr_destroy(attributes);
        }
        Ok(RobustMutex(memory))
    }

    #[inline]
    pub fn lock(&self) {
        // SAFETY: `new` has initialised it.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.mutex()) }, 0);
    }

    /// Locks it if it is free. Returns whether it was.
    #[inline]
    pub fn try_lock(&self) -> bool {
        // SAFETY: as above.
        unsafe { libc::pthread_mutex_trylock(self.mutex()) == 0 }
    }

    #[inline]
    pub fn unlock(&self) {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.mutex()) }, 0);
    }

    fn mutex(&self) -> *mut libc::pthread_mutex_t {
        self.0.as_ptr().cast()
    }

    /// Raises the number by one, under the lock.
    #[inline]
    pub fn add_one(&self) {
        let guarded = self.0.as_ptr().cast::<Guarded>();
        self.lock();
        // SAFETY: the memory holds a `Guarded`, and only the owner of the mutex accesses the number.
        unsafe {
            let number = &raw mut (*guarded).number;
            number.write_volatile(number.read_volatile() + 1);
        }
        self.unlock();
    }
}

/// A semaphore that processes share.
pub struct Semaphore(Memory);

impl Semaphore {
    pub fn new(first: u32) -> Result<Semaphore, Failure> {
        let memory = Memory::new(size_of::<libc::sem_t>())?;
        // SAFETY: the memory is large enough, aligned to a page, and not shared yet.
        let done = unsafe { libc::sem_init(memory.as_ptr().cast(), 1, first) };
        assert_eq!(done, 0);
        Ok(Semaphore(memory))
    }

    #[inline]
    pub fn post(&self) {
        // SAFETY: `new` has initialised it.
        assert_eq!(unsafe { libc::sem_post(self.0.as_ptr().cast()) }, 0);
    }

    #[inline]
    pub fn wait(&self) {
        // SAFETY: as above.
        while unsafe { libc::sem_wait(self.0.as_ptr().cast()) } != 0 {}
    }

    /// Lowers the count by one if it is not 0. Returns whether it did.
    #[inline]
    pub fn try_wait(&self) -> bool {
        // SAFETY: as above.
        unsafe { libc::sem_trywait(self.0.as_ptr().cast()) == 0 }
    }
}

/// A reader-writer lock that processes share.
pub struct RwLock(Memory);

impl RwLock {
    pub fn new() -> Result<RwLock, Failure> {
        let memory = Memory::new(size_of::<libc::pthread_rwlock_t>())?;
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: the attributes are initialised first; the lock's memory is large enough, aligned to a page, and
        // not shared yet.
        unsafe {
            assert_eq!(libc::pthread_rwlockattr_init(attributes), 0);
            libc::pthread_rwlockattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED);
            assert_eq!(
                libc::pthread_rwlock_init(memory.as_ptr().cast(), attributes),
                0
            );
            libc::pthread_rwlockattr_destroy(attributes);
        }
        Ok(RwLock(memory))
    }

    #[inline]
    pub fn read(&self) {
        // SAFETY: `new` has initialised it.
        let locked = unsafe { libc::pthread_rwlock_rdlock(self.0.as_ptr().cast()) };
        assert_eq!(locked, 0);
    }

    #[inline]
    pub fn unlock(&self) {
        // SAFETY: as above.
        let unlocked = unsafe { libc::pthread_rwlock_unlock(self.0.as_ptr().cast()) };
        assert_eq!(unlocked, 0);
    }
}

/// A number that two processes raise in turn, under a robust mutex, and a condition variable.
pub struct Turn {
    mutex: RobustMutex,
    changed: Memory,
}

impl Turn {
    pub fn new() -> Result<Turn, Failure> {
        let changed = Memory::new(size_of::<libc::pthread_cond_t>())?;
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: as for the reader-writer lock.
        unsafe {
            assert_eq!(libc::pthread_condattr_init(attributes), 0);
            libc::pthread_condattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED);
            assert_eq!(
                libc::pthread_cond_init(changed.as_ptr().cast(), attributes),
                0
            );
            libc::pthread_condattr_destroy(attributes);
        }
        let mutex = RobustMutex::new()?;
        Ok(Turn { mutex, changed })
    }

    /// Waits until the number is even or odd as `rank` is, raises it, and notifies the other process.
    pub fn take(&self, rank: u64) {
        let guarded = self.mutex.0.as_ptr().cast::<Guarded>();
        let condvar = self.changed.as_ptr().cast();
        self.mutex.lock();
        // SAFETY: `new` has initialised both, and only the owner of the mutex accesses the number.
        unsafe {
            let number = &raw mut (*guarded).number;
            while number.read_volatile() % 2 != rank {
                assert_eq!(libc::pthread_cond_wait(condvar, self.mutex.mutex()), 0);
            }
            number.write_volatile(number.read_volatile() + 1);
        }
        self.mutex.unlock();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::pthread_cond_signal(condvar) }, 0);
    }
}
