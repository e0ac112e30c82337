//! Mutexes and reader-writer locks.

use crate::{
    failure::{Failure, check},
    guard::Guard,
    object::{Functions, Object, Place, functions, of_handle},
    wait::wait,
};
use pyo3::{PyTraverseError, PyVisit, prelude::*, types::PyTuple};
use shmkey::capi::{shm_mutex_open_at, shm_rwlock_open_at};
use std::{
    cell::RefCell,
    ffi::{CString, c_int, c_void},
    ptr,
    thread::{self, ThreadId},
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
    /// The guards of ``with``. Several threads can be in such a block: those that wait with a condition variable.
    entered: RefCell<Vec<(ThreadId, Py<Guard>)>>,
}

// SAFETY: the GIL protects the fields.
unsafe impl Sync for Lock {}

impl Lock {
    pub fn is_mutex(&self) -> bool {
        ptr::eq(self.calls, &MUTEX)
    }

    /// Returns the address of the value, which is valid until the handle is closed, and its size.
    pub fn bytes(slf: &PyRef<'_, Lock>) -> PyResult<(*mut c_void, usize)> {
        Ok(((slf.calls.data)(slf.as_super().raw()?), slf.size))
    }

    /// Locks for writing, or for reading. Returns whether the last writer died while it had the lock.
    pub fn acquire(slf: &PyRef<'_, Lock>, write: bool, timeout: Option<f64>) -> PyResult<bool> {
        let (raw, calls) = (slf.as_super().raw()?, slf.calls);
        let lock = if write { calls.write } else { calls.read };
        let locked = wait(slf.py(), timeout, |timeout| lock(raw, timeout).into())?;
        Ok(locked == i64::from(libc::EOWNERDEAD))
    }

    pub fn unlock(slf: &PyRef<'_, Lock>) -> Result<(), Failure> {
        check((slf.calls.unlock)(slf.as_super().raw()?).into()).map(drop)
    }

    pub fn mark_consistent(slf: &PyRef<'_, Lock>) -> Result<(), Failure> {
        check((slf.calls.consistent)(slf.as_super().raw()?).into()).map(drop)
    }
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
        let lock = Lock {
            calls,
            size,
            entered: RefCell::default(),
        };
        Ok((lock, Object::new(opened, calls.common)?))
    }

    /// Locks for writing. The guard ends in ``exit``, in the same thread.
    fn enter<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Guard>> {
        let guard = Guard::of(slf)?;
        let entry = (thread::current().id(), guard.clone().unbind());
        slf.borrow().entered.borrow_mut().push(entry);
        Ok(guard)
    }

    /// Unlocks what ``enter`` has locked in this thread.
    #[pyo3(signature = (*_exception))]
    fn exit(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        let lock = slf.borrow();
        let thread = thread::current().id();
        let entered = {
            let mut entered = lock.entered.borrow_mut();
            let index = entered.iter().rposition(|(owner, _)| *owner == thread);
            index.map(|index| entered.remove(index).1)
        };
        match entered {
            Some(guard) => guard.try_borrow_mut(slf.py())?.unlock(slf.py()),
            None => Ok(Lock::unlock(&lock)?), // fails: this thread has not locked it
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(entered) = self.entered.try_borrow() else {
            return Ok(());
        };
        entered.iter().try_for_each(|(_, guard)| visit.call(guard))
    }
}
