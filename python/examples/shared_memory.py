"""A parent and its child share a private segment."""

import os

import shmkey
from support import Failed, c_string, run, say


def main():
    # The segment is removed as soon as it is attached, so the kernel destroys it when the last process ends, even if
    # that is killed.
    segment = shmkey.Segment.open(None, 4096)
    with segment.attach() as shared:
        segment.remove()
        child = os.fork()
        if child == 0:
            shared.data[:18] = b"Hello from child!\0"
            say(b"Child wrote: ", c_string(shared))
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            raise Failed("the child failed")
        say(b"Parent read: ", c_string(shared))


run(main)
