"""Segments: plain bytes that processes share."""

import os
from typing import NamedTuple, Optional, Union

from . import _core

CREATE, EXCLUSIVE, READ_ONLY = 0o1000, 0o2000, 0o10000


class File(NamedTuple):
    """A place that is a file that exists and a project id: a character, or 1 to 255, as for ftok(3)."""

    path: Union[str, bytes, "os.PathLike[str]"]
    proj_id: Union[int, str]


def proj_number(proj_id: Union[int, str]) -> int:
    """Returns a project id as a number."""
    if isinstance(proj_id, str):
        proj_id = ord(proj_id) if len(proj_id) == 1 else 0
    if not 1 <= proj_id <= 255:
        raise ValueError("a project id is a character, or 1 to 255")
    return proj_id


def key_number(key: int) -> int:
    """Returns a key as C has it, with a sign. Programs such as ipcs print keys without one, in hexadecimal digits."""
    if not -(1 << 31) <= key < 1 << 32:
        raise ValueError("a key is a number of 32 bits")
    return key - (1 << 32) if key >= 1 << 31 else key


def permission_bits(mode: int) -> int:
    if not 0 <= mode <= 0o777:
        raise ValueError("a mode is permission bits, 0 to 0o777")
    return mode


class Status(NamedTuple):
    """The status of a segment at one time. The names are those of shmctl(2); ``size`` is in bytes; times are
    in seconds since 1970, 0 for never; ``removed`` and ``locked`` are 1 or 0."""

    size: int
    nattch: int
    atime: int
    dtime: int
    ctime: int
    id: int
    key: int
    mode: int
    uid: int
    gid: int
    cuid: int
    cgid: int
    cpid: int
    lpid: int
    removed: int
    locked: int


class Segment:
    """A System V segment: bytes that stay until a process removes them.

    >>> segment = shmkey.Segment.open("greeting", 1024, create=True)
    >>> with segment.attach() as memory:
    ...     memory.data[:5] = b"hello"
    >>> segment.remove()
    """

    __slots__ = ("id",)

    def __init__(self, id: int) -> None:
        """Stands for the segment with this id. Does not check that the segment exists."""
        self.id = id

    @classmethod
    def open(
        cls,
        place: Union[str, bytes, int, File, None],
        size: int = 0,
        *,
        create: bool = False,
        exclusive: bool = False,
        mode: int = 0o600,
    ) -> "Segment":
        """Opens a segment: by a name, by a ``shmkey.File``, or by a key that is a number, with a sign as in C or
        without one as ipcs(1) prints it. None creates one without a key.

        ``size`` is in bytes; a segment that exists must have at least this size. ``create`` creates a segment that does
        not exist, with the permission bits ``mode`` and with bytes that are 0; ``exclusive`` with ``create`` raises
        AlreadyExists if it exists.

        Raises NotFound, AlreadyExists, PermissionDenied, or Error with another errno of shm_open_key(3), such as EINVAL
        (the size), ENOSPC or ENOMEM.
        """
        mode = permission_bits(mode)
        flags = (CREATE | mode if create else 0) | (EXCLUSIVE if exclusive else 0)
        if place is None:
            return cls(_core.open_private(size, mode))
        if isinstance(place, int):
            return cls(_core.open_key(key_number(place), size, flags))
        if isinstance(place, File):
            path = os.fsencode(place.path)
            return cls(_core.open_file(path, proj_number(place.proj_id), size, flags))
        return cls(_core.open_name(os.fsencode(place), size, flags))

    def attach(self, *, read_only: bool = False) -> "_core.Attachment":
        """Attaches the segment. The ``data`` of the result is a memoryview of all its bytes, without a copy:
        ``numpy.frombuffer(memory.data, dtype)`` is an array in the segment.

        The result is a context manager, which detaches the memory at the end. While a view exists, detaching raises
        BufferError.

        Raises PermissionDenied, Removed, or Error with EINVAL (no such segment) or ENOMEM.
        """
        return _core.Attachment(self.id, READ_ONLY if read_only else 0)

    def status(self) -> Status:
        """Returns the status of the segment.

        Raises PermissionDenied, Removed, or Error with EINVAL (no such segment).
        """
        return Status(*_core.status(self.id))

    def remove(self) -> None:
        """Removes the segment: its key is free at once, and its memory is freed at the last detach.

        Raises NotOwner, Removed, or Error with EINVAL (no such segment).
        """
        _core.remove(self.id)

    def set_mode(self, mode: int) -> None:
        """Sets the permission bits, 0 to 0o777. Raises what ``remove`` raises."""
        _core.set_mode(self.id, permission_bits(mode))

    def set_owner(self, uid: Optional[int] = None, gid: Optional[int] = None) -> None:
        """Sets the ids of the owner's user and group; None leaves one unchanged. Raises what ``remove`` raises."""
        _core.set_owner(self.id, *(0xFFFFFFFF if number is None else number for number in (uid, gid)))

    def __repr__(self) -> str:
        return f"shmkey.Segment({self.id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Segment) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)
