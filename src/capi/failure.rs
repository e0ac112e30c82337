//! How a failure reaches C: −1 or NULL, `errno`, and a sentence on request.

use crate::{Error, error::write_c_str, sys::Errno};
use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_int, c_void},
    ptr,
};

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

/// A result in C's form: the number, or −1.
pub(super) fn or_minus_one(result: Result<c_int, Error>) -> c_int {
    result.unwrap_or_else(|error| {
        record(&error);
        -1
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
