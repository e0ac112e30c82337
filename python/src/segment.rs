//! Segments: plain bytes. The class `Segment` is in `shmkey/_segment.py`.

use crate::{
    failure::{Failure, check, errno},
    memory::{Lease, Owner},
    object::Object,
    wait::detached,
};
use pyo3::{prelude::*, types::PyTuple};
use shmkey::capi::{
    shm_attach, shm_attached_size, shm_detach, shm_get_status, shm_open_key, shm_open_key_number,
    shm_open_name, shm_open_private, shm_remove, shm_set_mode, shm_set_owner, shm_status,
};
use std::{
    ffi::{CString, c_int, c_void},
    mem::MaybeUninit,
};

pub fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Attachment>()?;
    module.add_function(wrap_pyfunction!(open_name, module)?)?;
    module.add_function(wrap_pyfunction!(open_file, module)?)?;
    module.add_function(wrap_pyfunction!(open_key, module)?)?;
    module.add_function(wrap_pyfunction!(open_private, module)?)?;
    module.add_function(wrap_pyfunction!(status, module)?)?;
    module.add_function(wrap_pyfunction!(remove, module)?)?;
    module.add_function(wrap_pyfunction!(set_mode, module)?)?;
    module.add_function(wrap_pyfunction!(set_owner, module)?)
}

#[pyfunction]
fn open_name(name: Vec<u8>, size: usize, flags: c_int) -> PyResult<i64> {
    let name = CString::new(name)?;
    // SAFETY: the name is a string.
    Ok(check(
        unsafe { shm_open_name(name.as_ptr(), size, flags) }.into(),
    )?)
}

#[pyfunction]
fn open_file(path: Vec<u8>, proj_id: c_int, size: usize, flags: c_int) -> PyResult<i64> {
    let path = CString::new(path)?;
    // SAFETY: the path is a string.
    Ok(check(
        unsafe { shm_open_key(path.as_ptr(), proj_id, size, flags) }.into(),
    )?)
}

#[pyfunction]
fn open_key(key: c_int, size: usize, flags: c_int) -> PyResult<i64> {
    Ok(check(shm_open_key_number(key, size, flags).into())?)
}

#[pyfunction]
fn open_private(size: usize, flags: c_int) -> PyResult<i64> {
    Ok(check(shm_open_private(size, flags).into())?)
}

#[pyfunction]
fn remove(id: c_int) -> PyResult<()> {
    check(shm_remove(id).into())?;
    Ok(())
}

#[pyfunction]
fn set_mode(id: c_int, mode: u32) -> PyResult<()> {
    check(shm_set_mode(id, mode).into())?;
    Ok(())
}

#[pyfunction]
fn set_owner(id: c_int, uid: u32, gid: u32) -> PyResult<()> {
    check(shm_set_owner(id, uid, gid).into())?;
    Ok(())
}

/// Returns the fields of `struct shm_status`, in its order.
#[pyfunction]
fn status(py: Python<'_>, id: c_int) -> PyResult<Bound<'_, PyTuple>> {
    let mut status = MaybeUninit::<shm_status>::uninit();
    // SAFETY: there is room for a structure, which the function fills in if it returns 0.
    let found = unsafe {
        check(shm_get_status(id, status.as_mut_ptr()).into())?;
        status.assume_init()
    };
    let numbers = [
        found.size as i64,
        found.nattch as i64,
        found.atime,
        found.dtime,
        found.ctime,
        found.id.into(),
        found.key.into(),
        found.mode.into(),
        found.uid.into(),
        found.gid.into(),
        found.cuid.into(),
        found.cgid.into(),
        found.cpid.into(),
        found.lpid.into(),
        found.removed.into(),
        found.locked.into(),
    ];
    PyTuple::new(py, numbers)
}

/// The memory of an attached segment. ``data`` is a memoryview of all its bytes.
#[pyclass(extends = Lease, module = "shmkey._core")]
pub struct Attachment;

/// An attached segment, which is detached when this is dropped.
struct Attached(*mut c_void);

impl Attached {
    fn detach(self) -> Result<(), Failure> {
        // SAFETY: it was attached here, and no view of it is left.
        let detached = check(unsafe { shm_detach(self.0) }.into());
        std::mem::forget(self);
        detached.map(drop)
    }
}

impl Owner for Attached {
    fn handle(&self) -> Option<&Py<Object>> {
        None
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: as above. It fails only if other code has detached it.
        unsafe { shm_detach(self.0) };
    }
}

#[pymethods]
impl Attachment {
    #[new]
    fn new(py: Python<'_>, id: c_int, flags: c_int) -> PyResult<(Self, Lease)> {
        let (address, errno) = detached(py, || {
            let address = shm_attach(id, flags) as usize;
            (address, errno())
        });
        if address == 0 {
            return Err(Failure::Errno(errno).into());
        }
        let attached = Attached(address as *mut c_void);
        let mut size = 0;
        // SAFETY: there is room for the size.
        check(unsafe { shm_attached_size(attached.0, &raw mut size) }.into())?;
        let is_read_only = flags & libc::SHM_RDONLY != 0;
        let lease = Lease::new(py, (attached.0, size), is_read_only, attached)?;
        Ok((Attachment, lease))
    }

    /// Detaches the segment. Does nothing if it is detached.
    ///
    /// Raises BufferError while a view other than ``data`` exists: a slice of it, or a NumPy array.
    fn detach(mut slf: PyRefMut<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let attached = slf.as_super().end::<Attached>(py)?;
        Ok(attached.map_or(Ok(()), |attached| attached.detach())?)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: PyRefMut<'_, Self>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        Attachment::detach(slf)
    }
}
