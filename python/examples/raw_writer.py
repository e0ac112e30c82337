"""Reads a line and leaves it in a segment for the reader."""

import shmkey
from support import Failed, ask_for_line, run, say

SIZE = 1024


def main():
    line = ask_for_line()
    if b"\0" in line:
        raise Failed("the line has a NUL byte in it, which would end it for the reader")
    if len(line) > SIZE:
        raise Failed(f"the line has {len(line)} bytes, and the segment holds {SIZE}")
    # Created only now: a program that is stopped at the prompt leaves no segment.
    segment = shmkey.Segment.open(shmkey.File("shmfile", 115), SIZE, create=True)
    text = (line + b"\0")[:SIZE]
    with segment.attach() as shared:
        shared.data[: len(text)] = text
    say(b"Data written in memory: ", line)


run(main)
