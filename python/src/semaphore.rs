//! Semaphores.

use crate::{
    failure::check,
    object::{Object, Place, functions},
    wait::wait,
};
use pyo3::prelude::*;
use shmkey::capi::{
    shm_semaphore_fd, shm_semaphore_open_at, shm_semaphore_post, shm_semaphore_value,
    shm_semaphore_wait,
};
use std::ffi::c_int;

/// See ``shmkey.Semaphore``.
#[pyclass(extends = Object, subclass, module = "shmkey._core")]
pub struct Semaphore;

#[pymethods]
impl Semaphore {
    #[new]
    fn new(py: Python<'_>, place: Place, first: u32, flags: c_int) -> PyResult<(Self, Object)> {
        let functions = functions!(
            shm_semaphore_id,
            shm_semaphore_removed,
            shm_semaphore_canceller,
            shm_semaphore_set_interruptible,
            shm_semaphore_close
        );
        // SAFETY: the place and its strings live during the call.
        let opened = place.open(py, |place| unsafe {
            shm_semaphore_open_at(place, first, flags)
        });
        Ok((Semaphore, Object::new(opened, functions)?))
    }

    /// Raises the count by one, and wakes one thread that waits.
    ///
    /// Raises OSError (EOVERFLOW) if the count is 2147483647.
    fn post(slf: PyRef<'_, Self>) -> PyResult<()> {
        let raw = slf.as_super().raw()?;
        // SAFETY: the handle is open.
        check(unsafe { shm_semaphore_post(raw.cast()) }.into())?;
        Ok(())
    }

    /// Lowers the count by one; waits while it is 0, at most ``timeout`` seconds (None: without limit; 0: not at all).
    ///
    /// Raises TimeoutError, BlockingIOError if timeout is 0, and shmkey.Cancelled.
    #[pyo3(signature = (timeout=None))]
    fn wait(slf: PyRef<'_, Self>, timeout: Option<f64>) -> PyResult<()> {
        let raw = slf.as_super().raw()?;
        // SAFETY: the handle is open, and borrowed during the call.
        wait(slf.py(), timeout, |timeout| unsafe {
            shm_semaphore_wait(raw.cast(), timeout).into()
        })?;
        Ok(())
    }

    /// The count now.
    #[getter]
    fn value(slf: PyRef<'_, Self>) -> PyResult<i64> {
        let raw = slf.as_super().raw()?;
        // SAFETY: the handle is open.
        Ok(check(unsafe { shm_semaphore_value(raw.cast()) }.into())?)
    }

    /// Returns a descriptor that is readable when the count may be above 0, for selectors and event loops. When it is
    /// readable, call ``wait(0)`` until that raises BlockingIOError, which makes it unreadable until the next post, but
    /// for at most 250 ms.
    fn fileno(slf: PyRef<'_, Self>) -> PyResult<i64> {
        let raw = slf.as_super().raw()?;
        // SAFETY: the handle is open.
        Ok(check(unsafe { shm_semaphore_fd(raw.cast()) }.into())?)
    }
}
