"""Rings, broadcasts, latest values and semaphores."""

from typing import TYPE_CHECKING, Any, AsyncIterator, Iterable, Optional, Tuple, Type, TypeVar, Union

from . import _async, _core
from ._errors import Closed
from ._place import Place, fields, flags
from ._segment import Segment
from ._values import Codec, ValueType, codec

_MANY_SENDERS, _DROP_OLDEST, _LOSSY = 1 << 16, 1 << 17, 1 << 18


# The classes of the extension module come from the class that is beside these among the bases.
if TYPE_CHECKING:
    from ._core import Object, Stream
else:
    Object = Stream = object

H = TypeVar("H", bound="Handle")


class Handle(Object):
    """What all objects have in common. ``with`` closes the handle, except that of a mutex, which it locks."""

    # The arguments with which another process opens the same object.
    _opened: Tuple[Any, ...]

    @classmethod
    def _open(cls: Type[H], *arguments: Any) -> H:
        handle = cls(*arguments)
        handle._opened = arguments
        return handle

    @property
    def segment(self) -> Segment:
        """The segment in which the object lies."""
        return Segment(self.id)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()

    def __reduce__(self) -> Any:
        """Has another process open the same object, for multiprocessing. A role does not pass to it."""
        return type(self)._open, self._opened

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"in segment {self.id}"
        return f"<shmkey.{type(self).__name__} {state}>"


V = TypeVar("V", bound="Valued")


class Valued(Handle):
    """An object around a value of a type."""

    # What the extension's class takes in front of the place.
    _kind: Tuple[Any, ...] = ()
    _codec: Codec

    @classmethod
    def _of(cls: Type[V], place: Tuple[Any, ...], type: ValueType, layout: str, how: int) -> V:
        form = codec(type)
        handle = cls(*cls._kind, place, form.size, layout, how)
        handle._codec, handle._opened = form, (place, type, layout, how)
        return handle

    def __reduce__(self) -> Any:
        return type(self)._of, self._opened


class _Stream(Handle, Stream):
    async def recv_async(self) -> bytes:
        """Receives a message in a task of asyncio; waits for it. A task that is cancelled has received nothing."""
        return await _async.retry(self, lambda: self.recv(0))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            try:
                yield await self.recv_async()
            except Closed:
                return


class Ring(_Stream, _core.Ring):
    """Messages from one process to another, in order and without loss.

    The first handle that sends becomes the sender, and the first one that receives the receiver, until it is closed or
    releases the role, or its process ends. Iteration receives messages until the senders have released their roles.

    One thread at a time sends with a handle, while another one may receive with it; a third one gets ``shmkey.Busy``.
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
        """Opens the ring, or creates it. All processes give the same capacity and options.

        ``capacity`` is the length of the longest message and the room for all messages, in bytes: 64 or more. 0 opens a
        ring that exists, whatever its capacity and options are. ``many_senders`` allows up to 64 senders.
        ``drop_oldest`` has a sender without room drop the oldest messages. ``wait`` is how long to wait for a process
        that is creating the ring, in seconds; ``owner`` is the user id that must own the segment.

        Raises NotFound, WrongKind, WrongLayout, PermissionDenied, TimedOut, or Error with another errno of
        shm_ring_open(3).
        """
        options = (_MANY_SENDERS if many_senders else 0) | (_DROP_OLDEST if drop_oldest else 0)
        how = flags(create and capacity != 0, mode)
        return cls._open(fields(place, wait, owner), capacity, options, how)


class Broadcast(_Stream, _core.Broadcast):
    """Messages from one process to up to 64 subscribers, each of which receives all of them in order.

    The first handle that publishes becomes the publisher. A handle subscribes by ``subscribe()``. The publisher of a
    lossless broadcast waits for the slowest subscriber; that of a lossy one overwrites the oldest messages, and
    ``missed`` counts those that a subscriber did not get.
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
        """Opens the broadcast, or creates it. All processes give the same capacity and options.

        ``lossy`` has the publisher never wait. A lossy broadcast can be opened ``read_only``. The other arguments and
        the exceptions are those of ``Ring.open``.
        """
        how = flags(create and capacity != 0 and not read_only, mode, read_only)
        return cls._open(fields(place, wait, owner), capacity, _LOSSY if lossy else 0, how)


class Semaphore(Handle, _core.Semaphore):
    """A count that ``post()`` raises and ``wait()`` lowers. It survives the death of any process."""

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
        """Opens the semaphore, or creates it with the count ``first``. The other arguments are those of ``Ring.open``."""
        return cls._open(fields(place, wait, owner), first, flags(create, mode))

    async def wait_async(self) -> None:
        """Lowers the count by one in a task of asyncio; waits while it is 0."""
        await _async.retry(self, lambda: self.wait(0))


class Latest(Valued, _core.Latest):
    """The newest value of something: one process publishes it, any number read it, and none waits for another.

    ``seen`` is the version of the value that this handle has read last, 0 for none.
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
        """Opens the latest value, or creates it. All processes give the same size and layout.

        ``type`` is what a value is: a number of bytes, a format of ``struct`` such as ``"<2d"``, or a NumPy dtype.
        ``layout`` is a name for it, the same in C, C++, Rust and Python. The other arguments and the exceptions are
        those of ``Ring.open``.
        """
        how = flags(create and not read_only, mode, read_only)
        return cls._of(fields(place, wait, owner), type, layout, how)

    def publish(self, value: Any) -> None:
        """Publishes a value. The first handle that publishes is the publisher until it is closed, or its process ends.

        Raises Busy if another process is the publisher.
        """
        self.publish_bytes(self._codec.encode(value))

    def read(self) -> Any:
        """Returns the newest value, always a whole one; None if none was published."""
        found = self.read_bytes()
        return None if found is None else self._take(found)

    def wait(self, timeout: Optional[float] = None) -> Any:
        """Waits for a value whose version differs from ``seen``, and returns it.

        Raises TimeoutError, BlockingIOError if timeout is 0, and Cancelled.
        """
        return self._take(self.wait_bytes(self.seen, timeout))

    async def wait_async(self) -> Any:
        """Does the same in a task of asyncio."""
        return await _async.retry(self, lambda: self.wait(0))

    def _take(self, found: Any) -> Any:
        self.seen, value = found
        return self._codec.decode(value)


def wait_any(
    objects: Iterable[Union[Ring, Broadcast, Semaphore, Latest]], timeout: Optional[float] = None
) -> Union[Ring, Broadcast, Semaphore, Latest]:
    """Waits until one of several objects is ready, and returns it: a ring or a broadcast that has a message or whose peer
    has released its role or died, a semaphore with a count above 0, a latest value newer than ``seen``.

    Receives nothing: then call ``recv(0)`` or ``wait(0)``. The search begins after the object that the last call
    returned. At most 128 objects, none of them twice.

    Raises TimeoutError, BlockingIOError if timeout is 0, and Cancelled.
    """
    objects = list(objects)
    return objects[_core.wait_any([(one, getattr(one, "seen", 0)) for one in objects], timeout)]
