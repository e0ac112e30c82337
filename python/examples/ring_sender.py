"""Sends CIEPLO and ZIMNO in turn, one a second, without end; none of them is lost: ring_sender [COUNT [INTERVAL]]"""

import itertools

import shmkey
from support import Stopped, hold_stop_signals, pause, remove_if_last, repeat_arguments, run, stoppable


def is_left_empty(segment):
    """Returns whether no process has the ring open, and all messages are received."""
    try:
        # Another process still has it open, and will be the last one.
        if segment.status().nattch != 0:
            return False
        with shmkey.Ring.open(shmkey.Within(segment)) as ring:
            return ring.used == 0
    except OSError:
        return False


def main():
    count, interval = repeat_arguments(1)
    hold_stop_signals()
    ring = shmkey.Ring.open(shmkey.File(".", "Q"), 4096)
    segment, stays = ring.segment, False
    try:
        with ring, stoppable():
            for _, message in zip(count, itertools.cycle([b"CIEPLO", b"ZIMNO"])):
                ring.send(message)  # when there is no room, it waits for the receiver
                pause(interval)
            stays = True
    finally:
        # The last process removes the segment. But messages that were not received stay.
        if not stays or is_left_empty(segment):
            remove_if_last(segment)


run(main)
