//! Waiting without the GIL, in slices, so that a signal that arrives just before a wait is noticed, too.

use crate::failure::{Failure, errno};
use pyo3::{exceptions::PyValueError, prelude::*};
use std::time::{Duration, Instant};

/// The longest time for which a wait does not check for signals. A signal that arrives during the wait ends it at once
/// (`EINTR`).
const SLICE: Duration = Duration::from_secs(1);

/// A closure that runs without the GIL.
struct Detached<F>(F);

// SAFETY: the closures passed here use only addresses of memory that their caller keeps, and no Python object; they
// run in the thread that made them.
unsafe impl<F> Send for Detached<F> {}

impl<R, F: FnMut() -> R> Detached<F> {
    fn run(mut self) -> R {
        (self.0)()
    }
}

/// Runs a closure without the GIL. It must not use Python objects.
pub fn detached<R: Send>(py: Python<'_>, call: impl FnMut() -> R) -> R {
    let call = Detached(call);
    py.detach(move || call.run())
}

/// Converts a timeout in seconds; `None` is without limit.
pub fn duration(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = timeout else {
        return Ok(None);
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(
            "a timeout is 0 or more seconds, or None to wait without limit",
        ));
    }
    // A longer time than a duration can express never ends in practice.
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

/// Calls a function of C, which takes a timeout in nanoseconds and returns a negative number if it fails, until it
/// succeeds, fails, or this time has passed. The first of these calls does not wait, and keeps the GIL.
#[inline]
pub fn wait(
    py: Python<'_>,
    timeout: Option<f64>,
    mut call: impl FnMut(i64) -> i64,
) -> Result<i64, Failure> {
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
