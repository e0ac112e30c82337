"""The exceptions: one class for each kind of error that a program handles, below the class that Python has for it."""

import errno


class Error(OSError):
    """A call of the library has failed. ``errno`` and the text are those of C."""


class WouldBlock(Error, BlockingIOError):
    """The call would have to wait, and the timeout is 0 (EAGAIN)."""


class TimedOut(Error, TimeoutError):
    """It did not happen before the timeout (ETIMEDOUT)."""


class Cancelled(Error):
    """A Canceller has ended the wait (ECANCELED)."""


class Closed(Error, BrokenPipeError):
    """The other side has released its role, and there is nothing left to receive or no room (EPIPE)."""


class PeerDied(Error):
    """The other side has died (EOWNERDEAD)."""


class Busy(Error):
    """Another process or thread has this role (EBUSY)."""


class NotOwner(Error, PermissionError):
    """This thread does not have the lock, the slot or the message (EPERM)."""


class PermissionDenied(Error, PermissionError):
    """The mode of the segment does not allow it (EACCES)."""


class NotFound(Error, FileNotFoundError):
    """There is no such object, segment or file (ENOENT)."""


class AlreadyExists(Error, FileExistsError):
    """The segment exists, and was to be created (EEXIST)."""


class Removed(Error):
    """The segment was removed (EIDRM)."""


class WrongKind(Error):
    """An object of another kind has this name (EPROTOTYPE)."""


class WrongLayout(Error):
    """The object has another size, layout or capacity, or other options (EPROTO)."""


class TooLong(Error):
    """The message is longer than the capacity or the buffer (EMSGSIZE)."""


class Overtaken(Error):
    """The sender has overwritten what was read (ESTALE)."""


class Deadlock(Error):
    """This thread has the lock already (EDEADLK)."""


class NotRecoverable(Error):
    """The value is lost: its last owner died, and the next one did not mark it as consistent (ENOTRECOVERABLE)."""


_CLASSES = {
    errno.EAGAIN: WouldBlock,
    errno.ETIMEDOUT: TimedOut,
    errno.ECANCELED: Cancelled,
    errno.EPIPE: Closed,
    errno.EOWNERDEAD: PeerDied,
    errno.EBUSY: Busy,
    errno.EPERM: NotOwner,
    errno.EACCES: PermissionDenied,
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.EIDRM: Removed,
    errno.EPROTOTYPE: WrongKind,
    errno.EPROTO: WrongLayout,
    errno.EMSGSIZE: TooLong,
    errno.ESTALE: Overtaken,
    errno.EDEADLK: Deadlock,
    errno.ENOTRECOVERABLE: NotRecoverable,
}


def of_errno(number: int, text: str) -> Error:
    """Makes the exception for an errno."""
    return _CLASSES.get(number, Error)(number, text)
