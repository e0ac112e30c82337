"""Prints every message of the sender when it comes, until the sender ends: ring_receiver [COUNT [INTERVAL]]"""

import shmkey
from support import Failed, hold_stop_signals, pause, remove_if_last, repeat_arguments, run, say, stoppable


def main():
    count, interval = repeat_arguments(0)
    hold_stop_signals()
    ring = shmkey.Ring.open(shmkey.File(".", "Q"), 4096)
    segment = ring.segment
    try:
        with ring, stoppable():
            for _, message in zip(count, ring):
                say(b"Received: " + message if message in (b"CIEPLO", b"ZIMNO") else b"Error: Invalid message")
                pause(interval)
    except shmkey.PeerDied:
        raise Failed("the sender was killed; all that it had sent was received")
    finally:
        remove_if_last(segment)


run(main)
