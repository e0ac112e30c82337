//! Memory for each thread, without an allocator.
//!
//! A thread-local variable would suffice in a program that is linked with the library. After `dlopen`, a thread's
//! first use of such a variable calls `malloc`: a signal handler may wait for ever for malloc's lock, and glibc
//! aborts the process if there is no memory. So this module maps the memory, and finds it by
//! `pthread_getspecific(3)`.
//!
//! glibc keeps the values of a process's first 32 keys in the thread itself, and allocates for further keys. So
//! the library makes its key when it is loaded. A thread's first use allocates only in a process that had 32
//! keys before it loaded the library with `dlopen`; there, a lack of memory is an error and nothing worse.

use super::memory::{map_anonymous, page_size, release};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr::{self, NonNull},
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire},
    },
};

/// A `T` for each thread that requests one: zeroes at first, and unmapped when the thread ends.
pub struct PerThread<T> {
    /// The key plus 1; 0 if there is none yet, and [`GONE`] after `forget`.
    key: AtomicU64,
    of: PhantomData<fn() -> T>,
}

/// A thread's memory.
pub enum Own<'a, T> {
    /// The thread has not requested any.
    Nothing,
    /// The thread has requested some, and there was none.
    Refused,
    Memory(&'a T),
}

/// Replaces a deleted key, whose number another library may get.
const GONE: u64 = u64::MAX;

/// Its address marks memory that could not be mapped.
static REFUSED: u8 = 0;

fn refused() -> *mut c_void {
    ptr::from_ref(&REFUSED).cast_mut().cast()
}

impl<T> PerThread<T> {
    /// # Safety
    /// `T` must be valid as zeroes, have no destructor, and fit into a page.
    pub const unsafe fn new() -> PerThread<T> {
        assert!(size_of::<T>() <= 4096);
        PerThread {
            key: AtomicU64::new(0),
            of: PhantomData,
        }
    }

    /// Returns the calling thread's memory. The reference must not be passed to another thread.
    #[inline]
    pub fn get(&self) -> Own<'_, T> {
        // Acquire: pairs with the release in `make_key`, so that the key exists.
        let value = match self.key.load(Acquire) {
            0 | GONE => ptr::null_mut(),
            // SAFETY: it is a key of this process.
            key => unsafe { libc::pthread_getspecific((key - 1) as libc::pthread_key_t) },
        };
        if value.is_null() {
            Own::Nothing
        } else if value == refused() {
            Own::Refused
        } else {
            // SAFETY: `make` has mapped it for this thread as zeroes, which are valid, and it stays until the
            // thread ends.
            Own::Memory(unsafe { &*value.cast::<T>() })
        }
    }

    /// Returns the calling thread's memory, and maps it on first use. `None` if that fails.
    #[inline]
    pub fn get_or_make(&self) -> Option<&T> {
        match self.get() {
            Own::Memory(own) => Some(own),
            Own::Nothing | Own::Refused => self.make(),
        }
    }

    #[cold]
    fn make(&self) -> Option<&T> {
        let key = self.key()?;
        let page = map_anonymous(page_size(), libc::PROT_READ | libc::PROT_WRITE);
        let value = page.unwrap_or(refused());
        // SAFETY: the value is a new page, or the mark. If a signal handler has done the same since `get`, this
        // replaces its page, which stays mapped.
        let kept = unsafe { libc::pthread_setspecific(key, value) } == 0;
        match (page, kept) {
            // SAFETY: the page is large enough, and its zeroes are valid.
            (Ok(page), true) => NonNull::new(page.cast::<T>()).map(|own| unsafe { own.as_ref() }),
            (Ok(page), false) => {
                // SAFETY: it was just mapped, and no other code knows of it.
                unsafe { release(page, page_size()) };
                None
            }
            (Err(_), _) => None,
        }
    }

    /// Makes the key early, so that it is among the first. If that fails, the first use tries again.
    pub fn prepare(&self) {
        let _ = self.key();
    }

    fn key(&self) -> Option<libc::pthread_key_t> {
        // Acquire: as in `get`.
        let key = match self.key.load(Acquire) {
            0 => self.make_key()?,
            key => key,
        };
        (key != GONE).then(|| (key - 1) as libc::pthread_key_t)
    }

    fn make_key(&self) -> Option<u64> {
        let mut made = 0;
        // SAFETY: there is room for a key, and `unmap` takes the values that `make` stores.
        if unsafe { libc::pthread_key_create(&raw mut made, Some(unmap)) } != 0 {
            return None;
        }
        let key = u64::from(made) + 1;
        // Release: pairs with the acquire in `get`. Acquire: as in `get`.
        match self.key.compare_exchange(0, key, AcqRel, Acquire) {
            Ok(_) => Some(key),
            Err(first) => {
                // SAFETY: it was just made, and no other code knows of it.
                unsafe { libc::pthread_key_delete(made) };
                Some(first)
            }
        }
    }

    /// Deletes the key before the library is unloaded: otherwise threads that end later would call a function that no
    /// longer exists. Their pages stay mapped, and no thread finds its memory from now on.
    pub fn forget(&self) {
        // Acquire: as in `get`. No release: nothing is read after the mark was seen.
        let key = self.key.swap(GONE, Acquire);
        if key != 0 && key != GONE {
            // SAFETY: a key of this process, which is not used again.
            unsafe { libc::pthread_key_delete((key - 1) as libc::pthread_key_t) };
        }
    }
}

/// Unmaps the page of a thread that ends.
unsafe extern "C" fn unmap(value: *mut c_void) {
    if value != refused() {
        // SAFETY: `make` has mapped it, and the only thread that uses it ends.
        unsafe { release(value, page_size()) };
    }
}
