"""Leaves a message, waits until a client has read it, and removes the segment."""

import shmkey
from support import Failed, Stopped, hold_stop_signals, pause, run, say, stoppable

MESSAGE = b"Hello from the other side!"


def main():
    hold_stop_signals()
    segment = shmkey.Segment.open(shmkey.File(".", "C"), 1024, create=True)
    try:
        with segment.attach() as shared, stoppable():
            # The first byte is stored last, so a client that reads it can read the others, too.
            shared.data[1 : len(MESSAGE) + 1] = MESSAGE[1:] + b"\0"
            shared.data[0] = MESSAGE[0]
            say(b"Data written in memory: ", MESSAGE, b"\nWaiting for client...")
            # The client answers by a star in the first byte. A plain segment gives no way to wait for that but to poll.
            while shared.data[0] != ord("*"):
                pause(0.001)
    except Stopped:
        raise Failed("stopped by a signal before a client came")
    finally:
        segment.remove()


run(main)
