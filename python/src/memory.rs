//! Memory that Python accesses as a buffer, and that is released only when no view of it is left; and the buffers of
//! callers.
//!
//! The limited API has had the buffer protocol since Python 3.11, and PyO3 offers none before that. So this module
//! makes the type `Memory` from slots. Python 3.9 and 3.10, which no longer change, have the same slots, functions and
//! `Py_buffer`.

use crate::{failure::in_use, object::Object};
use pyo3::{
    PyTraverseError, PyVisit,
    ffi::{self, PyObject},
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyMemoryView, PyType},
};
use std::{
    any::Any,
    ffi::{c_char, c_int, c_void},
    mem::{self, MaybeUninit},
    ptr,
};

/// `Py_buffer` of the stable ABI.
#[repr(C)]
struct View {
    address: *mut c_void,
    owner: *mut PyObject,
    len: isize,
    item: isize,
    read_only: c_int,
    dimensions: c_int,
    format: *mut c_char,
    shape: *mut isize,
    strides: *mut isize,
    suboffsets: *mut isize,
    internal: *mut c_void,
}

unsafe extern "C" {
    fn PyObject_GetBuffer(object: *mut PyObject, view: *mut View, flags: c_int) -> c_int;
    fn PyBuffer_Release(view: *mut View);
    fn PyBuffer_FillInfo(
        view: *mut View,
        owner: *mut PyObject,
        address: *mut c_void,
        len: isize,
        read_only: c_int,
        flags: c_int,
    ) -> c_int;
}

/// Numbers of the stable ABI, which PyO3 has only for Python 3.11 and later.
const BF_GETBUFFER: c_int = 1;
const BF_RELEASEBUFFER: c_int = 2;
const SIMPLE: c_int = 0;
const WRITABLE: c_int = 1;

/// An instance of the Python type `Memory`. One that Python has allocated, and that is not filled in yet, counts as
/// released.
#[repr(C)]
struct Memory {
    base: PyObject,
    address: *mut c_void,
    len: isize,
    read_only: c_int,
    /// How many views exist.
    views: isize,
    /// The owner of the memory, which is dropped when the memory is released: a box in a box, because that is one
    /// pointer. NULL after the release.
    loan: *mut Box<dyn Owner>,
}

/// The owner of memory.
pub trait Owner: Any {
    /// Returns the handle that it keeps open.
    fn handle(&self) -> Option<&Py<Object>>;
}

/// Returns the Python type.
fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.get_or_try_init(py, || {
        let slot = |slot, function| ffi::PyType_Slot {
            slot,
            pfunc: function,
        };
        let mut slots = [
            slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
            slot(ffi::Py_tp_traverse, traverse as *mut c_void),
            slot(BF_GETBUFFER, get_view as *mut c_void),
            slot(BF_RELEASEBUFFER, release_view as *mut c_void),
            slot(0, ptr::null_mut()),
        ];
        let mut spec = ffi::PyType_Spec {
            name: c"shmkey._core.Memory".as_ptr(),
            basicsize: size_of::<Memory>() as c_int,
            itemsize: 0,
            flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC) as _,
            slots: slots.as_mut_ptr(),
        };
        // SAFETY: the slots end with 0 and have the functions that Python expects in them; Python copies them. The GIL
        // is held, and the result is a new reference to a type.
        unsafe {
            let class = ffi::PyType_FromSpec(&raw mut spec);
            Bound::from_owned_ptr_or_err(py, class)?
                .cast_into::<PyType>()
                .map(Bound::unbind)
                .map_err(PyErr::from)
        }
    })?;
    Ok(class.bind(py))
}

/// Makes a `Memory`. The address must be valid as long as the loan exists.
fn lend(
    py: Python<'_>,
    (address, len): (*mut c_void, usize),
    read_only: bool,
    loan: Box<dyn Owner>,
) -> PyResult<Py<PyAny>> {
    // SAFETY: the GIL is held, and the result is a new reference to an instance of this type whose bytes are 0; no
    // other code has it yet.
    unsafe {
        let instance = ffi::PyType_GenericAlloc(class(py)?.as_type_ptr(), 0);
        let memory = Bound::from_owned_ptr_or_err(py, instance)?.unbind();
        let raw = memory.as_ptr().cast::<Memory>();
        (*raw).address = address;
        (*raw).len = len as isize;
        (*raw).read_only = read_only.into();
        (*raw).loan = Box::into_raw(Box::new(loan));
        Ok(memory)
    }
}

/// Memory in place: the bytes of an attached segment, of a message, of a slot or of a value.
#[pyclass(subclass, module = "shmkey._core")]
pub struct Lease {
    /// A `Memory`.
    memory: Py<PyAny>,
    len: usize,
    /// The memoryview that `data` returns, which is released with the memory.
    view: Option<Py<PyAny>>,
}

impl Lease {
    /// Makes a lease. The address must be valid as long as the loan exists, which is dropped when no reference to the
    /// memory is left.
    pub fn new(
        py: Python<'_>,
        bytes: (*mut c_void, usize),
        read_only: bool,
        loan: impl Owner,
    ) -> PyResult<Lease> {
        Ok(Lease {
            memory: lend(py, bytes, read_only, Box::new(loan))?,
            len: bytes.1,
            view: None,
        })
    }

    /// Releases the memory, and returns the loan; `None` if the memory is released already. Fails while a view other
    /// than `data` exists.
    pub fn end<T: Owner>(&mut self, py: Python<'_>) -> PyResult<Option<Box<T>>> {
        if let Some(view) = &self.view {
            view.call_method0(py, "release")?;
            self.view = None;
        }
        let raw = self.memory.as_ptr().cast::<Memory>();
        // SAFETY: it is a `Memory` from `lend`, and the GIL protects the fields. With no view left, no other code has
        // the address.
        let loan = unsafe {
            if (*raw).views != 0 {
                return Err(in_use(
                    "a view of this memory exists: a slice of the memoryview, or an array; release or delete it first",
                ));
            }
            take_loan(raw)
        };
        Ok(loan.and_then(|loan| (loan as Box<dyn Any>).downcast().ok()))
    }
}

#[pymethods]
impl Lease {
    /// The bytes, as a memoryview, which is released with the memory. Nothing is copied.
    #[getter]
    pub fn data<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(view) = &self.view {
            return Ok(view.bind(py).clone());
        }
        let view = PyMemoryView::from(self.memory.bind(py))?.into_any();
        self.view = Some(view.clone().unbind());
        Ok(view)
    }

    fn __len__(&self) -> usize {
        self.len
    }

    /// Returns a copy of the bytes.
    fn __bytes__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.data(py)?.call_method0("tobytes")
    }

    /// Lets Python find cycles of references, such as a message that is an attribute of its ring.
    pub fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.memory)?;
        visit.call(&self.view)
    }
}

/// # Safety
/// `raw` must be a `Memory`, and no other code may use its loan.
unsafe fn take_loan(raw: *mut Memory) -> Option<Box<dyn Owner>> {
    // SAFETY: the caller's promise; a loan that is not NULL is from a box.
    unsafe {
        let loan = mem::replace(&mut (*raw).loan, ptr::null_mut());
        (!loan.is_null()).then(|| *Box::from_raw(loan))
    }
}

/// Python calls this for a new view.
unsafe extern "C" fn get_view(memory: *mut PyObject, view: *mut View, flags: c_int) -> c_int {
    let raw = memory.cast::<Memory>();
    // SAFETY: Python calls this with an instance of the type and a view to fill in, and holds the GIL.
    unsafe {
        if (*raw).loan.is_null() {
            (*view).owner = ptr::null_mut();
            let error = c"this memory was released, or is detached";
            ffi::PyErr_SetString(ffi::PyExc_BufferError, error.as_ptr());
            return -1;
        }
        let Memory {
            address,
            len,
            read_only,
            ..
        } = *raw;
        let filled = PyBuffer_FillInfo(view, memory, address, len, read_only, flags);
        if filled == 0 {
            (*raw).views += 1;
        }
        filled
    }
}

/// Python calls this when a view is released.
unsafe extern "C" fn release_view(memory: *mut PyObject, _: *mut View) {
    // SAFETY: as for `get_view`.
    unsafe { (*memory.cast::<Memory>()).views -= 1 }
}

/// Python calls this to find cycles of references.
unsafe extern "C" fn traverse(
    memory: *mut PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: as for `get_view`; an instance has a reference to its type since Python 3.9, and its loan is not dropped
    // while Python holds the GIL for this call.
    unsafe {
        let found = visit(ffi::Py_TYPE(memory).cast(), argument);
        if found != 0 {
            return found;
        }
        let loan = (*memory.cast::<Memory>()).loan.as_ref();
        loan.and_then(|loan| loan.handle())
            .map_or(0, |handle| visit(handle.as_ptr(), argument))
    }
}

/// Python calls this when no reference is left, and so no view either.
unsafe extern "C" fn dealloc(memory: *mut PyObject) {
    // SAFETY: as for `get_view`. The thread is attached; PyO3 does not know that yet, and its check fails at the end of
    // the interpreter, during which Python may release the last view. The type is a heap type, to which each instance
    // has a reference, and `tp_free` frees what `PyType_GenericAlloc` allocated.
    unsafe {
        ffi::PyObject_GC_UnTrack(memory.cast());
        Python::attach_unchecked(|_| drop(take_loan(memory.cast())));
        let class = ffi::Py_TYPE(memory);
        let free = ffi::PyType_GetSlot(class, ffi::Py_tp_free);
        let free: ffi::freefunc = mem::transmute(free);
        free(memory.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// A contiguous buffer of the caller, which stays valid until this is dropped.
pub struct Buffer(View);

impl Buffer {
    /// Gets the bytes of an object.
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<Buffer> {
        Buffer::with(object, SIMPLE)
    }

    /// Gets the bytes of an object to write them.
    pub fn writable(object: &Bound<'_, PyAny>) -> PyResult<Buffer> {
        Buffer::with(object, WRITABLE)
    }

    fn with(object: &Bound<'_, PyAny>, flags: c_int) -> PyResult<Buffer> {
        let mut view = MaybeUninit::<View>::uninit();
        // SAFETY: the GIL is held; Python fills the view in if it returns 0.
        unsafe {
            if PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), flags) != 0 {
                return Err(PyErr::fetch(object.py()));
            }
            Ok(Buffer(view.assume_init()))
        }
    }

    /// Returns the first byte and the number of bytes.
    pub fn bytes(&self) -> (*mut c_void, usize) {
        (self.0.address, self.0.len as usize)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: it was filled in by `PyObject_GetBuffer`; every caller holds the GIL when it drops a buffer.
        unsafe { PyBuffer_Release(&raw mut self.0) }
    }
}

/// Calls a function with the address and the number of the bytes of an object, which stay valid during the call.
#[inline]
pub fn with_bytes<R>(
    object: &Bound<'_, PyAny>,
    call: impl FnOnce(*const c_void, usize) -> R,
) -> PyResult<R> {
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        let bytes = bytes.as_bytes();
        return Ok(call(bytes.as_ptr().cast(), bytes.len()));
    }
    let buffer = Buffer::of(object)?;
    let (address, len) = buffer.bytes();
    Ok(call(address, len))
}

/// Returns a copy of bytes that other processes may write.
///
/// # Safety
/// `len` bytes at this address must be readable.
pub unsafe fn copy(
    py: Python<'_>,
    address: *const c_void,
    len: usize,
) -> PyResult<Bound<'_, PyBytes>> {
    // SAFETY: the caller's promise; Python copies them by memcpy, and returns a new reference to bytes.
    unsafe {
        let bytes = ffi::PyBytes_FromStringAndSize(address.cast(), len as isize);
        Ok(Bound::from_owned_ptr_or_err(py, bytes)?.cast_into_unchecked())
    }
}
