"""Publishes CIEPLO and ZIMNO in turn, one a second, without end: sender [COUNT [INTERVAL]]"""

import itertools
import os

import shmkey
from support import Stopped, hold_stop_signals, pause, remove_if_last, remove_if_mine, repeat_arguments, run, stoppable


def main():
    count, interval = repeat_arguments(1)
    hold_stop_signals()
    latest = shmkey.Latest.open(shmkey.File(".", "S"), "32s", layout="message")
    segment, stopped = latest.segment, False
    try:
        with stoppable():
            for _, message in zip(count, itertools.cycle([b"CIEPLO", b"ZIMNO"])):
                latest.publish(message)
                pause(interval)
    except Stopped:
        stopped = True
    except OSError:
        latest.close()
        remove_if_mine(segment)
        raise
    # The last process removes the segment. But a message that no receiver has read stays.
    receiver_came = segment.status().lpid != os.getpid()
    latest.close()
    if stopped or receiver_came:
        remove_if_last(segment)


run(main)
