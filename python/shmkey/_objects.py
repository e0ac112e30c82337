"""Rings, broadcasts, latest values and semaphores."""

import itertools
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterable, Optional, Tuple, Type, TypeVar, Union

from . import _async, _core
from ._errors import Closed
from ._place import Place, fields, flags
from ._segment import Segment
from ._values import Codec, ValueType, codec

_MANY_SENDERS, _DROP_OLDEST, _LOSSY = 1 << 16, 1 << 17, 1 << 18


# For type checkers only. At run time, each class gets these methods from its other base, in the extension module.
if TYPE_CHECKING:
    from ._core import Object, Stream
else:
    Object = Stream = object

H = TypeVar("H", bound="Handle")


class Handle(Object):
    """What all objects have in common. ``with`` closes the handle; ``with`` on a mutex locks it instead."""

    # The arguments with which another process opens the same object.
    _opened: Tuple[Any, ...]
    # The tasks of asyncio that wait for the object.
    _waiting: Any = None

    @classmethod
    def _open(cls: Type[H], *arguments: Any) -> H:
        handle = cls(*arguments)
        handle._opened = arguments
        return handle

    @property
    def segment(self) -> Segment:
        """The segment in which the object lies."""
        return Segment(self.id)

    def close(self) -> None:
        """Closes the handle and releases its roles. Does nothing if the handle is closed. Tasks of asyncio that wait
        for the object get a ValueError.

        Raises BufferError while a message, a slot, a lock or a view of the value is in use, or another thread is in a
        call on the handle.
        """
        if self._waiting:
            _async.before_close(self)
        super().close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        """Lets multiprocessing pass a handle: the other process opens the same object, without the roles of this
        handle."""
        return type(self)._open, self._opened

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"in segment {self.id}"
        return f"<shmkey.{type(self).__name__} {state}>"


V = TypeVar("V", bound="Valued")


class Valued(Handle):
    """An object around a value of a type."""

    # The arguments of the extension's class before the place.
    _kind: Tuple[Any, ...] = ()
    _codec: Codec

    @classmethod
    def _of(cls: Type[V], place: Tuple[Any, ...], type: ValueType, layout: str, how: int) -> V:
        form = codec(type)
        arguments: Tuple[Any, ...] = (*cls._kind, place, form.size, layout, how)
        handle = cls(*arguments)
        handle._codec, handle._opened = form, (place, type, layout, how)
        return handle

    def __reduce__(self) -> Any:
        return type(self)._of, self._opened


class _Stream(Handle, Stream):
    async def recv_async(self) -> bytes:
        """Receives a message in a task of asyncio; waits for it. A task that is cancelled has received nothing. Raises
        what ``recv`` raises, and ValueError if the handle is closed during the wait."""
        return await _async.retry(self, lambda: self.recv(0))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                yield await self.recv_async()
            except Closed:
                return


class Ring(_Stream, _core.Ring):
    """Messages from one or many processes to one process, in order and without loss.

    The first handle that sends becomes the sender, and the first one that receives becomes the receiver, until it is
    closed or releases the role, or its process ends. Iteration receives messages until all senders have released their
    roles. If the senders of an earlier run released their roles or died, receiving from an empty ring fails at once,
    until the next sender starts. To wait for it, call ``set_keep_waiting(True)``, or remove the ring at the end of each
    run.

    Only one thread at a time may send with a handle, and only one may receive; another thread gets ``shmkey.Busy``.
    """

    @classmethod
    def open(
        cls,
        place: Place,
        capacity: int = 0,
        *,
        many_senders: bool = False,
        drop_oldest: bool = False,
        create: bool = True,
        mode: int = 0o600,
        wait: Optional[float] = 5,
        owner: Optional[int] = None,
    ) -> "Ring":
        """Opens the ring, or creates it. All processes must give the same capacity and options.

        ``capacity`` is the length of the longest message and the room for all messages, in bytes: 64 or more. 0 opens a
        ring that exists, whatever its capacity and options are. ``many_senders`` allows up to 64 senders. With
        ``drop_oldest``, a sender without room drops the oldest messages instead of waiting. ``create`` creates a ring
        that is missing, with the permission bits ``mode``. ``wait`` is how long to wait for a process that is creating
        the ring, in seconds; None waits without limit. ``owner`` is the id of the user who must own the segment.

        Raises NotFound, WrongKind, WrongLayout, PermissionDenied, TimedOut, or Error with another errno of
        shm_ring_open(3).
        """
        options = (_MANY_SENDERS if many_senders else 0) | (_DROP_OLDEST if drop_oldest else 0)
        how = flags(create and capacity != 0, mode)
        return cls._open(fields(place, wait, owner), capacity, options, how)


class Broadcast(_Stream, _core.Broadcast):
    """Messages from one process to up to 64 subscribers, each of which receives all of them in order.

    The first handle that publishes becomes the publisher, until it is closed or releases the role, or its process ends.
    A handle subscribes by ``subscribe()``. The publisher of a lossless broadcast waits for the slowest subscriber;
    without a subscriber, it overwrites the oldest messages. The publisher of a lossy broadcast always overwrites them,
    and ``missed`` counts the messages that a subscriber did not get. If the publisher of an earlier run released its
    role or died, receiving fails at once, until the next publisher starts. To wait for it, call
    ``set_keep_waiting(True)``, or remove the broadcast at the end of each run.
    """

    publish = _core.Stream.send
    publish_batch = _core.Stream.send_batch
    begin_publishing = _core.Stream.begin_sending
    end_publishing = _core.Stream.end_sending

    @classmethod
    def open(
        cls,
        place: Place,
        capacity: int = 0,
        *,
        lossy: bool = False,
        create: bool = True,
        mode: int = 0o600,
        read_only: bool = False,
        wait: Optional[float] = 5,
        owner: Optional[int] = None,
    ) -> "Broadcast":
        """Opens the broadcast, or creates it. All processes must give the same capacity and options.

        The publisher of a ``lossy`` broadcast never waits. A lossy broadcast can be opened ``read_only``, to subscribe.
        The other arguments and the exceptions are those of ``Ring.open``.
        """
        how = flags(create and capacity != 0 and not read_only, mode, read_only)
        return cls._open(fields(place, wait, owner), capacity, _LOSSY if lossy else 0, how)


class Semaphore(Handle, _core.Semaphore):
    """A count that ``post()`` raises and ``wait()`` lowers. It survives the death of any process; a count that a dead
    process has taken stays taken."""

    @classmethod
    def open(
        cls,
        place: Place,
        first: int = 0,
        *,
        create: bool = True,
        mode: int = 0o600,
        wait: Optional[float] = 5,
        owner: Optional[int] = None,
    ) -> "Semaphore":
        """Opens the semaphore, or creates it with the count ``first``, 0 to 2147483647. The other arguments and the
        exceptions are those of ``Ring.open``."""
        return cls._open(fields(place, wait, owner), first, flags(create, mode))

    async def wait_async(self) -> None:
        """Lowers the count by one in a task of asyncio; waits while it is 0. A task that is cancelled has lowered
        nothing."""
        await _async.retry(self, lambda: self.wait(0))


class Latest(Valued, _core.Latest):
    """The newest value of something: one process publishes it, any number of processes read it, and none waits for
    another.

    ``seen`` is the version of the value that this handle has read last; 0 if it has read none.
    """

    seen = 0

    @classmethod
    def open(
        cls,
        place: Place,
        type: ValueType,
        *,
        layout: str = "",
        create: bool = True,
        mode: int = 0o600,
        read_only: bool = False,
        wait: Optional[float] = 5,
        owner: Optional[int] = None,
    ) -> "Latest":
        """Opens the latest value, or creates it. All processes must give the same size and layout.

        ``type`` is the type of a value: a number of bytes, a format of ``struct`` such as ``"<2d"``, or a NumPy dtype.
        ``layout`` is a name for it, at most 128 bytes, the same in all processes. ``read_only`` opens one that exists
        for reading only. The other arguments and the exceptions are those of ``Ring.open``.
        """
        how = flags(create and not read_only, mode, read_only)
        return cls._of(fields(place, wait, owner), type, layout, how)

    def publish(self, value: Any) -> None:
        """Publishes a value, and wakes the processes that wait for one. The first handle that publishes is the
        publisher until it is closed, or its process ends.

        Raises Busy if another handle is the publisher, and PermissionDenied if this handle is read-only.
        """
        self.publish_bytes(self._codec.encode(value))

    def read(self) -> Any:
        """Returns the newest value, always a whole one; None if no value was published."""
        found = self.read_bytes()
        return None if found is None else self._take(found)

    def wait(self, timeout: Optional[float] = None) -> Any:
        """Waits for a value whose version differs from ``seen``, and returns it.

        Raises TimeoutError, BlockingIOError if timeout is 0, and Cancelled.
        """
        return self._take(self.wait_bytes(self.seen, timeout))

    async def wait_async(self) -> Any:
        """Does what ``wait`` does, in a task of asyncio."""
        return await _async.retry(self, lambda: self.wait(0))

    def _take(self, found: Any) -> Any:
        self.seen, value = found
        return self._codec.decode(value)


def wait_any(
    objects: Iterable[Union[Ring, Broadcast, Semaphore, Latest]], timeout: Optional[float] = None
) -> Union[Ring, Broadcast, Semaphore, Latest]:
    """Waits until one of several objects is ready, and returns it: a ring or a broadcast that has a message or whose
    peer has released its role or died, a semaphore with a count above 0, a latest value newer than ``seen``.

    Receives nothing from that object: call its ``recv(0)`` or ``wait(0)``. The search begins after the object that the
    last call returned, so an object that is always ready does not hide the others. There can be up to 128 objects.

    Raises ValueError if there are more, or if one is given twice; TimeoutError if none was ready in time, or
    BlockingIOError if timeout is 0; and Cancelled.
    """
    objects = list(itertools.islice(objects, 129))
    if len(objects) > 128:
        raise ValueError("wait_any waits for up to 128 objects")
    return objects[_core.wait_any([(one, getattr(one, "seen", 0)) for one in objects], timeout)]
