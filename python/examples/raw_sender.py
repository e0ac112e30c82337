"""Stores CIEPLO and ZIMNO in turn, one a second, without end: sender [COUNT [INTERVAL]]"""

import itertools
import os

import shmkey
from support import Stopped, hold_stop_signals, pause, remove_if_last, repeat_arguments, run, stoppable

# Both messages fit into eight bytes, and those are stored at once: no process sees half of one.
MESSAGES = [int.from_bytes(text.ljust(8, b"\0"), "little") for text in (b"CIEPLO", b"ZIMNO")]


def main():
    count, interval = repeat_arguments(1)
    hold_stop_signals()
    segment, stopped = shmkey.Segment.open(shmkey.File(".", "S"), 1024, create=True), False
    with segment.attach() as shared:
        try:
            with shared.data[:8].cast("Q") as first_word, stoppable():
                for _, message in zip(count, itertools.cycle(MESSAGES)):
                    first_word[0] = message
                    pause(interval)
        except Stopped:
            stopped = True
        # The last process removes the segment. But a message that no receiver has read stays.
        receiver_came = segment.status().lpid != os.getpid()
    if stopped or receiver_came:
        remove_if_last(segment)


run(main)
