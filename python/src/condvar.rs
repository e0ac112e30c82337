//! Condition variables.

use crate::{
    failure::{Failure, check, errno},
    guard::Guard,
    object::{Object, Place, functions},
    wait::{Slices, detached, duration},
};
use pyo3::{exceptions::PyTypeError, prelude::*};
use shmkey::capi::{
    shm_condvar_notify_all, shm_condvar_notify_one, shm_condvar_open_at, shm_condvar_wait,
};
use std::{ffi::c_int, time::Duration};

/// The errors of a wait after which the thread has the mutex.
const KEEP_THE_MUTEX: [i32; 4] = [libc::EAGAIN, libc::ETIMEDOUT, libc::EINTR, libc::ECANCELED];

/// See ``shmkey.Condvar``.
#[pyclass(extends = Object, subclass, module = "shmkey._core")]
pub struct Condvar;

#[pymethods]
impl Condvar {
    #[new]
    fn new(py: Python<'_>, place: Place, flags: c_int) -> PyResult<(Self, Object)> {
        let functions = functions!(
            shm_condvar_id,
            shm_condvar_removed,
            shm_condvar_canceller,
            shm_condvar_set_interruptible,
            shm_condvar_close
        );
        // SAFETY: the place and its strings live during the call.
        let opened = place.open(py, |place| unsafe { shm_condvar_open_at(place, flags) });
        Ok((Condvar, Object::new(opened, functions)?))
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again. Returns False at the timeout. A wait may
    /// also end without a notification: check the condition again, or use ``wait_for``. The timeout limits the wait for
    /// a notification, not the wait for the mutex, which neither Ctrl-C nor a Canceller ends.
    ///
    /// Raises Cancelled, after which the thread has the lock; NotOwner or NotRecoverable, after which it does not.
    #[pyo3(signature = (guard, timeout=None))]
    fn wait(
        slf: PyRef<'_, Self>,
        guard: &Bound<'_, Guard>,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        let (py, raw, timeout) = (slf.py(), slf.as_super().raw()?, duration(timeout)?);
        let mutex = Guard::lock_of(guard)?;
        let lock = mutex.borrow();
        if !lock.is_mutex() {
            return Err(PyTypeError::new_err(
                "a condition variable waits with the guard of a mutex",
            ));
        }
        let raw_lock = lock.as_super().raw()?;
        let mut slices = Slices::new(timeout);
        let slice = match timeout {
            Some(Duration::ZERO) => 0,
            _ => slices.next(),
        };
        let (result, errno) = detached(py, || {
            // SAFETY: both handles are open, and borrowed during the call; the second one is a mutex's.
            let result = unsafe { shm_condvar_wait(raw.cast(), raw_lock.cast(), slice) };
            (result, errno())
        });
        let is_held = result >= 0 || KEEP_THE_MUTEX.contains(&errno);
        Guard::after_wait(guard, is_held, result == libc::EOWNERDEAD)?;
        // A wait that is longer than a slice, or that a signal ends, returns early as if it was notified: waiting again
        // here could miss a notification.
        match (result, errno) {
            (0.., _) => Ok(true),
            (_, libc::EAGAIN) => Ok(false),
            (_, libc::ETIMEDOUT) => Ok(!slices.is_over()),
            (_, libc::EINTR) => py.check_signals().map(|()| true),
            _ => Err(Failure::Errno(errno).into()),
        }
    }

    /// Notifies one waiting thread. Does nothing if no thread waits: a notification is not kept.
    fn notify_one(slf: PyRef<'_, Self>) -> PyResult<()> {
        let raw = slf.as_super().raw()?;
        // SAFETY: the handle is open.
        check(unsafe { shm_condvar_notify_one(raw.cast()) }.into())?;
        Ok(())
    }

    /// Notifies all waiting threads.
    fn notify_all(slf: PyRef<'_, Self>) -> PyResult<()> {
        let raw = slf.as_super().raw()?;
        // SAFETY: the handle is open.
        check(unsafe { shm_condvar_notify_all(raw.cast()) }.into())?;
        Ok(())
    }
}
