//! How a failure reaches C: −1 or NULL, `errno`, and a sentence on request.

use crate::{
    Error, ErrorKind,
    error::{Failure, language},
    sys::{self, Errno, Own, PerThread},
};
use core::{
    cell::UnsafeCell,
    ffi::{c_char, c_int, c_void},
    fmt::{self, Write as _},
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A linker that takes this out of the static library, as every function needs it, takes that, too.
#[used]
static PRESENCE: &extern "C" fn() = &crate::presence::START;

/// Room for a sentence with a path in it; longer ones are cut.
const TEXT: usize = 1024;

/// A thread's last failure: plain bytes, which begin as zeroes.
struct Last {
    /// What the text is yet to be made of, when it is asked for: a [`Failure`] in integers; else the
    /// first is 0. Atomics are copied one by one, as they were stored: what a processor has not yet
    /// written to its cache is read again at no cost only like that.
    failure: [AtomicU64; 4],
    /// The text, if it is made.
    text: UnsafeCell<[u8; TEXT]>,
}

// SAFETY: integers and bytes, for which zeroes are valid, and which have no destructor: 1056 bytes.
static LAST: PerThread<Last> = unsafe { PerThread::new() };

/// Has `begin` called when the library is loaded.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

/// Makes the key now: most programs have few by then, so that it is one of those whose values glibc keeps in
/// the thread itself. A signal handler in which a call fails then allocates nothing.
extern "C" fn begin() {
    LAST.prepare();
}

/// Has `end` called when the library is unloaded, and at the end of the process.
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

extern "C" fn end() {
    LAST.forget();
}

impl Last {
    fn write(&self, what: &impl fmt::Display) {
        // SAFETY: only this thread has this buffer, and nothing called here comes back to it. (A
        // signal handler that fails in the middle of this leaves a mixed text, in bounds and with
        // its NUL, as the header says.)
        write_c_str(what, unsafe { &mut *self.text.get() });
    }

    #[inline(always)]
    fn keep(&self, words: [u64; 4]) {
        for (kept, word) in self.failure.iter().zip(words) {
            kept.store(word, Relaxed); // no other thread reads it
        }
    }

    #[inline(always)]
    fn kept(&self) -> Option<[u64; 4]> {
        let words = [0, 1, 2, 3].map(|i| self.failure[i].load(Relaxed)); // as above
        (words[0] != 0).then_some(words)
    }

    /// Returns the text, and makes it before if it is not made yet.
    fn text(&self) -> *const c_char {
        if let Some(failure) = self.kept().and_then(Failure::from_words) {
            let errno = Errno::last();
            self.write(&failure.text(language::of_c()));
            self.keep([0; 4]);
            errno.set();
        }
        let text = self.text.get().cast::<u8>();
        // SAFETY: the buffer is this thread's own, as above, and 1024 bytes long.
        if unsafe { *text } == 0 {
            c"no error".as_ptr()
        } else {
            text.cast_const().cast()
        }
    }
}

/// Writes an error into a buffer of fixed size as a C string, cut at a character's border if it is too
/// long.
fn write_c_str(error: &impl fmt::Display, buffer: &mut [u8]) {
    struct Cut<'a> {
        buffer: &'a mut [u8],
        len: usize,
    }
    impl fmt::Write for Cut<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = self.buffer.len() - 1 - self.len;
            let mut fits = text.len().min(room);
            while !text.is_char_boundary(fits) {
                fits -= 1;
            }
            self.buffer[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
            self.len += fits;
            if fits < text.len() {
                Err(fmt::Error)
            } else {
                Ok(())
            }
        }
    }
    if buffer.is_empty() {
        return;
    }
    let mut cut = Cut { buffer, len: 0 };
    // The only error is that the text did not fit, and then as much as fits is there.
    let _ = write!(cut, "{error}");
    let end = cut.len;
    cut.buffer[end] = 0;
}

/// Records an error: what `shm_last_error` needs, and its number for `errno`.
#[inline(always)]
fn record(error: Error) {
    match error.into_failure() {
        Ok(failure) => {
            let [tags, names, number, other] = failure.to_words();
            keep(tags, names, number, other, failure.kind.errno_of_object());
        }
        Err(error) => record_text(error),
    }
}

/// Records a failed operation on an object, in registers.
#[cold]
#[inline(never)]
fn keep(tags: u64, names: u64, number: u64, other: u64, errno: c_int) {
    if let Some(last) = LAST.get_or_make() {
        last.keep([tags, names, number, other]);
    }
    Errno(errno).set();
}

#[cold]
#[inline(never)]
fn record_text(error: Error) {
    let errno = error.errno();
    if let Some(last) = LAST.get_or_make() {
        last.keep([0; 4]);
        last.write(&error.into_text(language::of_c()));
    }
    // Last, because looking for causes makes system calls of its own.
    Errno(errno).set();
}

/// Stores an answer where the caller wants it. Returns 0.
///
/// # Safety
/// If there is memory at `to`, it must be the caller's to write.
pub(super) unsafe fn put<T>(bytes: &[u8], to: *mut T, call: &'static str) -> Result<c_int, Error> {
    // SAFETY: the caller gives the memory, if there is any.
    match unsafe { sys::write_foreign(bytes, to.cast()) } {
        Ok(()) => Ok(0),
        Err(Errno(libc::EFAULT)) => Err(Error::bad_pointer(
            call,
            "the address for the result is NULL, or not that of memory that this process can write",
        )),
        Err(errno) => Err(Error::new(ErrorKind::Other, errno.0, call)),
    }
}

/// Calls a function, and restores errno if it succeeds: a step inside it may have failed.
#[inline(always)]
pub(super) fn keeping_errno<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Asked for once, because it is a call of another library.
    let errno = Errno::place();
    // SAFETY: it is this thread's own, and lives as long as the thread.
    let before = unsafe { errno.read() };
    let result = work();
    if result.is_ok() {
        // SAFETY: as above.
        unsafe { errno.write(before) };
    }
    result
}

/// Converts a result for C: the number, or −1.
#[inline(always)]
pub(super) fn or_minus_one<T: From<i8>>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| {
        record(error);
        T::from(-1)
    })
}

/// Converts a result for C: the address, or NULL.
pub(super) fn or_null(result: Result<ptr::NonNull<u8>, Error>) -> *mut c_void {
    match result {
        Ok(address) => address.as_ptr().cast(),
        Err(error) => {
            record(error);
            ptr::null_mut()
        }
    }
}

/// Returns why the calling thread's last failed call of this library failed: a sentence or two in English and UTF-8,
/// with the cause, if it is known, and what to do about it. As with errno, it is meaningful only after a failure: a
/// call that succeeds does not change it.
///
/// The text of a failed operation on an object is made here, so a failed try costs no more than the try. It shows the
/// state of another process (running, sleeping, stopped, dead) at the time of this call. If the handle was closed after
/// the failure, the text still names the object, until 64 more handles have been closed. A thread's first failure maps
/// a page for the text; if there is no memory for that, the text says so.
///
/// Returns: a string of at most 1023 bytes, never NULL; "no error" before the first failure. It belongs to the library,
/// and is valid until the thread's next failure or its end. errno is not changed.
/// Threads: any, each with a text of its own; also in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub extern "C" fn shm_last_error() -> *const c_char {
    match LAST.get() {
        Own::Memory(last) => last.text(),
        Own::Nothing => c"no error".as_ptr(),
        Own::Refused => {
            c"a call has failed, and there was no memory to keep the reason: errno has its number"
                .as_ptr()
        }
    }
}

/// A failure, kept to make its text later: plain integers, which may be copied. They are valid in the process that has
/// stored them, and in its children.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct shm_failure {
    /// The library's own.
    pub words: [u64; 4],
}

/// Stores the calling thread's last failure, so that any thread can make its text later, also after other calls have
/// failed.
///
/// failure: where to store it; untouched unless the result is 1.
///
/// Returns: 1 if it was stored, for shm_failure_text(); 0 if there was no failure, or if its text is made already, like
/// that of a failure to create a segment: copy that from shm_last_error(). errno is not changed.
/// Threads: any, each with a failure of its own; not in a signal handler.
#[must_use]
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_last_failure(failure: *mut shm_failure) -> c_int {
    match LAST.get() {
        Own::Memory(last)
            if !failure.is_null()
                && let Some(words) = last.kept() =>
        {
            // SAFETY: the caller gives us the memory of one structure.
            unsafe { failure.write(shm_failure { words }) };
            1
        }
        _ => 0,
    }
}

/// Makes the text of a failure, as shm_last_error() does. errno is not changed.
///
/// failure: as shm_last_failure() has stored it. Other integers give an arbitrary text.
/// text: where to store at most size - 1 bytes and a NUL. 1024 bytes are enough for any text.
/// size: in bytes.
/// Threads: any; not in a signal handler.
#[cfg_attr(feature = "capi", unsafe(no_mangle))]
pub unsafe extern "C" fn shm_failure_text(
    failure: *const shm_failure,
    text: *mut c_char,
    size: usize,
) {
    if failure.is_null() || text.is_null() || size == 0 {
        return;
    }
    let errno = Errno::last();
    let mut buffer = [0; TEXT];
    let room = buffer.len().min(size);
    // SAFETY: the caller hands over a structure.
    match Failure::from_words(unsafe { (*failure).words }) {
        Some(failure) => write_c_str(&failure.text(language::of_c()), &mut buffer[..room]),
        None => write_c_str(&"no error", &mut buffer[..room]),
    }
    // SAFETY: the caller gives us `size` bytes, and there are as many in the buffer.
    unsafe { text.copy_from_nonoverlapping(buffer.as_ptr().cast(), room) };
    errno.set();
}
