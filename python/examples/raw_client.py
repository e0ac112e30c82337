"""Reads the server's message, and notifies the server that it has."""

import shmkey
from support import Failed, c_string, pause, run, say


def main():
    with shmkey.Segment.open(shmkey.File(".", "C")).attach() as shared:
        # A server that has just created the segment writes at once; its first byte comes last.
        for _ in range(5000):
            if shared.data[0] != 0:
                break
            pause(0.001)
        else:
            raise Failed("there is a segment, but no server has written into it")
        if shared.data[0] == ord("*"):
            raise Failed("another client has read the message already")
        say(b"Data read from memory: ", c_string(shared))
        shared.data[0] = ord("*")


run(main)
