//! Waiting for one of several objects.

use crate::{
    latest::Latest, object::Object, semaphore::Semaphore, stream::Stream, stream::Turn, wait::wait,
};
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
};
use shmkey::capi::{shm_wait_any, shm_waitable};
use std::ptr;

/// Waits until one of several objects is ready, and returns its index. Each object is given with a number: for a latest
/// value, the version that was read last; otherwise 0.
#[pyfunction]
#[pyo3(signature = (objects, timeout=None))]
pub fn wait_any(
    py: Python<'_>,
    objects: Vec<(Bound<'_, Object>, i64)>,
    timeout: Option<f64>,
) -> PyResult<i64> {
    for (index, (one, _)) in objects.iter().enumerate() {
        if objects[..index].iter().any(|(other, _)| other.is(one)) {
            return Err(PyValueError::new_err("an object is given twice"));
        }
    }
    // Borrowed, so that no other thread closes a handle during the wait.
    let handles: Vec<_> = objects.iter().map(|(object, _)| object.borrow()).collect();
    let streams: Vec<_> = objects
        .iter()
        .map(|(object, _)| Some(object.cast::<Stream>().ok()?.borrow()))
        .collect();
    let turns = streams
        .iter()
        .flatten()
        .map(|stream| stream.receiving.enter());
    let _turns: Vec<Turn<'_>> = turns.collect::<PyResult<_>>()?;
    let mut waitables = Vec::new();
    for ((object, seen), (handle, stream)) in objects.iter().zip(handles.iter().zip(&streams)) {
        let raw = handle.raw()?;
        let mut waitable = shm_waitable {
            ring: ptr::null_mut(),
            semaphore: ptr::null_mut(),
            latest: ptr::null_mut(),
            broadcast: ptr::null_mut(),
            seen: *seen,
            reserved: [ptr::null_mut(); 3],
        };
        match stream {
            Some(stream) if stream.is_broadcast() => waitable.broadcast = raw.cast(),
            Some(_) => waitable.ring = raw.cast(),
            None if object.is_instance_of::<Semaphore>() => waitable.semaphore = raw.cast(),
            None if object.is_instance_of::<Latest>() => waitable.latest = raw.cast(),
            None => {
                return Err(PyTypeError::new_err(
                    "wait_any waits for rings, broadcasts, semaphores and latest values",
                ));
            }
        }
        waitables.push(waitable);
    }
    // SAFETY: the handles are open and borrowed, no object is there twice, and no other thread receives by them.
    Ok(wait(py, timeout, |timeout| unsafe {
        shm_wait_any(waitables.as_ptr(), waitables.len(), timeout).into()
    })?)
}
