//! The guards of locks. The class `Guard` is in `shmkey/_locks.py`.
//!
//! Locking makes the guard, and unlocking ends it, without a Python function in between: an exception that a signal
//! handler raises there would leave the lock locked.

use crate::{
    failure::exception,
    lock::Lock,
    memory::{Lease, copy, with_bytes},
    object::Loan,
};
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyTuple, PyType},
};
use std::{
    ffi::c_void,
    ptr,
    thread::{self, ThreadId},
};

/// See ``shmkey.Guard``.
#[pyclass(subclass, module = "shmkey._core")]
pub struct Guard {
    lock: Py<Lock>,
    is_read_only: bool,
    /// Whether the last owner died while it had the lock: the value may be half changed.
    #[pyo3(get)]
    owner_died: bool,
    /// `None` when the lock was unlocked.
    held: Option<Held>,
    lease: Option<Lease>,
}

/// That the lock is locked, which keeps the handle open.
struct Held {
    thread: ThreadId,
    _loan: Loan,
}

impl Guard {
    /// Calls the class of users, which locks the lock.
    pub fn of<'py>(lock: &Bound<'py, Lock>) -> PyResult<Bound<'py, Guard>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let class = CLASS.import(lock.py(), "shmkey._locks", "Guard")?;
        Ok(class.call1((lock, true))?.cast_into()?)
    }

    /// Returns the lock, if this is its guard still.
    pub fn lock<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Lock>> {
        if self.held.is_none() {
            return Err(PyValueError::new_err("the lock was unlocked"));
        }
        Ok(self.lock.bind(py).clone())
    }

    /// Returns the lock for a wait with a condition variable. The guard is not borrowed during the wait.
    pub fn lock_of<'py>(guard: &Bound<'py, Guard>) -> PyResult<Bound<'py, Lock>> {
        let text =
            "condition variable: wait: EPERM: the mutex was unlocked; lock it before the wait";
        let lock = guard.try_borrow()?.lock(guard.py());
        lock.map_err(|_| exception(libc::EPERM, text))
    }

    /// Notes after such a wait whether this thread has the mutex, and whether its last owner died.
    pub fn after_wait(guard: &Bound<'_, Guard>, is_held: bool, owner_died: bool) -> PyResult<()> {
        let mut guard = guard.try_borrow_mut()?;
        guard.owner_died = owner_died;
        if !is_held {
            guard.held = None;
        }
        Ok(())
    }

    /// Unlocks. If it fails in the thread that has locked it, such as in a child made by fork, there is nothing left to
    /// unlock.
    fn end(&mut self, py: Python<'_>) -> PyResult<()> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let unlocked = Lock::unlock(&self.lock.borrow(py));
        if unlocked.is_err() && held.thread != thread::current().id() {
            return Ok(unlocked?);
        }
        self.held = None;
        let released = self.lease.take().map(|mut lease| lease.end::<Loan>(py));
        unlocked?;
        released.transpose().map(drop)
    }
}

#[pymethods]
impl Guard {
    /// Locks a lock for writing, or for reading.
    #[new]
    #[pyo3(signature = (lock, write, timeout=None))]
    fn new(lock: &Bound<'_, Lock>, write: bool, timeout: Option<f64>) -> PyResult<Guard> {
        let owner_died = Lock::acquire(&lock.borrow(), write, timeout)?;
        Ok(Guard {
            lock: lock.clone().unbind(),
            is_read_only: !write,
            owner_died,
            held: Some(Held {
                thread: thread::current().id(),
                _loan: Loan::new(lock.as_super()),
            }),
            lease: None,
        })
    }

    /// The bytes of the value in place, as a memoryview, which is released when the lock is unlocked.
    #[getter]
    fn data<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let lock = self.lock(py)?;
        let lease = match self.lease.take() {
            Some(lease) => lease,
            None => {
                let (address, len) = Lock::bytes(&lock.borrow())?;
                let loan = Loan::new(lock.as_super());
                Lease::new(py, (address, len), self.is_read_only, loan)?
            }
        };
        self.lease.insert(lease).data(py)
    }

    /// The lock.
    #[getter]
    fn handle<'py>(&self, py: Python<'py>) -> Bound<'py, Lock> {
        self.lock.bind(py).clone()
    }

    /// Returns a copy of the bytes of the value.
    fn read_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let lock = self.lock(py)?;
        let (address, len) = Lock::bytes(&lock.borrow())?;
        // SAFETY: the handle is open, and its value has this many bytes.
        unsafe { copy(py, address, len) }
    }

    /// Writes the bytes of the value.
    fn write_bytes(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if slf.borrow().is_read_only {
            return Err(PyTypeError::new_err("the lock is locked for reading"));
        }
        with_bytes(value, |bytes: *const c_void, len| {
            let lock = slf.borrow().lock(slf.py())?;
            let (address, size) = Lock::bytes(&lock.borrow())?;
            if len != size {
                let text = format!("the value has {len} bytes, and the lock's {size}");
                return Err(PyValueError::new_err(text));
            }
            // SAFETY: both have this many bytes, which may overlap: the handle is open, and the caller has the lock.
            unsafe { ptr::copy(bytes.cast::<u8>(), address.cast(), len) }
            Ok(())
        })?
    }

    /// Marks the value as consistent, after ``owner_died`` and a repair. If this is not called, the value is lost when
    /// the lock is unlocked: later calls raise NotRecoverable.
    fn mark_consistent(&mut self, py: Python<'_>) -> PyResult<()> {
        Lock::mark_consistent(&self.lock.borrow(py))?;
        self.owner_died = false;
        Ok(())
    }

    /// Unlocks the lock. Does nothing if it is unlocked already.
    ///
    /// Raises BufferError if a view of the value other than ``data`` exists. The lock is unlocked nevertheless, so the
    /// view may show a half changed value. Raises shmkey.NotOwner in a thread that does not have the lock.
    pub fn unlock(&mut self, py: Python<'_>) -> PyResult<()> {
        self.end(py)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&mut self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.end(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.lock)?;
        if let Some(held) = &self.held {
            visit.call(&held._loan.0)?;
        }
        self.lease
            .as_ref()
            .map_or(Ok(()), |lease| lease.__traverse__(visit))
    }
}

/// Unlocks, unless another thread has the lock.
impl Drop for Guard {
    fn drop(&mut self) {
        if self.held.is_some() {
            Python::attach(|py| {
                // Python may be raising an exception, which must stay the current one.
                let raised = PyErr::take(py);
                drop(self.end(py));
                if let Some(raised) = raised {
                    raised.restore(py);
                }
            });
        }
    }
}
