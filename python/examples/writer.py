"""Reads a line and sends it to the reader, which waits for it or comes later."""

import shmkey
from support import Failed, Stopped, ask_for_line, hold_stop_signals, remove_if_mine, run, say, stoppable


def main():
    line = ask_for_line()
    # Created only now: a program that is stopped at the prompt leaves no segment.
    hold_stop_signals()
    ring = shmkey.Ring.open(shmkey.File("shmfile", 115), 8192)
    segment = ring.segment
    try:
        with ring, stoppable():
            ring.send(line)
    except Stopped:
        raise Failed("stopped by a signal before there was room for the line; start a reader")
    except OSError:
        remove_if_mine(segment)
        raise
    say(b"Data written in memory: ", line)


run(main)
