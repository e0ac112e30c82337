"""Mutexes, reader-writer locks and condition variables, and the guards of locks."""

import errno
import time
from typing import Any, Callable, Optional, Type, TypeVar

from . import _core
from ._errors import Error
from ._objects import Handle, Valued
from ._place import Place, fields, flags
from ._values import ValueType


class Guard:
    """A lock that this thread has, and the access to its value. ``with`` unlocks it at the end.

    ``owner_died`` is true if the last owner died while it had the lock: the value may be half changed.
    """

    __slots__ = ("owner_died", "_lock", "_lease", "_read_only", "_is_held")

    def __init__(self, lock: Any, read_only: bool, owner_died: bool) -> None:
        self.owner_died = owner_died
        self._lock, self._read_only = lock, read_only
        self._lease: Any = None
        self._is_held = True

    @property
    def data(self) -> memoryview:
        """The bytes of the value in place, as a memoryview, which is released when the lock is unlocked."""
        if not self._is_held:
            raise ValueError("the lock was unlocked")
        if self._lease is None:
            self._lease = self._lock.lease(self._read_only)
        data: memoryview = self._lease.data
        return data

    @property
    def value(self) -> Any:
        """A copy of the value. Setting it writes the value."""
        return self._lock._codec.decode(bytes(self.data))

    @value.setter
    def value(self, value: Any) -> None:
        data = memoryview(self._lock._codec.encode(value)).cast("B")
        self.data[:] = data

    def mark_consistent(self) -> None:
        """Marks the value as consistent, after ``owner_died`` and a repair. If this is not called, the value is lost
        when the lock is unlocked: later calls raise NotRecoverable."""
        self._lock.consistent()
        self.owner_died = False

    def unlock(self) -> None:
        """Unlocks the lock. Does nothing if it is unlocked already.

        Raises BufferError if a view of the value other than ``data`` exists. The lock is unlocked nevertheless, so the
        view may show a half changed value.
        """
        if self._is_held:
            self._is_held = False
            try:
                if self._lease is not None:
                    self._lease.end_view()
            finally:
                self._lock.unlock()

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.unlock()

    def __del__(self) -> None:
        try:
            self.unlock()
        except (OSError, ValueError, BufferError):
            pass  # another thread has the lock, or the handle is closed


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
        """Opens the lock, or creates it around a value whose bytes are 0. All processes give the same size and layout.
        The arguments and the exceptions are those of ``Latest.open``.
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
    _guard: Any = None

    def lock(self, timeout: Optional[float] = None) -> Guard:
        """Locks the mutex for this thread; waits while another thread has it. Returns a Guard.

        Raises TimeoutError, BlockingIOError if timeout is 0, Deadlock if this thread has the lock already,
        NotRecoverable if the value is lost, and Cancelled.
        """
        return Guard(self, False, self.acquire(True, timeout))

    def __enter__(self) -> Guard:
        guard = self.lock()
        self._guard = guard  # safe: only the thread that has the lock is here
        return guard

    def __exit__(self, *exception: Any) -> None:
        guard, self._guard = self._guard, None
        guard.unlock()


class RwLock(_Lock):
    """A robust reader-writer lock around a value: up to 64 threads read it at a time, or one thread changes it.

    >>> limits = shmkey.RwLock.open("limits", "2I")
    >>> with limits.read() as guard:
    ...     low, high = guard.value
    """

    _kind = (False,)

    def read(self, timeout: Optional[float] = None) -> Guard:
        """Locks for reading; waits while another thread has the lock for writing. Raises what ``Mutex.lock`` raises."""
        return Guard(self, True, self.acquire(False, timeout))

    def write(self, timeout: Optional[float] = None) -> Guard:
        """Locks for writing; waits while other threads have the lock. Raises what ``Mutex.lock`` raises."""
        return Guard(self, False, self.acquire(True, timeout))


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

    def wait(self, guard: Guard, timeout: Optional[float] = None) -> bool:
        """Unlocks the mutex, waits for a notification, and locks the mutex again. Returns False at the timeout. A wait
        may also end without a notification: check the condition again, or use ``wait_for``. The timeout limits the wait
        for a notification, not the wait for the mutex.

        Raises Cancelled, after which the thread has the lock; NotOwner or NotRecoverable, after which it does not.
        """
        try:
            in_time, guard.owner_died = self.wait_once(guard._lock, timeout)
        except Error as error:
            guard._is_held = error.errno == errno.ECANCELED
            raise
        return in_time

    def wait_for(self, guard: Guard, condition: Callable[[], Any], timeout: Optional[float] = None) -> bool:
        """Waits until ``condition()`` returns a true value, and returns True; returns False at the timeout."""
        end = None if timeout is None else time.monotonic() + timeout
        while not condition():
            left = None if end is None else max(0.0, end - time.monotonic())
            if not self.wait(guard, left) or left == 0:
                return bool(condition())
        return True
