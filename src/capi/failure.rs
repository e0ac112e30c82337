//! How a failure reaches C: −1 or NULL, `errno`, and a sentence on request.

use crate::{
    Error, ErrorKind,
    error::write_c_str,
    sys::{self, Errno},
};
use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_int, c_void},
    ptr,
};

/// A linker that takes this out of the static library, as every function needs it, takes that, too.
#[used]
static PRESENCE: &extern "C" fn() = &crate::presence::START;

/// Room for a sentence with a path in it; longer ones are cut.
const TEXT: usize = 1024;

thread_local! {
    /// The last failure's text. Plain bytes without a destructor, so that it works at any time in a
    /// thread's life, its end included.
    static LAST: UnsafeCell<[u8; TEXT]> = const { UnsafeCell::new([0; TEXT]) };
}

/// Records an error: its text for `shm_last_error`, its number for `errno`.
fn record(error: &Error) {
    LAST.with(|text| {
        // SAFETY: only this thread has this buffer, and nothing called here comes back to it. (A
        // signal handler that fails in the middle of this leaves a mixed text, in bounds and with
        // its NUL, as the header says.)
        write_c_str(error, unsafe { &mut *text.get() });
    });
    // Last, because looking for causes makes system calls of its own.
    Errno(error.errno()).set();
}

/// Stores an answer where C wants it. Returns C's 0.
///
/// # Safety
/// If there is memory at `to`, it must be the caller's to write.
pub(super) unsafe fn put<T>(bytes: &[u8], to: *mut T, call: &'static str) -> Result<c_int, Error> {
    // SAFETY: the caller gives the memory, if there is any.
    match unsafe { sys::write_foreign(bytes, to.cast()) } {
        Ok(()) => Ok(0),
        Err(Errno(libc::EFAULT)) => Err(Error::bad_pointer(
            call,
            "the pointer to the answer is NULL, leads nowhere, or to memory that is not writable",
        )),
        Err(errno) => Err(Error::new(ErrorKind::Other, errno.0, call)),
    }
}

/// Does something whose inner workings may fail and yet succeed as a whole: then errno is left as it
/// was.
pub(super) fn keeping_errno<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let before = Errno::last();
    let result = work();
    if result.is_ok() {
        before.set();
    }
    result
}

/// A result in C's form: the number, or −1.
pub(super) fn or_minus_one<T: From<i8>>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| {
        record(&error);
        T::from(-1)
    })
}

/// A result in C's form: the address, or NULL.
pub(super) fn or_null(result: Result<ptr::NonNull<u8>, Error>) -> *mut c_void {
    match result {
        Ok(address) => address.as_ptr().cast(),
        Err(error) => {
            record(&error);
            ptr::null_mut()
        }
    }
}

/// Why the calling thread's last failed call of this library failed: a sentence or two for a
/// person, in English and UTF-8, with the cause as far as it could be found out and what to do
/// about it. Like errno it means something right after a failure; a call that succeeds leaves it
/// alone. Before the first failure it is "no error".
///
/// Returns: a string, never NULL. It belongs to the library, is the calling thread's own, and
/// changes with that thread's next failure; copy it to keep it. At most 1023 bytes.
#[unsafe(no_mangle)]
pub extern "C" fn shm_last_error() -> *const c_char {
    LAST.with(|text| {
        let text = text.get().cast::<u8>();
        // SAFETY: the buffer is this thread's own, as above, and 1024 bytes long.
        if unsafe { *text } == 0 {
            c"no error".as_ptr()
        } else {
            text.cast_const().cast()
        }
    })
}
