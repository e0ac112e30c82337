"""Prints the lines that writers have sent, waiting for the first, and removes the segment."""

import shmkey
from support import Failed, Stopped, hold_stop_signals, remove_if_last, run, say, stoppable


def main():
    hold_stop_signals()
    ring = shmkey.Ring.open(shmkey.File("shmfile", 115), 8192)
    segment = ring.segment
    try:
        with ring, stoppable():
            while True:
                # The message is released after it was printed: if this process is killed before, the next reader gets
                # the line.
                with ring.peek() as line:
                    say(b"Data read from memory: ", line)
    except shmkey.Closed:  # the writer has ended, and all was read
        segment.remove()
    except shmkey.PeerDied:
        segment.remove()
        raise Failed("the writer was killed; all that it had sent was read")
    except Stopped:
        remove_if_last(segment)
        raise Failed("stopped by a signal before a line came")


run(main)
