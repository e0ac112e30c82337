//! A failed call of the library as a Python exception.

use pyo3::{exceptions::PyBufferError, prelude::*, sync::PyOnceLock, types::PyDict};
use shmkey::capi::shm_last_error;
use std::{ffi::CStr, io};

/// Why a call failed.
pub enum Failure {
    /// A call of the library failed with this errno; `shm_last_error` has the text.
    Errno(i32),
    /// Python has an exception: one that a signal handler raised, or one about an argument.
    Raised(PyErr),
}

impl From<PyErr> for Failure {
    fn from(raised: PyErr) -> Failure {
        Failure::Raised(raised)
    }
}

/// Makes the exception, with the text of `shm_last_error`.
impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        let errno = match failure {
            Failure::Errno(errno) => errno,
            Failure::Raised(raised) => return raised,
        };
        // SAFETY: the library returns a string of this thread, which stays until its next failure.
        let text = unsafe { CStr::from_ptr(shm_last_error()) }.to_string_lossy();
        exception(errno, &text)
    }
}

/// Makes the exception for an errno, of the class that `shmkey/_errors.py` has for it. Runs no code in Python: see
/// `wait::Hang`.
#[cold]
pub fn exception(errno: i32, text: &str) -> PyErr {
    static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    Python::attach(|py| {
        let exception = || {
            let classes = CLASSES.import(py, "shmkey._errors", "CLASSES")?;
            let class = match classes.get_item(errno)? {
                Some(class) => class,
                None => classes.as_any().get_item(0)?,
            };
            class.call1((errno, text))
        };
        exception().map_or_else(|error| error, PyErr::from_value)
    })
}

/// Returns the errno that a call has just set.
pub fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Returns the result of a function of C; fails if it is negative.
pub fn check(result: i64) -> Result<i64, Failure> {
    if result < 0 {
        return Err(Failure::Errno(errno()));
    }
    Ok(result)
}

/// Makes the exception for memory that cannot be released, because it is in use.
#[cold]
pub fn in_use(what: &str) -> PyErr {
    PyBufferError::new_err(what.to_owned())
}
