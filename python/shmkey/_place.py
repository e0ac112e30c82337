"""Where an object lies: a name, a file, or an offset in a segment."""

import os
from typing import Any, NamedTuple, Optional, Tuple, Union

from ._segment import CREATE, READ_ONLY, File, Segment, permission_bits, proj_number

ANY_OWNER = 0xFFFFFFFF
FOREVER = -1


class Within(NamedTuple):
    """A place in a segment that exists. ``offset`` is where the object begins: in bytes, a multiple of 64."""

    segment: Union[Segment, int]
    offset: int = 0


Place = Union[str, bytes, File, Within]


def fields(place: Place, wait: Optional[float], owner: Optional[int]) -> Tuple[Any, ...]:
    """Returns the fields of ``struct shm_place`` in C."""
    timeout = nanoseconds(wait)
    if owner is not None and not 0 <= owner < ANY_OWNER:
        raise ValueError("an owner is the id of a user, 0 or more")
    user = ANY_OWNER if owner is None else owner
    if isinstance(place, File):
        return (None, os.fsencode(place.path), proj_number(place.proj_id), -1, 0, timeout, user)
    if isinstance(place, Within):
        segment = place.segment
        number = segment.id if isinstance(segment, Segment) else segment
        if not 0 <= place.offset < 1 << 64:
            raise ValueError("an offset is 0 to 2**64 - 1 bytes")
        return (None, None, 0, number, place.offset, timeout, user)
    if not isinstance(place, (str, bytes)):
        raise TypeError("a place is a name (str or bytes), a shmkey.File or a shmkey.Within")
    return (os.fsencode(place), None, 0, -1, 0, timeout, user)


def nanoseconds(seconds: Optional[float]) -> int:
    """Returns a time in seconds as C gets it: in nanoseconds, or -1 for no limit."""
    if seconds is None or seconds > 1e9:  # 30 years
        return FOREVER
    if not seconds >= 0:
        raise ValueError("wait is 0 or more seconds, or None to wait without limit")
    return int(seconds * 1e9)


def flags(create: bool, mode: int, read_only: bool = False) -> int:
    """Returns the flags with which C opens an object."""
    return (CREATE | permission_bits(mode) if create else 0) | (READ_ONLY if read_only else 0)
