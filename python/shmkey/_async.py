"""Waiting in asyncio, by the descriptor of an object."""

import asyncio
import itertools
import weakref
from typing import Any, Callable, List, TypeVar

T = TypeVar("T")

# How many calls may receive, one after the other, before one lets other tasks run.
_TURN = 32
_calls = itertools.count(1)


async def retry(object: Any, attempt: Callable[[], T]) -> T:
    """Calls ``attempt``, which must not wait, each time that the object may be ready, until it does not raise
    BlockingIOError. Returns its result.

    A task that is cancelled has received nothing: there is no await between a successful attempt and the return.
    """
    if next(_calls) % _TURN == 0:
        await asyncio.sleep(0)
    while True:
        try:
            return attempt()
        except BlockingIOError:
            pass
        await _readable(object)


class _Waiting:
    """The tasks of a loop that wait for an object. Only the loop keeps a lasting reference to this, so it does not
    outlive the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, object: Any) -> None:
        self.loop, self.futures = loop, []  # type: asyncio.AbstractEventLoop, List["asyncio.Future[None]"]
        self._descriptor, self._is_over = object.fileno(), False
        loop.add_reader(self._descriptor, self.wake)
        object._waiting.add(self)

    def wake(self) -> None:
        for future in self.futures:
            if not future.done():
                future.set_result(None)

    def end(self, object: Any) -> None:
        if self._is_over:
            return  # the descriptor may belong to another object now
        self._is_over = True
        object._waiting.discard(self)
        if not self.loop.is_closed():
            self.loop.remove_reader(self._descriptor)


async def _readable(object: Any) -> None:
    loop = asyncio.get_running_loop()
    future: "asyncio.Future[None]" = loop.create_future()
    if object._waiting is None:
        object._waiting = weakref.WeakSet()
    waiting = next((one for one in object._waiting if one.loop is loop), None) or _Waiting(loop, object)
    waiting.futures.append(future)
    try:
        await future
    finally:
        waiting.futures.remove(future)
        if not waiting.futures:
            waiting.end(object)


def before_close(object: Any) -> None:
    """Wakes the tasks that wait for an object: their next attempts then fail, because it is closed. Raises BufferError
    if the loop of another thread has such a task."""
    try:
        mine = asyncio.get_running_loop()
    except RuntimeError:
        mine = None
    every = list(object._waiting)
    if any(one.loop.is_running() and one.loop is not mine for one in every):
        raise BufferError("a task in another thread waits for this object")
    for one in every:
        one.end(object)
        if not one.loop.is_closed():
            one.wake()
