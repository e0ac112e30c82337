//! Latest values, as bytes: `shmkey/_objects.py` converts them to values of a type.

use crate::{
    failure::{Failure, check},
    memory::with_bytes,
    object::{Object, Place, functions},
    wait::wait,
};
use pyo3::{exceptions::PyValueError, prelude::*, types::PyBytes};
use shmkey::capi::{
    shm_latest_fd, shm_latest_open_at, shm_latest_publish, shm_latest_read, shm_latest_read_newer,
    shm_latest_version,
};
use std::ffi::{CString, c_int, c_void};

/// See ``shmkey.Latest``.
#[pyclass(extends = Object, subclass, module = "shmkey._core")]
pub struct Latest {
    size: usize,
}

#[pymethods]
impl Latest {
    #[new]
    fn new(
        py: Python<'_>,
        place: Place,
        size: usize,
        layout: &str,
        flags: c_int,
    ) -> PyResult<(Self, Object)> {
        let layout = CString::new(layout)?;
        let functions = functions!(
            shm_latest_id,
            shm_latest_removed,
            shm_latest_canceller,
            shm_latest_set_interruptible,
            shm_latest_close
        );
        // SAFETY: the place, its strings and the layout live during the call.
        let opened = place.open(py, |place| unsafe {
            shm_latest_open_at(place, size, layout.as_ptr(), flags)
        });
        Ok((Latest { size }, Object::new(opened, functions)?))
    }

    /// Publishes the bytes of a value.
    fn publish_bytes(slf: PyRef<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (raw, size) = (slf.as_super().raw()?, slf.size);
        with_bytes(value, |value, len| {
            if len != size {
                let text = format!("the value has {len} bytes, and the latest value {size}");
                return Err(PyValueError::new_err(text));
            }
            // SAFETY: the handle is open, the value has its size, and the GIL lets one thread at a time publish.
            check(unsafe { shm_latest_publish(raw.cast(), value) }.into())?;
            Ok(())
        })?
    }

    /// Returns the version and the bytes of the newest value; None if no value was published.
    fn read_bytes<'py>(slf: PyRef<'py, Self>) -> PyResult<Option<(i64, Bound<'py, PyBytes>)>> {
        let raw = slf.as_super().raw()?;
        let (version, bytes) = Latest::read(&slf, |value| {
            // SAFETY: the handle is open, and the buffer has the size of a value.
            check(unsafe { shm_latest_read(raw.cast(), value) })
        })?;
        Ok((version != 0).then_some((version, bytes)))
    }

    /// Waits for a value whose version differs from ``seen``, and returns its version and its bytes.
    fn wait_bytes<'py>(
        slf: PyRef<'py, Self>,
        seen: i64,
        timeout: Option<f64>,
    ) -> PyResult<(i64, Bound<'py, PyBytes>)> {
        let (raw, py) = (slf.as_super().raw()?, slf.py());
        Latest::read(&slf, |value| {
            // SAFETY: as above; the handle is borrowed during the call.
            wait(py, timeout, |timeout| unsafe {
                shm_latest_read_newer(raw.cast(), seen, value, timeout)
            })
        })
    }

    /// The version of the newest value: the number of published values; 0 if no value was published.
    #[getter]
    fn version(slf: PyRef<'_, Self>) -> PyResult<i64> {
        let raw = slf.as_super().raw()?;
        // SAFETY: the handle is open.
        Ok(check(unsafe { shm_latest_version(raw.cast()) })?)
    }

    /// Returns a descriptor that is readable when there may be a newer value, for selectors and event loops. When it is
    /// readable, call ``wait(0)`` until that raises BlockingIOError, which makes it unreadable until the next value is
    /// published, but for at most 250 ms.
    fn fileno(slf: PyRef<'_, Self>) -> PyResult<i64> {
        let raw = slf.as_super().raw()?;
        // SAFETY: the handle is open.
        Ok(check(unsafe { shm_latest_fd(raw.cast()) }.into())?)
    }
}

impl Latest {
    /// Allocates bytes, into which a function writes a value. Returns its version and the bytes.
    fn read<'py>(
        slf: &PyRef<'py, Self>,
        read: impl FnOnce(*mut c_void) -> Result<i64, Failure>,
    ) -> PyResult<(i64, Bound<'py, PyBytes>)> {
        let mut version = 0;
        let bytes = PyBytes::new_with(slf.py(), slf.size, |buffer| {
            version = read(buffer.as_mut_ptr().cast())?;
            Ok(())
        })?;
        Ok((version, bytes))
    }
}
