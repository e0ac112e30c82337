//! Messages in place: one that is peeked at, and room for one that is reserved.

use crate::{
    failure::check,
    memory::{Lease, Owner},
    object::{Loan, Object},
    side::Side,
    stream::{Calls, Stream},
};
use pyo3::{prelude::*, types::PyTuple};
use shmkey::capi::{shm_message, shm_slot};
use std::ffi::{c_int, c_void};

/// A message or a slot in place.
pub enum Part {
    Message(shm_message),
    Slot(shm_slot),
}

/// The owner of the memory of a message or a slot. Dropping it aborts a slot that is not committed; a message that is
/// not released stays the next one.
pub struct Lent {
    loan: Loan,
    part: Part,
    is_over: bool,
}

impl Lent {
    pub fn new(stream: &Bound<'_, Stream>, part: Part) -> Lent {
        let lent = Lent {
            loan: Loan::new(stream.as_super()),
            part,
            is_over: false,
        };
        lent.side(&stream.borrow()).is_lent.set(true);
        lent
    }

    fn stream<'py>(&self, py: Python<'py>) -> PyRef<'py, Stream> {
        // SAFETY: `new` was called with a stream.
        unsafe { self.loan.0.bind(py).cast_unchecked::<Stream>() }.borrow()
    }

    fn side<'a>(&self, stream: &'a Stream) -> &'a Side {
        match self.part {
            Part::Message(_) => &stream.receiving,
            Part::Slot(_) => &stream.sending,
        }
    }

    /// Ends the access by a call of C. Does nothing if it has ended already.
    fn end(
        lease: &mut PyRefMut<'_, Lease>,
        call: impl FnOnce(&Calls, *mut c_void, &Part) -> c_int,
    ) -> PyResult<()> {
        let py = lease.py();
        let Some(mut lent) = lease.end::<Lent>(py)? else {
            return Ok(());
        };
        let stream = lent.stream(py);
        let (raw, _turn) = (stream.as_super().raw()?, lent.side(&stream).enter_lent()?);
        let ended = check(call(stream.calls, raw, &lent.part).into());
        lent.is_over = ended.is_ok();
        Ok(ended.map(drop)?)
    }
}

impl Owner for Lent {
    fn handle(&self) -> Option<&Py<Object>> {
        self.loan.handle()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        Python::attach(|py| {
            let stream = self.stream(py);
            self.side(&stream).is_lent.set(false);
            if let (Part::Slot(slot), false, Ok(raw)) =
                (&self.part, self.is_over, stream.as_super().raw())
            {
                // It fails in a thread or a process that has not reserved the slot: then there is nothing to abort.
                (stream.calls.abort)(raw, slot);
            }
        });
    }
}

/// A message in place. ``data`` is a read-only memoryview of its bytes, until the message is released. ``with``
/// releases it at the end.
#[pyclass(extends = Lease, module = "shmkey._core")]
pub struct Message;

#[pymethods]
impl Message {
    /// Releases the message, so that the one after it becomes the next one. Does nothing if it is released already.
    ///
    /// Raises BufferError while a view other than ``data`` exists, and shmkey.Overtaken if the sender has dropped the
    /// message: then the bytes that were read are arbitrary.
    fn release(mut slf: PyRefMut<'_, Self>) -> PyResult<()> {
        Lent::end(slf.as_super(), |calls, raw, part| match part {
            Part::Message(message) => (calls.release)(raw, message),
            Part::Slot(_) => 0,
        })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: PyRefMut<'_, Self>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        Message::release(slf)
    }
}

/// Room for a message that is written in place. ``data`` is a memoryview of it, until the slot is committed. ``with``
/// commits the slot at the end, or aborts it if there is an exception.
#[pyclass(extends = Lease, module = "shmkey._core")]
pub struct Slot {
    /// How many bytes are sent.
    pub len: usize,
}

#[pymethods]
impl Slot {
    /// Shortens the message to ``size`` bytes. Does nothing if it is not longer.
    fn truncate(&mut self, size: usize) {
        self.len = self.len.min(size);
    }

    /// Sends the message. Does nothing if the slot was committed or aborted.
    ///
    /// Raises BufferError while a view other than ``data`` exists.
    fn commit(mut slf: PyRefMut<'_, Self>) -> PyResult<()> {
        let len = slf.len;
        Lent::end(slf.as_super(), |calls, raw, part| match part {
            Part::Slot(slot) => (calls.commit)(raw, slot, len),
            Part::Message(_) => 0,
        })
    }

    /// Aborts the slot; sends nothing. Does nothing if the slot was committed or aborted.
    ///
    /// Raises BufferError while a view other than ``data`` exists.
    fn abort(mut slf: PyRefMut<'_, Self>) -> PyResult<()> {
        Lent::end(slf.as_super(), |calls, raw, part| match part {
            Part::Slot(slot) => (calls.abort)(raw, slot),
            Part::Message(_) => 0,
        })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exception, *_more))]
    fn __exit__(
        slf: PyRefMut<'_, Self>,
        exception: Option<&Bound<'_, PyAny>>,
        _more: &Bound<'_, PyTuple>,
    ) -> PyResult<()> {
        if exception.is_some() {
            return Slot::abort(slf);
        }
        Slot::commit(slf)
    }
}
