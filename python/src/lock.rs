//! Mutexes, reader-writer locks and condition variables. The guards are in `shmkey/_locks.py`.

use crate::{
    failure::{Failure, check, errno},
    memory::Lease,
    object::{Functions, Loan, Object, Place, functions, of_handle},
    wait::{Slices, detached, duration, wait},
};
use pyo3::{exceptions::PyTypeError, prelude::*};
use shmkey::capi::{
    shm_condvar_notify_all, shm_condvar_notify_one, shm_condvar_open_at, shm_condvar_wait,
    shm_mutex_open_at, shm_rwlock_open_at,
};
use std::{
    ffi::{CString, c_int, c_void},
    time::Duration,
};

/// The functions of a lock.
struct Calls {
    common: &'static Functions,
    read: fn(*mut c_void, i64) -> c_int,
    write: fn(*mut c_void, i64) -> c_int,
    data: fn(*mut c_void) -> *mut c_void,
    consistent: fn(*mut c_void) -> c_int,
    unlock: fn(*mut c_void) -> c_int,
}

static MUTEX: Calls = Calls {
    common: functions!(
        shm_mutex_id,
        shm_mutex_removed,
        shm_mutex_canceller,
        shm_mutex_set_interruptible,
        shm_mutex_close
    ),
    read: of_handle!(shmkey::capi::shm_mutex_lock, timeout),
    write: of_handle!(shmkey::capi::shm_mutex_lock, timeout),
    data: of_handle!(shmkey::capi::shm_mutex_data),
    consistent: of_handle!(shmkey::capi::shm_mutex_consistent),
    unlock: of_handle!(shmkey::capi::shm_mutex_unlock),
};

static RWLOCK: Calls = Calls {
    common: functions!(
        shm_rwlock_id,
        shm_rwlock_removed,
        shm_rwlock_canceller,
        shm_rwlock_set_interruptible,
        shm_rwlock_close
    ),
    read: of_handle!(shmkey::capi::shm_rwlock_read, timeout),
    write: of_handle!(shmkey::capi::shm_rwlock_write, timeout),
    data: of_handle!(shmkey::capi::shm_rwlock_data),
    consistent: of_handle!(shmkey::capi::shm_rwlock_consistent),
    unlock: of_handle!(shmkey::capi::shm_rwlock_unlock),
};

/// A mutex or a reader-writer lock. See ``shmkey.Mutex`` and ``shmkey.RwLock``.
#[pyclass(extends = Object, subclass, module = "shmkey._core")]
pub struct Lock {
    calls: &'static Calls,
    size: usize,
}

#[pymethods]
impl Lock {
    #[new]
    fn new(
        py: Python<'_>,
        is_mutex: bool,
        place: Place,
        size: usize,
        layout: &str,
        flags: c_int,
    ) -> PyResult<(Self, Object)> {
        let layout = CString::new(layout)?;
        let layout = layout.as_ptr();
        // SAFETY: the place, its strings and the layout live during the call.
        let (calls, opened) = unsafe {
            if is_mutex {
                let open = |place: &_| shm_mutex_open_at(place, size, layout, flags);
                (&MUTEX, place.open(py, open))
            } else {
                let open = |place: &_| shm_rwlock_open_at(place, size, layout, flags);
                (&RWLOCK, place.open(py, open))
            }
        };
        Ok((Lock { calls, size }, Object::new(opened, calls.common)?))
    }

    /// Locks for writing, or for reading. Returns whether the last writer died while it had the lock.
    fn acquire(slf: PyRef<'_, Self>, write: bool, timeout: Option<f64>) -> PyResult<bool> {
        let (raw, calls) = (slf.as_super().raw()?, slf.calls);
        let lock = if write { calls.write } else { calls.read };
        let locked = wait(slf.py(), timeout, |timeout| lock(raw, timeout).into())?;
        Ok(locked == i64::from(libc::EOWNERDEAD))
    }

    /// Unlocks.
    fn unlock(slf: PyRef<'_, Self>) -> PyResult<()> {
        check((slf.calls.unlock)(slf.as_super().raw()?).into())?;
        Ok(())
    }

    /// Marks the bytes as consistent.
    fn consistent(slf: PyRef<'_, Self>) -> PyResult<()> {
        check((slf.calls.consistent)(slf.as_super().raw()?).into())?;
        Ok(())
    }

    /// Returns the bytes of the value in place.
    fn lease(slf: &Bound<'_, Self>, read_only: bool) -> PyResult<Lease> {
        let lock = slf.borrow();
        let address = (lock.calls.data)(lock.as_super().raw()?);
        // The address is valid until the handle is closed, which the loan prevents.
        let loan = Loan::new(slf.as_super());
        Lease::new(slf.py(), (address, lock.size), read_only, loan)
    }
}

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

    /// Waits once, with a mutex that this thread has. Returns whether the wait ended before its timeout, and whether
    /// the last owner of the mutex died.
    ///
    /// A wait that is longer than a slice, or that a signal ends, returns early as if it was notified. Every wait may
    /// do that; waiting again in this call could miss a notification.
    fn wait_once(
        slf: PyRef<'_, Self>,
        mutex: PyRef<'_, Lock>,
        timeout: Option<f64>,
    ) -> PyResult<(bool, bool)> {
        if !std::ptr::eq(mutex.calls, &MUTEX) {
            return Err(PyTypeError::new_err(
                "a condition variable waits with a mutex",
            ));
        }
        let (py, raw, lock) = (slf.py(), slf.as_super().raw()?, mutex.as_super().raw()?);
        let timeout = duration(timeout)?;
        let mut slices = Slices::new(timeout);
        let slice = match timeout {
            Some(Duration::ZERO) => 0,
            _ => slices.next(),
        };
        let (result, errno) = detached(py, || {
            // SAFETY: both handles are open, and borrowed during the call; the second one is a mutex's.
            let result = unsafe { shm_condvar_wait(raw.cast(), lock.cast(), slice) };
            (result, errno())
        });
        match (result, errno) {
            (0.., _) => Ok((true, result == libc::EOWNERDEAD)),
            (_, libc::EAGAIN) => Ok((false, false)),
            (_, libc::ETIMEDOUT) => Ok((!slices.is_over(), false)),
            (_, libc::EINTR) => py.check_signals().map(|()| (true, false)),
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
