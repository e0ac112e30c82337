"""The exceptions: one class for each kind of error that programs handle, derived from Python's class for that errno."""

import errno


class Error(OSError):
    """A call of the library failed. ``errno`` is that of C."""


class WouldBlock(Error, BlockingIOError):
    """The call would have to wait, and the timeout is 0 (EAGAIN)."""


class TimedOut(Error, TimeoutError):
    """What the call waited for did not happen before the timeout (ETIMEDOUT)."""


class Cancelled(Error):
    """A Canceller has ended the wait (ECANCELED)."""


class Closed(Error, BrokenPipeError):
    """The other side has released its role, and there is no message left, or no room (EPIPE)."""


class PeerDied(Error):
    """The process on the other side died, and there is no message left, or no room (EOWNERDEAD)."""


class Busy(Error):
    """Another handle has this role, or another thread is using this side of the handle (EBUSY)."""


class NotOwner(Error, PermissionError):
    """This thread does not have the lock, the slot or the message; the handle is not subscribed; or the user may not
    change or remove the segment (EPERM)."""


class PermissionDenied(Error, PermissionError):
    """The mode of the segment, or of a directory, does not allow it (EACCES)."""


class NotFound(Error, FileNotFoundError):
    """There is no such object, segment or file, or no directory of the user backend (ENOENT)."""


class AlreadyExists(Error, FileExistsError):
    """The segment exists, and the call asked for a new one (EEXIST)."""


class Removed(Error):
    """The segment was removed and destroyed during the call (EIDRM)."""


class WrongKind(Error):
    """An object of another kind has this name (EPROTOTYPE)."""


class WrongLayout(Error):
    """The object has another size, layout or capacity, or other options (EPROTO)."""


class TooLong(Error):
    """The message is longer than the capacity or the buffer (EMSGSIZE)."""


class Overtaken(Error):
    """The sender has dropped the message that was read, or the publisher has dropped this subscriber (ESTALE)."""


class Deadlock(Error):
    """This thread has the lock already (EDEADLK)."""


class NotRecoverable(Error):
    """The value is lost: its last owner died, and the next one did not mark it as consistent (ENOTRECOVERABLE)."""


# The classes by errno; 0 stands for all others.
CLASSES = {
    0: Error,
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
