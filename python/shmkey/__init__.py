"""System V shared memory, and objects that processes share in it: the Python package of shmkey.

    import shmkey

    ring = shmkey.Ring.open("orders", 65536)   # the first process that opens the name creates the ring
    ring.send(b"two large, one small")

    for order in shmkey.Ring.open("orders"):   # in another process, in Python, C, C++ or Rust
        print(order)

Every call that can wait takes ``timeout=`` in seconds: None waits without limit, and 0 does not wait. Signal handlers
run during a wait, and Ctrl-C ends it. A failure of the library raises an exception derived from ``shmkey.Error``: an
OSError with the ``errno`` that C gets, and a text with the names of this package.

A child made by fork may use its parent's handles, but does not have its parent's roles, locks, slots, messages or
subscriptions. A signal handler may use every object; if it has interrupted a call on one side of a handle, its own
calls on that side raise ``shmkey.Busy``.
"""

from ._core import Attachment, Canceller, Message, Slot
from ._errors import (
    AlreadyExists,
    Busy,
    Cancelled,
    Closed,
    Deadlock,
    Error,
    NotFound,
    NotOwner,
    NotRecoverable,
    Overtaken,
    PeerDied,
    PermissionDenied,
    Removed,
    TimedOut,
    TooLong,
    WouldBlock,
    WrongKind,
    WrongLayout,
)
from ._locks import Condvar, Guard, Mutex, RwLock
from ._objects import Broadcast, Latest, Ring, Semaphore, wait_any
from ._place import Within
from ._segment import File, Segment, Status

__all__ = [
    "AlreadyExists",
    "Attachment",
    "Broadcast",
    "Busy",
    "Cancelled",
    "Canceller",
    "Closed",
    "Condvar",
    "Deadlock",
    "Error",
    "File",
    "Guard",
    "Latest",
    "Message",
    "Mutex",
    "NotFound",
    "NotOwner",
    "NotRecoverable",
    "Overtaken",
    "PeerDied",
    "PermissionDenied",
    "Removed",
    "Ring",
    "RwLock",
    "Segment",
    "Semaphore",
    "Slot",
    "Status",
    "TimedOut",
    "TooLong",
    "Within",
    "WouldBlock",
    "WrongKind",
    "WrongLayout",
    "wait_any",
]
