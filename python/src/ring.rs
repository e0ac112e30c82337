//! Rings.

use crate::{
    failure::check,
    object::{Place, functions, of_handle},
    stream::{Calls, Stream},
};
use pyo3::prelude::*;
use shmkey::capi::{shm_ring_dropped, shm_ring_open_at};
use std::ffi::c_int;

static RING: Calls = Calls {
    common: functions!(
        shm_ring_id,
        shm_ring_removed,
        shm_ring_canceller,
        shm_ring_set_interruptible,
        shm_ring_close
    ),
    send: of_handle!(shmkey::capi::shm_ring_send, bytes, len, timeout),
    send_batch: of_handle!(shmkey::capi::shm_ring_send_batch, messages, count, timeout),
    reserve: of_handle!(shmkey::capi::shm_ring_reserve, len, slot, timeout),
    commit: of_handle!(shmkey::capi::shm_ring_commit, slot, len),
    abort: of_handle!(shmkey::capi::shm_ring_abort, slot),
    recv: of_handle!(shmkey::capi::shm_ring_recv, buffer, len, timeout),
    peek: of_handle!(shmkey::capi::shm_ring_peek, message, timeout),
    release: of_handle!(shmkey::capi::shm_ring_release, message),
    begin_sending: of_handle!(shmkey::capi::shm_ring_begin_sending),
    end_sending: of_handle!(shmkey::capi::shm_ring_end_sending),
    keep_waiting: of_handle!(shmkey::capi::shm_ring_set_keep_waiting, on),
    fd: of_handle!(shmkey::capi::shm_ring_fd),
    capacity: of_handle!(shmkey::capi::shm_ring_capacity),
    used: of_handle!(shmkey::capi::shm_ring_used),
};

/// See ``shmkey.Ring``.
#[pyclass(extends = Stream, subclass, module = "shmkey._core")]
pub struct Ring;

#[pymethods]
impl Ring {
    #[new]
    fn new(
        py: Python<'_>,
        place: Place,
        capacity: usize,
        options: c_int,
        flags: c_int,
    ) -> PyResult<PyClassInitializer<Ring>> {
        // SAFETY: the place and its strings live during the call.
        let opened = place.open(py, |place| unsafe {
            shm_ring_open_at(place, capacity, options, flags)
        });
        Ok(Stream::open(&RING, opened)?.add_subclass(Ring))
    }

    /// Takes the role of the receiver before there is anything to receive, so that the senders notice if this process
    /// dies.
    fn begin_receiving(slf: PyRef<'_, Self>) -> PyResult<()> {
        let call = of_handle!(shmkey::capi::shm_ring_begin_receiving);
        Stream::change_role_of_receiving(slf.as_super(), call)
    }

    /// Releases the role of the receiver.
    fn end_receiving(slf: PyRef<'_, Self>) -> PyResult<()> {
        let call = of_handle!(shmkey::capi::shm_ring_end_receiving);
        Stream::change_role_of_receiving(slf.as_super(), call)
    }

    /// The number of messages that senders have dropped to make room, since the ring was created.
    #[getter]
    fn dropped(slf: PyRef<'_, Self>) -> PyResult<i64> {
        let raw = slf.as_super().as_super().raw()?;
        // SAFETY: the handle is open.
        Ok(check(unsafe { shm_ring_dropped(raw.cast()) })?)
    }
}
