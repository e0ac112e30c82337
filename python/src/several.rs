//! Waiting for one of several objects.

use crate::{
    broadcast::Broadcast, latest::Latest, object::Object, ring::Ring, semaphore::Semaphore,
    side::Turn, stream::Stream, wait::wait,
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
    for ((object, seen), handle) in objects.iter().zip(&handles) {
        let raw = handle.raw()?;
        let mut waitable = shm_waitable {
            ring: ptr::null_mut(),
            semaphore: ptr::null_mut(),
            latest: ptr::null_mut(),
            broadcast: ptr::null_mut(),
            seen: *seen,
            reserved: [ptr::null_mut(); 3],
        };
        if object.is_instance_of::<Ring>() {
            waitable.ring = raw.cast();
        } else if object.is_instance_of::<Semaphore>() {
            waitable.semaphore = raw.cast();
        } else if object.is_instance_of::<Latest>() {
            waitable.latest = raw.cast();
        } else if object.is_instance_of::<Broadcast>() {
            waitable.broadcast = raw.cast();
        } else {
            return Err(PyTypeError::new_err(
                "wait_any waits for rings, broadcasts, semaphores and latest values",
            ));
        }
        waitables.push(waitable);
    }
    // SAFETY: the handles are open and borrowed, no object is there twice, and no other thread receives by them.
    Ok(wait(py, timeout, |timeout| unsafe {
        shm_wait_any(waitables.as_ptr(), waitables.len(), timeout).into()
    })?)
}
