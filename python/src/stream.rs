//! Rings and broadcasts: messages, copied or in place.

use crate::{
    failure::{Failure, check, errno, exception, in_use},
    memory::{Buffer, Lease, Owner, copy, with_bytes},
    object::{Functions, Loan, Object, Place, functions, of_handle},
    wait::{TimeLeft, wait},
};
use pyo3::{
    exceptions::PyMemoryError,
    prelude::*,
    types::{PyBytes, PyList, PyTuple},
};
use shmkey::capi::{
    shm_broadcast_missed, shm_broadcast_open_at, shm_broadcast_subscribers, shm_bytes, shm_message,
    shm_ring_dropped, shm_ring_open_at, shm_slot,
};
use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    ptr,
};

/// The functions that rings and broadcasts have in common.
struct Calls {
    common: &'static Functions,
    send: fn(*mut c_void, *const c_void, usize, i64) -> c_int,
    send_batch: fn(*mut c_void, *const shm_bytes, usize, i64) -> isize,
    reserve: fn(*mut c_void, usize, *mut shm_slot, i64) -> c_int,
    commit: fn(*mut c_void, *const shm_slot, usize) -> c_int,
    abort: fn(*mut c_void, *const shm_slot) -> c_int,
    recv: fn(*mut c_void, *mut c_void, usize, i64) -> isize,
    peek: fn(*mut c_void, *mut shm_message, i64) -> isize,
    release: fn(*mut c_void, *const shm_message) -> c_int,
    begin_sending: fn(*mut c_void) -> c_int,
    end_sending: fn(*mut c_void) -> c_int,
    keep_waiting: fn(*mut c_void, c_int) -> c_int,
    fd: fn(*mut c_void) -> c_int,
    capacity: fn(*mut c_void) -> isize,
    used: fn(*mut c_void) -> isize,
}

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

/// A side of a stream: the one that sends or the one that receives. One thread at a time uses it.
#[derive(Default)]
pub struct Side {
    is_busy: Cell<bool>,
    /// Whether a message or a slot of this side is in use.
    is_lent: Cell<bool>,
}

/// The right to use a side, until this is dropped.
pub struct Turn<'a>(&'a Side);

impl Side {
    /// Takes the side, unless a message or a slot of it is in use.
    #[inline]
    pub fn enter(&self) -> PyResult<Turn<'_>> {
        if self.is_lent.get() {
            return Err(in_use(
                "a message or a slot of this handle is in use; release, commit or abort it first",
            ));
        }
        self.enter_lent()
    }

    /// Takes the side.
    #[inline]
    fn enter_lent(&self) -> PyResult<Turn<'_>> {
        if self.is_busy.replace(true) {
            let text = "another thread uses this side of the handle; use a lock, or one handle for each thread";
            return Err(exception(libc::EBUSY, text));
        }
        Ok(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_busy.set(false);
    }
}

/// What rings and broadcasts have in common.
#[pyclass(extends = Object, subclass, module = "shmkey._core")]
pub struct Stream {
    calls: &'static Calls,
    sending: Side,
    pub receiving: Side,
}

// SAFETY: the GIL protects the fields.
unsafe impl Sync for Stream {}

impl Stream {
    pub fn is_broadcast(&self) -> bool {
        ptr::eq(self.calls, &BROADCAST)
    }

    fn receive<'py>(
        slf: &PyRef<'py, Self>,
        raw: *mut c_void,
        timeout: Option<f64>,
    ) -> Result<Bound<'py, PyBytes>, Failure> {
        Stream::receive_into(slf, raw, timeout, |_| Ok(()), || Ok(()))
    }

    /// Receives a message by copying it from its place. Keeps it before it is released, so that no message is lost if
    /// there is no memory for it. A sender that drops the oldest messages may overwrite it during the copy; then it is
    /// forgotten, and the next one is received.
    fn receive_into<'py>(
        slf: &PyRef<'py, Self>,
        raw: *mut c_void,
        timeout: Option<f64>,
        keep: impl Fn(&Bound<'py, PyBytes>) -> PyResult<()>,
        forget: impl Fn() -> PyResult<()>,
    ) -> Result<Bound<'py, PyBytes>, Failure> {
        loop {
            let mut message = NO_MESSAGE;
            let address = &raw mut message;
            wait(slf.py(), timeout, |timeout| {
                (slf.calls.peek)(raw, address, timeout) as i64
            })?;
            // SAFETY: a peeked message has this many bytes, until it is released.
            let bytes = unsafe { copy(slf.py(), message.data, message.size) }?;
            keep(&bytes)?;
            if (slf.calls.release)(raw, &message) == 0 {
                return Ok(bytes);
            }
            let errno = errno();
            forget()?;
            if errno != libc::ESTALE {
                return Err(Failure::Errno(errno));
            }
            // A sender that is always faster must not make this thread deaf.
            slf.py().check_signals()?;
        }
    }
}

const NO_MESSAGE: shm_message = shm_message {
    data: ptr::null(),
    size: 0,
    number: 0,
};

#[pymethods]
impl Stream {
    /// Sends a message, of any type with contiguous bytes; waits for room, at most ``timeout`` seconds (None: without
    /// limit; 0: not at all).
    ///
    /// Raises TimeoutError, BlockingIOError if timeout is 0, shmkey.TooLong if the message is longer than the capacity,
    /// shmkey.Busy if another process has the role, BrokenPipeError or shmkey.PeerDied if there is no room and the
    /// receiver of a ring has released its role or died, shmkey.Cancelled.
    #[pyo3(signature = (message, timeout=None))]
    fn send(
        slf: PyRef<'_, Self>,
        message: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.sending.enter()?);
        with_bytes(message, |bytes, len| {
            wait(slf.py(), timeout, |timeout| {
                (slf.calls.send)(raw, bytes, len, timeout).into()
            })
        })??;
        Ok(())
    }

    /// Sends several messages: waits for room until all are sent, at most ``timeout`` seconds. Those for which there is
    /// room together become visible to the receiver at once. Returns how many were sent.
    ///
    /// Raises what ``send`` raises if none was sent. Otherwise, the next call, with the other messages, raises it.
    #[pyo3(signature = (messages, timeout=None))]
    fn send_batch(
        slf: PyRef<'_, Self>,
        messages: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<i64> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.sending.enter()?);
        let no_memory = |_| PyMemoryError::new_err(());
        let (mut buffers, iterator) = (Vec::new(), messages.try_iter()?);
        for message in iterator {
            buffers.try_reserve(1).map_err(no_memory)?;
            buffers.push(Buffer::of(&message?)?);
        }
        let mut messages = Vec::new();
        messages
            .try_reserve_exact(buffers.len())
            .map_err(no_memory)?;
        messages.extend(buffers.iter().map(|buffer| {
            let (data, size) = buffer.bytes();
            shm_bytes { data, size }
        }));
        let mut rest = &messages[..];
        let left = TimeLeft::new(timeout)?;
        loop {
            let sent = wait(slf.py(), left.seconds(), |timeout| {
                (slf.calls.send_batch)(raw, rest.as_ptr(), rest.len(), timeout) as i64
            });
            match sent {
                Ok(sent) => rest = &rest[sent as usize..],
                // The next call gets the same error again.
                Err(Failure::Errno(_)) if rest.len() < messages.len() => break,
                Err(failure) => return Err(failure.into()),
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok((messages.len() - rest.len()) as i64)
    }

    /// Reserves room for a message of ``size`` bytes, which the caller writes in place; waits for room. Returns a Slot.
    ///
    /// Raises what ``send`` raises.
    #[pyo3(signature = (size, timeout=None))]
    fn reserve(slf: &Bound<'_, Self>, size: usize, timeout: Option<f64>) -> PyResult<Py<Slot>> {
        let (py, stream) = (slf.py(), slf.borrow());
        let (raw, _turn) = (stream.as_super().raw()?, stream.sending.enter()?);
        let mut slot = shm_slot {
            data: ptr::null_mut(),
            size: 0,
            number: 0,
        };
        let address = &raw mut slot;
        wait(py, timeout, |timeout| {
            (stream.calls.reserve)(raw, size, address, timeout).into()
        })?;
        let lent = Lent::new(slf, Part::Slot(slot));
        let lease = Lease::new(py, (slot.data, size), false, lent)?;
        Py::new(
            py,
            PyClassInitializer::from(lease).add_subclass(Slot { len: size }),
        )
    }

    /// Receives a message; waits for it, at most ``timeout`` seconds (None: without limit; 0: not at all). Returns a
    /// copy of its bytes.
    ///
    /// Raises TimeoutError, BlockingIOError if timeout is 0, BrokenPipeError if all messages are received and all
    /// senders have released their roles, shmkey.PeerDied if a sender died instead, PermissionError if a broadcast is
    /// not subscribed, shmkey.Busy if another process has the role, shmkey.Cancelled.
    #[pyo3(signature = (timeout=None))]
    fn recv<'py>(slf: PyRef<'py, Self>, timeout: Option<f64>) -> PyResult<Bound<'py, PyBytes>> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.receiving.enter()?);
        Ok(Stream::receive(&slf, raw, timeout)?)
    }

    /// Receives a message into a writable buffer; waits for it. Returns its length in bytes.
    ///
    /// Raises what ``recv`` raises, and shmkey.TooLong if the buffer is too short: the message then stays the next one.
    #[pyo3(signature = (buffer, timeout=None))]
    fn recv_into(
        slf: PyRef<'_, Self>,
        buffer: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<i64> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.receiving.enter()?);
        let buffer = Buffer::writable(buffer)?;
        let (address, len) = buffer.bytes();
        Ok(wait(slf.py(), timeout, |timeout| {
            (slf.calls.recv)(raw, address, len, timeout) as i64
        })?)
    }

    /// Receives at most ``count`` messages: waits for the first, and also receives those that follow it already.
    /// Returns a list of their bytes.
    ///
    /// Raises what ``recv`` raises if none was received.
    #[pyo3(signature = (count, timeout=None))]
    fn recv_batch<'py>(
        slf: PyRef<'py, Self>,
        count: usize,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.receiving.enter()?);
        let received = PyList::empty(slf.py());
        let keep = |message: &Bound<'py, PyBytes>| received.append(message);
        let forget = || received.del_item(received.len() - 1);
        let mut timeout = timeout;
        while received.len() < count {
            match Stream::receive_into(&slf, raw, timeout, keep, forget) {
                Ok(_) => timeout = Some(0.0),
                // The next call gets the same error again.
                Err(_) if !received.is_empty() => break,
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(received)
    }

    /// Waits for a message and returns it in place, as a Message. It stays the next one until it is released.
    ///
    /// Raises what ``recv`` raises.
    #[pyo3(signature = (timeout=None))]
    fn peek(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Py<Message>> {
        let (py, stream) = (slf.py(), slf.borrow());
        let (raw, _turn) = (stream.as_super().raw()?, stream.receiving.enter()?);
        let mut message = NO_MESSAGE;
        let address = &raw mut message;
        wait(py, timeout, |timeout| {
            (stream.calls.peek)(raw, address, timeout) as i64
        })?;
        let lent = Lent::new(slf, Part::Message(message));
        let lease = Lease::new(py, (message.data.cast_mut(), message.size), true, lent)?;
        Py::new(py, PyClassInitializer::from(lease).add_subclass(Message))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Receives a message. The iteration ends when all senders have released their roles and all messages are received.
    fn __next__<'py>(slf: PyRef<'py, Self>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.receiving.enter()?);
        match Stream::receive(&slf, raw, None) {
            Ok(message) => Ok(Some(message)),
            Err(Failure::Errno(libc::EPIPE)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Takes the role of the sender or publisher before there is anything to send, so that the receivers notice if this
    /// process dies.
    fn begin_sending(slf: PyRef<'_, Self>) -> PyResult<()> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.sending.enter()?);
        check((slf.calls.begin_sending)(raw).into())?;
        Ok(())
    }

    /// Releases the role of the sender or publisher.
    fn end_sending(slf: PyRef<'_, Self>) -> PyResult<()> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.sending.enter()?);
        check((slf.calls.end_sending)(raw).into())?;
        Ok(())
    }

    /// Sets whether receiving continues to wait when all senders have released their roles or died, instead of raising
    /// BrokenPipeError or shmkey.PeerDied.
    fn set_keep_waiting(slf: PyRef<'_, Self>, on: bool) -> PyResult<()> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.receiving.enter_lent()?);
        check((slf.calls.keep_waiting)(raw, on.into()).into())?;
        Ok(())
    }

    /// Returns a descriptor that is readable when there may be a message, for selectors and event loops. When it is
    /// readable, call ``recv(0)`` until that raises BlockingIOError.
    fn fileno(slf: PyRef<'_, Self>) -> PyResult<i64> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.receiving.enter_lent()?);
        Ok(check((slf.calls.fd)(raw).into())?)
    }

    /// The length of the longest message in bytes: the capacity that the object was created with.
    #[getter]
    fn capacity(slf: PyRef<'_, Self>) -> PyResult<i64> {
        Ok(check((slf.calls.capacity)(slf.as_super().raw()?) as i64)?)
    }

    /// The number of bytes that messages and their headers use. In a broadcast, this includes messages that are
    /// received but not overwritten yet.
    #[getter]
    fn used(slf: PyRef<'_, Self>) -> PyResult<i64> {
        Ok(check((slf.calls.used)(slf.as_super().raw()?) as i64)?)
    }
}

impl Stream {
    /// Calls a function of C that takes or releases the role of the receiving side.
    fn change_role_of_receiving(
        slf: &PyRef<'_, Self>,
        call: impl FnOnce(*mut c_void) -> c_int,
    ) -> PyResult<()> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.receiving.enter()?);
        check(call(raw).into())?;
        Ok(())
    }

    fn open(
        calls: &'static Calls,
        opened: Result<*mut c_void, Failure>,
    ) -> PyResult<PyClassInitializer<Stream>> {
        let stream = Stream {
            calls,
            sending: Side::default(),
            receiving: Side::default(),
        };
        let object = Object::new(opened, calls.common)?;
        Ok(PyClassInitializer::from(object).add_subclass(stream))
    }
}

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

/// A message or a slot in place.
enum Part {
    Message(shm_message),
    Slot(shm_slot),
}

/// The owner of the memory of a message or a slot. Dropping it aborts a slot that is not committed; a message that is
/// not released stays the next one.
struct Lent {
    loan: Loan,
    part: Part,
    is_over: bool,
}

impl Lent {
    fn new(stream: &Bound<'_, Stream>, part: Part) -> Lent {
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

    /// Ends the access by a call of C.
    fn finish(
        mut self,
        py: Python<'_>,
        call: impl FnOnce(&Calls, *mut c_void, &Part) -> c_int,
    ) -> PyResult<()> {
        let stream = self.stream(py);
        let (raw, _turn) = (stream.as_super().raw()?, self.side(&stream).enter_lent()?);
        let ended = check(call(stream.calls, raw, &self.part).into());
        self.is_over = ended.is_ok();
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
        let py = slf.py();
        let Some(lent) = slf.as_super().end::<Lent>(py)? else {
            return Ok(());
        };
        lent.finish(py, |calls, raw, part| match part {
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
    len: usize,
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
        let (py, len) = (slf.py(), slf.len);
        let Some(lent) = slf.as_super().end::<Lent>(py)? else {
            return Ok(());
        };
        lent.finish(py, |calls, raw, part| match part {
            Part::Slot(slot) => (calls.commit)(raw, slot, len),
            Part::Message(_) => 0,
        })
    }

    /// Aborts the slot; sends nothing. Does nothing if the slot was committed or aborted.
    ///
    /// Raises BufferError while a view other than ``data`` exists.
    fn abort(mut slf: PyRefMut<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(lent) = slf.as_super().end::<Lent>(py)? else {
            return Ok(());
        };
        lent.finish(py, |calls, raw, part| match part {
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
