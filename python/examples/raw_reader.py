"""Prints the line that the writer left, and removes the segment."""

import shmkey
from support import c_string, run, say


def main():
    segment = shmkey.Segment.open(shmkey.File("shmfile", 115))
    with segment.attach() as shared:
        say(b"Data read from memory: ", c_string(shared))
    segment.remove()


run(main)
