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
