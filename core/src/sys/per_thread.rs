//! Memory of each thread's own that needs no allocator.
//!
//! A thread-local variable would do in a program that is linked with the library. In one that has loaded it with
//! `dlopen`, a thread's first use of such a variable allocates with `malloc`: a signal handler may wait for ever
//! for the lock, and without memory the process is aborted. So the memory is mapped, and found by a key of
//! `pthread_getspecific(3)`.
//!
//! glibc keeps the values of a process' first 32 keys in the thread itself; for those of more keys it allocates. So
//! the key is made when the library is loaded. Only in a process that had 32 keys before it loaded the library with
//! `dlopen` does a thread's first use allocate; an error is all that comes of a lack of memory there.

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

/// A `T` for each thread that asks for one; it begins as zeroes and goes with its thread.
pub struct PerThread<T> {
    /// The key and 1; 0 if there is none yet, and [`GONE`].
    key: AtomicU64,
    of: PhantomData<fn() -> T>,
}

/// What a thread has.
pub enum Own<'a, T> {
    /// It has not asked for any.
    Nothing,
    /// It has asked for some, and there was no memory.
    Refused,
    Memory(&'a T),
}

/// In place of a key that was deleted: the same number may be another library's from now on.
const GONE: u64 = u64::MAX;

/// Stands for memory that could not be had.
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

    /// Returns what the calling thread has. The reference must not go to another thread.
    #[inline]
    pub fn get(&self) -> Own<'_, T> {
        // Acquire: pairs with the exchange in `make_key`; the key was made before.
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
            // SAFETY: `make` has mapped it for this thread, as zeroes, which are valid; it stays until the
            // thread's end.
            Own::Memory(unsafe { &*value.cast::<T>() })
        }
    }

    /// Returns the calling thread's memory, which is mapped if it has none. `None` if that is not possible.
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
        // SAFETY: the value is a page that is nowhere else, or the mark. A signal handler that has done the
        // same since `get` has its page replaced, and it is lost.
        let kept = unsafe { libc::pthread_setspecific(key, value) } == 0;
        match (page, kept) {
            // SAFETY: a page of zeroes, which are valid, and it is large enough.
            (Ok(page), true) => NonNull::new(page.cast::<T>()).map(|own| unsafe { own.as_ref() }),
            (Ok(page), false) => {
                // SAFETY: it was just mapped, and nothing knows of it.
                unsafe { release(page, page_size()) };
                None
            }
            (Err(_), _) => None,
        }
    }

    /// Makes the key, so that few were made before it. If there is none to be had, the first use tries again.
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
        // SAFETY: there is room for a key; the function takes what `make` has stored under it.
        if unsafe { libc::pthread_key_create(&raw mut made, Some(unmap)) } != 0 {
            return None;
        }
        let key = u64::from(made) + 1;
        // Release in AcqRel: a thread that sees the key may use it. Acquire: as in `get`.
        match self.key.compare_exchange(0, key, AcqRel, Acquire) {
            Ok(_) => Some(key),
            Err(first) => {
                // SAFETY: this function has made it, and nothing knows of it.
                unsafe { libc::pthread_key_delete(made) };
                Some(first)
            }
        }
    }

    /// Gives the key back, before the library is unloaded: threads that end later would call a function that is
    /// no longer there. Their pages stay. From now on, no thread has anything.
    pub fn forget(&self) {
        // Acquire: as in `get`; nothing is handed over with the mark.
        let key = self.key.swap(GONE, Acquire);
        if key != 0 && key != GONE {
            // SAFETY: a key of this process, which is not used again.
            unsafe { libc::pthread_key_delete((key - 1) as libc::pthread_key_t) };
        }
    }
}

/// Takes a thread's page at its end.
unsafe extern "C" fn unmap(value: *mut c_void) {
    if value != refused() {
        // SAFETY: `make` has mapped it, and its thread ends.
        unsafe { release(value, page_size()) };
    }
}
