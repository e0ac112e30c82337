//! Waiting without the GIL, in slices, so that a signal that arrives just before a wait is noticed, too.

use crate::failure::{Failure, errno};
use pyo3::{exceptions::PyValueError, ffi, prelude::*};
use std::{
    mem, thread,
    time::{Duration, Instant},
};

/// The longest time for which a wait does not check for signals. A signal that arrives while the thread sleeps ends the
/// wait at once (`EINTR`), but not one that arrives just before that.
const SLICE: Duration = Duration::from_millis(250);

/// A thread without the GIL, which takes it again when this is dropped.
struct Detached(*mut ffi::PyThreadState);

impl Drop for Detached {
    fn drop(&mut self) {
        let hang = Hang;
        // SAFETY: it is the state that this thread had.
        unsafe { PyEval_RestoreThread(self.0) }
        mem::forget(hang);
    }
}

/// Dropping this stops the thread for good. While the interpreter ends, Python before 3.14 ends each other thread that
/// takes the GIL, by unwinding its stack. Unwinding a function of Rust would abort the process; this ends it first.
struct Hang;

impl Drop for Hang {
    fn drop(&mut self) {
        loop {
            thread::park();
        }
    }
}

unsafe extern "C-unwind" {
    fn PyEval_RestoreThread(state: *mut ffi::PyThreadState);
}

/// Runs a closure without the GIL. It must not use Python objects.
pub fn detached<R>(_: Python<'_>, mut call: impl FnMut() -> R) -> R {
    // SAFETY: the token shows that the thread has the GIL.
    let _detached = Detached(unsafe { ffi::PyEval_SaveThread() });
    call()
}

/// Converts a timeout in seconds; `None` is without limit.
pub fn duration(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = timeout else {
        return Ok(None);
    };
    if is_wrong(seconds) {
        return Err(PyValueError::new_err(
            "a timeout is 0 or more seconds, or None to wait without limit",
        ));
    }
    // A longer time than a duration can express never ends in practice.
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

fn is_wrong(seconds: f64) -> bool {
    seconds.is_nan() || seconds < 0.0
}

/// Calls a function of C, which takes a timeout in nanoseconds and returns a negative number if it fails, until it
/// succeeds, fails, or this time has passed. The first of these calls does not wait, and keeps the GIL.
#[inline]
pub fn wait(
    py: Python<'_>,
    timeout: Option<f64>,
    mut call: impl FnMut(i64) -> i64,
) -> Result<i64, Failure> {
    if timeout.is_some_and(is_wrong) {
        duration(timeout)?;
    }
    let result = call(0);
    if result >= 0 {
        return Ok(result);
    }
    wait_longer(py, timeout, errno(), &mut call)
}

#[cold]
fn wait_longer(
    py: Python<'_>,
    timeout: Option<f64>,
    failed: i32,
    call: &mut dyn FnMut(i64) -> i64,
) -> Result<i64, Failure> {
    let timeout = duration(timeout)?;
    if failed != libc::EAGAIN || timeout == Some(Duration::ZERO) {
        return Err(Failure::Errno(failed));
    }
    let mut slices = Slices::new(timeout);
    loop {
        py.check_signals()?;
        let slice = slices.next();
        let (result, errno) = detached(py, || {
            let result = call(slice);
            (result, errno())
        });
        if result >= 0 {
            return Ok(result);
        }
        let is_over = errno == libc::ETIMEDOUT && slices.is_over();
        if is_over || ![libc::ETIMEDOUT, libc::EINTR].contains(&errno) {
            return Err(Failure::Errno(errno));
        }
    }
}

/// The time that several calls have together.
pub struct TimeLeft {
    timeout: Option<f64>,
    deadline: Option<Instant>,
}

impl TimeLeft {
    pub fn new(timeout: Option<f64>) -> PyResult<TimeLeft> {
        let limit = duration(timeout)?.filter(|limit| !limit.is_zero());
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        Ok(TimeLeft { timeout, deadline })
    }

    /// Returns the timeout of the next call.
    pub fn seconds(&self) -> Option<f64> {
        match self.deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                Some(left.as_secs_f64())
            }
            None => self.timeout,
        }
    }
}

/// The parts of a wait.
pub struct Slices {
    deadline: Option<Instant>,
    is_last: bool,
}

impl Slices {
    pub fn new(timeout: Option<Duration>) -> Slices {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Slices {
            deadline,
            is_last: false,
        }
    }

    /// Returns the length of the next part in nanoseconds, 1 or more.
    pub fn next(&mut self) -> i64 {
        let left = self
            .deadline
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.is_last = left.is_some_and(|left| left <= SLICE);
        let slice = left.unwrap_or(SLICE).min(SLICE);
        slice.as_nanos().max(1) as i64
    }

    /// Returns whether the part that `next` returned last ends with the wait.
    pub fn is_over(&self) -> bool {
        self.is_last
    }
}
