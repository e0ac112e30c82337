"""Reads once a second what the sender stored, without end: receiver [COUNT [INTERVAL]]"""

import shmkey
from support import c_string, hold_stop_signals, pause, remove_if_last, repeat_arguments, run, say, stoppable


def main():
    count, interval = repeat_arguments(1)
    hold_stop_signals()
    segment = shmkey.Segment.open(shmkey.File(".", "S"), 1024, create=True)
    try:
        with segment.attach() as shared, shared.data[:8].cast("Q") as first_word, stoppable():
            for _ in count:
                # Eight bytes are loaded at once, as the sender stores them.
                message = c_string(first_word[0].to_bytes(8, "little"))
                say(b"Received: " + message if message in (b"CIEPLO", b"ZIMNO") else b"Error: Invalid message")
                pause(interval)
    finally:
        remove_if_last(segment)


run(main)
