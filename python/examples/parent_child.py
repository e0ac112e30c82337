"""A child waits until its parent has written a text, and prints it."""

import os

import shmkey
from support import Failed, c_string, run, say

# The text, and behind it a semaphore.
WRITTEN, SIZE = 1024, 2048


def main():
    # A child inherits what its parent has attached and opened, so no key is needed. The segment is removed at once, so
    # the kernel destroys it when the last process ends, even if that is killed.
    segment = shmkey.Segment.open(None, SIZE)
    try:
        shared = segment.attach()
        written = shmkey.Semaphore.open(shmkey.Within(segment, WRITTEN))
    finally:
        segment.remove()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        while True:
            try:
                written.wait(timeout=0.2)
                break
            except TimeoutError:
                if os.getppid() != parent:
                    raise Failed("the parent died before it had written")
        say(b"Child reads: ", c_string(shared))
        os._exit(0)
    say(b"Parent writes message")
    text = b"Hello from parent via shared memory\0"
    shared.data[: len(text)] = text
    written.post()
    if os.waitpid(child, 0)[1] != 0:
        raise Failed("the child failed")


run(main)
