//! The extension module of the Python package `shmkey`: the handles of `shmkey.h` as Python types.
//!
//! The classes for users are in `shmkey/`, and derive from these types. This crate calls the functions of the C ABI,
//! because the size of a value is known only at run time; so errors have the same texts as in C, with the names of
//! Python.
//!
//! | file | what |
//! |---|---|
//! | `failure` | a failed call as a Python exception |
//! | `wait` | waiting without the GIL, until a signal or a timeout |
//! | `memory` | memory that Python accesses as a buffer, and that is released only when no view of it is left |
//! | `object` | [`object::Object`], the base of all handles; where an object lies |
//! | `guard` | a lock that a thread has |
//! | `segment`, `lock`, `condvar`, `semaphore`, `latest`, `ring`, `broadcast`, `several` | the handles |
//! | `stream`, `side` | [`stream::Stream`], the base of rings and broadcasts; its two sides |
//! | `in_place` | a message or a slot in place |
//!
//! *Threads*: the GIL protects the fields of the handles. A build of Python without the GIL enables it when it loads
//! this module.

use pyo3::prelude::*;
use shmkey::language;

mod broadcast;
mod condvar;
mod failure;
mod guard;
mod in_place;
mod latest;
mod lock;
mod memory;
mod object;
mod ring;
mod segment;
mod semaphore;
mod several;
mod side;
mod stream;
mod wait;

/// Does nothing. For measurements of the lowest cost of a call.
#[pyfunction]
#[pyo3(signature = (argument, timeout=None))]
fn nothing(argument: &Bound<'_, PyAny>, timeout: Option<f64>) {
    let _ = (argument, timeout);
}

#[pymodule(gil_used = true)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    language::choose(&language::PYTHON);
    module.add_function(wrap_pyfunction!(nothing, module)?)?;
    module.add_function(wrap_pyfunction!(several::wait_any, module)?)?;
    module.add_class::<object::Object>()?;
    module.add_class::<object::Canceller>()?;
    module.add_class::<lock::Lock>()?;
    module.add_class::<guard::Guard>()?;
    module.add_class::<condvar::Condvar>()?;
    module.add_class::<semaphore::Semaphore>()?;
    module.add_class::<latest::Latest>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<ring::Ring>()?;
    module.add_class::<broadcast::Broadcast>()?;
    module.add_class::<in_place::Message>()?;
    module.add_class::<in_place::Slot>()?;
    module.add_class::<memory::Lease>()?;
    segment::add(module)
}
