"""Leaves a message, waits until a client has read it, and removes the segment."""

import os

import shmkey
from support import Failed, Stopped, hold_stop_signals, run, say, stoppable

# Two rings in one segment: one for the message at its start, and one for the client's answer. The client uses the same
# numbers.
CAPACITY, ANSWERS, SIZE = 1024, 4096, 8192
MESSAGE = b"Hello from the other side!"


def open_as_server():
    """Opens both rings, which fails while another server is live."""
    segment = shmkey.Segment.open(shmkey.File(".", "C"), SIZE, create=True)
    messages = shmkey.Ring.open(shmkey.Within(segment, 0), CAPACITY)
    answers = shmkey.Ring.open(shmkey.Within(segment, ANSWERS), CAPACITY)
    messages.begin_sending()
    answers.begin_receiving()
    return segment, messages, answers


def main():
    hold_stop_signals()
    segment, messages, answers = open_as_server()
    while segment.status().cpid != os.getpid():
        # A killed server has left this segment, with its messages and those of its client.
        segment.remove()
        segment, messages, answers = open_as_server()
    try:
        with messages, answers, stoppable():
            messages.send(MESSAGE, timeout=0)
            say(b"Data written in memory: ", MESSAGE, b"\nWaiting for client...")
            answers.recv()
    except shmkey.PeerDied:
        raise Failed("the client was killed before it answered; start server and client again")
    except shmkey.Closed:
        raise Failed("the client ended without an answer; start server and client again")
    except Stopped:
        raise Failed("stopped by a signal before a client came")
    finally:
        segment.remove()


run(main)
