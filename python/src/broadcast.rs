//! Broadcasts.

use crate::{
    failure::check,
    object::{Place, functions, of_handle},
    stream::{Calls, Stream},
};
use pyo3::prelude::*;
use shmkey::capi::{shm_broadcast_missed, shm_broadcast_open_at, shm_broadcast_subscribers};
use std::ffi::c_int;

static BROADCAST: Calls = Calls {
    common: functions!(
        shm_broadcast_id,
        shm_broadcast_removed,
        shm_broadcast_canceller,
        shm_broadcast_set_interruptible,
        shm_broadcast_close
    ),
    send: of_handle!(shmkey::capi::shm_broadcast_publish, bytes, len, timeout),
    send_batch: of_handle!(
        shmkey::capi::shm_broadcast_publish_batch,
        messages,
        count,
        timeout
    ),
    reserve: of_handle!(shmkey::capi::shm_broadcast_reserve, len, slot, timeout),
    commit: of_handle!(shmkey::capi::shm_broadcast_commit, slot, len),
    abort: of_handle!(shmkey::capi::shm_broadcast_abort, slot),
    recv: of_handle!(shmkey::capi::shm_broadcast_recv, buffer, len, timeout),
    peek: of_handle!(shmkey::capi::shm_broadcast_peek, message, timeout),
    release: of_handle!(shmkey::capi::shm_broadcast_release, message),
    begin_sending: of_handle!(shmkey::capi::shm_broadcast_begin_publishing),
    end_sending: of_handle!(shmkey::capi::shm_broadcast_end_publishing),
    keep_waiting: of_handle!(shmkey::capi::shm_broadcast_set_keep_waiting, on),
    fd: of_handle!(shmkey::capi::shm_broadcast_fd),
    capacity: of_handle!(shmkey::capi::shm_broadcast_capacity),
    used: of_handle!(shmkey::capi::shm_broadcast_used),
};

/// See ``shmkey.Broadcast``.
#[pyclass(extends = Stream, subclass, module = "shmkey._core")]
pub struct Broadcast;

#[pymethods]
impl Broadcast {
    #[new]
    fn new(
        py: Python<'_>,
        place: Place,
        capacity: usize,
        options: c_int,
        flags: c_int,
    ) -> PyResult<PyClassInitializer<Broadcast>> {
        // SAFETY: the place and its strings live during the call.
        let opened = place.open(py, |place| unsafe {
            shm_broadcast_open_at(place, capacity, options, flags)
        });
        Ok(Stream::open(&BROADCAST, opened)?.add_subclass(Broadcast))
    }

    /// Subscribes this handle. It receives what is published from now on; with ``from_oldest``, also the messages that
    /// are not overwritten yet. A subscribed handle ends its old subscription first. There can be 64 subscribers.
    ///
    /// Raises OSError (ENOSPC) if there are 64 subscribers already.
    #[pyo3(signature = (from_oldest=false))]
    fn subscribe(slf: PyRef<'_, Self>, from_oldest: bool) -> PyResult<()> {
        let call = of_handle!(shmkey::capi::shm_broadcast_subscribe, from);
        Stream::change_role_of_receiving(slf.as_super(), |raw| call(raw, from_oldest.into()))
    }

    /// Ends the subscription.
    fn unsubscribe(slf: PyRef<'_, Self>) -> PyResult<()> {
        let call = of_handle!(shmkey::capi::shm_broadcast_unsubscribe);
        Stream::change_role_of_receiving(slf.as_super(), call)
    }

    /// The number of messages that this subscriber of a lossy broadcast has missed.
    #[getter]
    fn missed(slf: PyRef<'_, Self>) -> PyResult<i64> {
        let stream = slf.as_super();
        let (raw, _turn) = (stream.as_super().raw()?, stream.receiving.enter_lent()?);
        // SAFETY: the handle is open, and this thread has its turn.
        Ok(check(unsafe { shm_broadcast_missed(raw.cast()) })?)
    }

    /// The number of subscribers.
    #[getter]
    fn subscribers(slf: PyRef<'_, Self>) -> PyResult<i64> {
        let raw = slf.as_super().as_super().raw()?;
        // SAFETY: the handle is open.
        Ok(check(
            unsafe { shm_broadcast_subscribers(raw.cast()) }.into(),
        )?)
    }
}
