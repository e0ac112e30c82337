"""Mutexes, reader-writer locks and condition variables."""

import time
from typing import Any, Callable, Optional, Type, TypeVar

from . import _core
from ._objects import Handle, Valued
from ._place import Place, fields, flags
from ._values import ValueType


class Guard(_core.Guard):
    """A lock that this thread has, and the access to its value. ``with`` unlocks it at the end.

    ``owner_died`` is true if the last owner died while it had the lock: the value may be half changed. A reader of an
    RwLock cannot repair it: it unlocks the lock, which loses nothing, and calls ``RwLock.write``.
    """

    __slots__ = ()

    @property
    def value(self) -> Any:
        """A copy of the value. Setting it writes the value."""
        return self.handle._codec.decode(self.read_bytes())

    @value.setter
    def value(self, value: Any) -> None:
        self.write_bytes(self.handle._codec.encode(value))


L = TypeVar("L", bound="_Lock")


class _Lock(Valued, _core.Lock):
    @classmethod
    def open(
        cls: Type[L],
        place: Place,
        type: ValueType,
        *,
        layout: str = "",
        create: bool = True,
        mode: int = 0o600,
        wait: Optional[float] = 5,
        owner: Optional[int] = None,
    ) -> L:
        """Opens the lock, or creates it around a value whose bytes are 0. All processes must give the same size and
        layout. The arguments and the exceptions are those of ``Latest.open``.
        """
        return cls._of(fields(place, wait, owner), type, layout, flags(create, mode))


class Mutex(_Lock):
    """A robust mutex around a value: one thread of one process has it at a time, and the value survives the death of
    that thread.

    >>> mutex = shmkey.Mutex.open("account", "q")
    >>> with mutex as guard:      # locks it; mutex.lock(timeout=1) has a timeout
    ...     guard.value += 1

    If the last owner died while it had the lock, ``guard.owner_died`` is true: repair the value, and call
    ``guard.mark_consistent()``.
    """

    _kind = (True,)
    # In the extension module, so that no exception of a signal handler comes between locking and the block.
    __enter__ = _core.Lock.enter
    __exit__ = _core.Lock.exit

    def lock(self, timeout: Optional[float] = None) -> Guard:
        """Locks the mutex for this thread; waits while another thread has it. Returns a Guard.

        Raises TimeoutError, BlockingIOError if timeout is 0, Deadlock if this thread has the lock already,
        NotRecoverable if the value is lost, and Cancelled.
        """
        return Guard(self, True, timeout)


class RwLock(_Lock):
    """A robust reader-writer lock around a value: up to 64 threads read it at a time, or one thread changes it.

    >>> limits = shmkey.RwLock.open("limits", "2I")
    >>> with limits.read() as guard:
    ...     low, high = guard.value
    """

    _kind = (False,)

    def read(self, timeout: Optional[float] = None) -> Guard:
        """Locks for reading; waits while another thread has the lock for writing. Raises what ``Mutex.lock`` raises."""
        return Guard(self, False, timeout)

    def write(self, timeout: Optional[float] = None) -> Guard:
        """Locks for writing; waits while other threads have the lock. Raises what ``Mutex.lock`` raises."""
        return Guard(self, True, timeout)


class Condvar(Handle, _core.Condvar):
    """A condition variable: a thread waits until another one, in any process, notifies it that the value in a mutex has
    changed.

    >>> with jobs as guard:
    ...     added.wait_for(guard, lambda: guard.value > 0)
    ...     guard.value -= 1
    """

    @classmethod
    def open(
        cls,
        place: Place,
        *,
        create: bool = True,
        mode: int = 0o600,
        wait: Optional[float] = 5,
        owner: Optional[int] = None,
    ) -> "Condvar":
        """Opens the condition variable, or creates it. The arguments are those of ``Ring.open``."""
        return cls._open(fields(place, wait, owner), flags(create, mode))

    def wait_for(self, guard: Guard, condition: Callable[[], Any], timeout: Optional[float] = None) -> bool:
        """Waits until ``condition()`` returns a true value, and returns True; returns False at the timeout."""
        if timeout is not None and not timeout >= 0:
            raise ValueError("a timeout is 0 or more seconds, or None to wait without limit")
        end = None if timeout is None else time.monotonic() + timeout
        while not condition():
            left = None if end is None else max(0.0, end - time.monotonic())
            if not self.wait(guard, left) or left == 0:
                return bool(condition())
        return True
