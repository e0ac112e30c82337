"""Reads the server's message, and notifies the server that it has."""

import shmkey
from support import Failed, Stopped, hold_stop_signals, run, say, stoppable

# The same as in the server.
CAPACITY, ANSWERS, SIZE = 1024, 4096, 8192


def main():
    # The segment is the server's. The first process that opens a ring in it creates the ring.
    hold_stop_signals()
    segment = shmkey.Segment.open(shmkey.File(".", "C"), SIZE)
    messages = shmkey.Ring.open(shmkey.Within(segment, 0), CAPACITY)
    answers = shmkey.Ring.open(shmkey.Within(segment, ANSWERS), CAPACITY)
    with messages, answers:
        # Either call fails while another client is live. From now on the server is notified if this process dies.
        messages.begin_receiving()
        answers.begin_sending()
        try:
            with stoppable(), messages.peek() as message:
                say(b"Data read from memory: ", message)
        except shmkey.Closed:
            raise Failed("another client has read the message already")
        except shmkey.PeerDied:
            segment.remove()  # no other process will
            raise Failed("the server was killed before it sent its message; start it again")
        except Stopped:
            raise Failed("stopped by a signal before there was a message")
        answers.send(b"*", timeout=0)
        # The server ends when it has the answer, and removes the segment. If the server is dead, this program removes
        # it.
        try:
            with stoppable():
                messages.peek()
        except shmkey.PeerDied:
            segment.remove()
            raise Failed("the server was killed before it saw the answer")
        except shmkey.Closed:
            pass


run(main)
