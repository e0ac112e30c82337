//! What rings and broadcasts have in common.

use crate::{
    failure::{Failure, check, errno},
    in_place::{Lent, Message, Part, Slot},
    memory::{Buffer, Lease, copy, with_bytes},
    object::{Functions, Object},
    side::Side,
    wait::{TimeLeft, wait},
};
use pyo3::{
    exceptions::PyMemoryError,
    prelude::*,
    types::{PyBytes, PyList},
};
use shmkey::capi::{shm_bytes, shm_message, shm_slot};
use std::{
    ffi::{c_int, c_void},
    ptr,
};

/// The functions that rings and broadcasts have in common.
pub struct Calls {
    pub common: &'static Functions,
    pub send: fn(*mut c_void, *const c_void, usize, i64) -> c_int,
    pub send_batch: fn(*mut c_void, *const shm_bytes, usize, i64) -> isize,
    pub reserve: fn(*mut c_void, usize, *mut shm_slot, i64) -> c_int,
    pub commit: fn(*mut c_void, *const shm_slot, usize) -> c_int,
    pub abort: fn(*mut c_void, *const shm_slot) -> c_int,
    pub recv: fn(*mut c_void, *mut c_void, usize, i64) -> isize,
    pub peek: fn(*mut c_void, *mut shm_message, i64) -> isize,
    pub release: fn(*mut c_void, *const shm_message) -> c_int,
    pub begin_sending: fn(*mut c_void) -> c_int,
    pub end_sending: fn(*mut c_void) -> c_int,
    pub keep_waiting: fn(*mut c_void, c_int) -> c_int,
    pub fd: fn(*mut c_void) -> c_int,
    pub capacity: fn(*mut c_void) -> isize,
    pub used: fn(*mut c_void) -> isize,
}

/// What rings and broadcasts have in common.
#[pyclass(extends = Object, subclass, module = "shmkey._core")]
pub struct Stream {
    pub calls: &'static Calls,
    pub sending: Side,
    pub receiving: Side,
}

// SAFETY: the GIL protects the fields.
unsafe impl Sync for Stream {}

impl Stream {
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
    /// readable, call ``recv(0)`` until that raises BlockingIOError, which makes it unreadable until the next message,
    /// but for at most 250 ms.
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
    pub fn change_role_of_receiving(
        slf: &PyRef<'_, Self>,
        call: impl FnOnce(*mut c_void) -> c_int,
    ) -> PyResult<()> {
        let (raw, _turn) = (slf.as_super().raw()?, slf.receiving.enter()?);
        check(call(raw).into())?;
        Ok(())
    }

    pub fn open(
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
