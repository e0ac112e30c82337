"""Waiting in asyncio, by the descriptor of an object."""

import asyncio
from typing import Any, Callable, Dict, List, Tuple, TypeVar

T = TypeVar("T")

# The tasks that wait, by loop and descriptor: a loop has one reader for each descriptor.
_waiting: Dict[Tuple[int, int], List["asyncio.Future[None]"]] = {}


async def retry(object: Any, attempt: Callable[[], T]) -> T:
    """Calls ``attempt``, which must not wait, each time that the object may be ready, until it does not raise
    BlockingIOError. Returns its result.

    A task that is cancelled has received nothing: there is no await between a successful attempt and the return.
    """
    while True:
        try:
            return attempt()
        except BlockingIOError:
            await _readable(object.fileno())


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    future: "asyncio.Future[None]" = loop.create_future()
    key = (id(loop), descriptor)
    waiting = _waiting.setdefault(key, [])
    waiting.append(future)
    if len(waiting) == 1:
        loop.add_reader(descriptor, _wake, waiting)
    try:
        await future
    finally:
        waiting.remove(future)
        if not waiting:
            loop.remove_reader(descriptor)
            del _waiting[key]


def _wake(waiting: List["asyncio.Future[None]"]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
