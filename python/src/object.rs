//! What all handles have in common: the base class, and where an object lies.

use crate::{
    failure::{Failure, check, in_use},
    memory::Owner,
};
use pyo3::{PyTraverseError, PyVisit, exceptions::PyValueError, prelude::*};
use shmkey::capi::{shm_cancel, shm_canceller, shm_place, shm_remove};
use std::{
    cell::Cell,
    ffi::{CString, c_int, c_void},
    mem, ptr,
};

/// The functions of a kind of handle that all kinds have.
pub struct Functions {
    pub id: fn(*mut c_void) -> c_int,
    pub removed: fn(*mut c_void) -> c_int,
    pub canceller: fn(*mut c_void) -> *mut shm_canceller,
    pub interruptible: fn(*mut c_void, c_int) -> c_int,
    pub close: fn(*mut c_void),
}

/// The functions of C that take a handle and return a number, as functions of any handle:
/// `of_handle!(shm_ring_fd)`.
macro_rules! of_handle {
    ($function:path $(, $argument:ident)*) => {
        // SAFETY: an `Object` calls its own functions only, with a handle that is open.
        |handle: *mut ::std::ffi::c_void $(, $argument)*| unsafe { $function(handle.cast() $(, $argument)*) }
    };
}

/// The functions of one kind, by their names in C.
macro_rules! functions {
    ($id:ident, $removed:ident, $canceller:ident, $interruptible:ident, $close:ident) => {{
        static FUNCTIONS: $crate::object::Functions = $crate::object::Functions {
            id: $crate::object::of_handle!(shmkey::capi::$id),
            removed: $crate::object::of_handle!(shmkey::capi::$removed),
            canceller: $crate::object::of_handle!(shmkey::capi::$canceller),
            interruptible: $crate::object::of_handle!(shmkey::capi::$interruptible, on),
            close: $crate::object::of_handle!(shmkey::capi::$close),
        };
        &FUNCTIONS
    }};
}
pub(crate) use {functions, of_handle};

/// A handle. Each call borrows it, so it cannot be closed during a call.
#[pyclass(subclass, module = "shmkey._core")]
pub struct Object {
    /// NULL after the handle was closed.
    raw: *mut c_void,
    functions: &'static Functions,
    /// How many messages, slots, locks and values in place are in use.
    loans: Cell<u32>,
}

// SAFETY: the GIL protects the fields, and any thread may call the C functions; a stream lets one thread at a time use
// each of its sides.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

impl Object {
    /// Makes an object of a handle that a function of C has opened.
    pub fn new(
        opened: Result<*mut c_void, Failure>,
        functions: &'static Functions,
    ) -> PyResult<Object> {
        let raw = opened?;
        (functions.interruptible)(raw, 1);
        Ok(Object {
            raw,
            functions,
            loans: Cell::new(0),
        })
    }

    /// Returns the handle.
    #[inline]
    pub fn raw(&self) -> PyResult<*mut c_void> {
        if self.raw.is_null() {
            return Err(PyValueError::new_err("the handle is closed"));
        }
        Ok(self.raw)
    }
}

#[pymethods]
impl Object {
    /// The id of the segment in which the object lies, for ``shmkey.Segment`` and the command ``shmkey``.
    #[getter]
    fn id(&self) -> PyResult<i64> {
        Ok(check((self.functions.id)(self.raw()?).into())?)
    }

    /// Returns whether that segment has been removed. The handle still works, but a process that opens the object
    /// afterwards gets another one.
    fn is_removed(&self) -> PyResult<bool> {
        Ok(check((self.functions.removed)(self.raw()?).into())? != 0)
    }

    /// Removes that segment: its name is free at once, and its memory is freed when the last process has closed the
    /// object.
    fn remove(&self) -> PyResult<()> {
        let id = self.id()? as c_int;
        check(shm_remove(id).into())?;
        Ok(())
    }

    /// Closes the handle. The method of users is in `shmkey/_objects.py`.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let object = slf.try_borrow_mut();
        let mut object =
            object.map_err(|_| in_use("another thread is in a call on this handle"))?;
        if object.loans.get() != 0 {
            return Err(in_use(
                "a message, a slot, a lock or a view of the value is in use; release it first",
            ));
        }
        object.close_raw();
        Ok(())
    }

    #[getter]
    fn closed(&self) -> bool {
        self.raw.is_null()
    }

    /// Returns a Canceller, whose ``cancel()`` ends a wait of this handle. Call this before the wait begins: a wait
    /// that is under way can take 250 ms to end.
    fn canceller(slf: &Bound<'_, Self>) -> PyResult<Canceller> {
        let object = slf.borrow();
        let raw = (object.functions.canceller)(object.raw()?);
        Ok(Canceller {
            object: slf.clone().unbind(),
            raw,
        })
    }
}

impl Object {
    fn close_raw(&mut self) {
        let raw = mem::replace(&mut self.raw, ptr::null_mut());
        (self.functions.close)(raw);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.close_raw();
    }
}

/// Keeps a handle open while Python uses memory of its object.
pub struct Loan(pub Py<Object>);

impl Loan {
    pub fn new(object: &Bound<'_, Object>) -> Loan {
        let handle = object.borrow();
        handle.loans.set(handle.loans.get() + 1);
        Loan(object.clone().unbind())
    }
}

impl Owner for Loan {
    fn handle(&self) -> Option<&Py<Object>> {
        Some(&self.0)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        Python::attach(|py| {
            let handle = self.0.borrow(py);
            handle.loans.set(handle.loans.get() - 1);
        });
    }
}

/// Ends the waits of a handle, from another thread or a signal handler: the call that waits raises
/// ``shmkey.Cancelled``. If no wait is under way, ends the next one.
#[pyclass(frozen, module = "shmkey._core")]
pub struct Canceller {
    object: Py<Object>,
    raw: *mut shm_canceller,
}

// SAFETY: any thread may use a canceller while its handle is open, which `cancel` checks.
unsafe impl Send for Canceller {}
// SAFETY: as above.
unsafe impl Sync for Canceller {}

#[pymethods]
impl Canceller {
    /// Ends the waits that are under way, or the next one. Does nothing if the handle is closed.
    fn cancel(&self, py: Python<'_>) {
        let object = self.object.borrow(py);
        if !object.raw.is_null() {
            // SAFETY: it belongs to the handle, which is open and borrowed during the call.
            unsafe { shm_cancel(self.raw) }
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.object)
    }
}

/// Where an object lies: the fields of `struct shm_place`, with strings that live as long as it.
#[derive(FromPyObject)]
pub struct Place(
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    c_int,
    c_int,
    usize,
    i64,
    u32,
);

impl Place {
    /// Calls a function that opens an object, without the GIL.
    pub fn open<T>(
        self,
        py: Python<'_>,
        mut open: impl FnMut(&shm_place) -> *mut T,
    ) -> Result<*mut c_void, Failure> {
        let Place(name, path, proj_id, id, offset, timeout, owner) = self;
        let string = |text: Option<Vec<u8>>| text.map(CString::new).transpose();
        let name = string(name).map_err(PyErr::from)?;
        let path = string(path).map_err(PyErr::from)?;
        let pointer =
            |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let place = shm_place {
            name: pointer(&name),
            path: pointer(&path),
            offset,
            timeout,
            owner,
            proj_id,
            id,
            reserved: [0; 5],
        };
        let (handle, errno) = crate::wait::detached(py, || {
            let handle = open(&place) as usize;
            (handle, crate::failure::errno())
        });
        if handle == 0 {
            return Err(Failure::Errno(errno));
        }
        Ok(handle as *mut c_void)
    }
}
