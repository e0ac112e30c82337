"""Reads the sender's newest message once a second, without end: receiver [COUNT [INTERVAL]]"""

import shmkey
from support import c_string, hold_stop_signals, pause, remove_if_last, repeat_arguments, run, say, stoppable


def main():
    count, interval = repeat_arguments(1)
    hold_stop_signals()
    latest = shmkey.Latest.open(shmkey.File(".", "S"), "32s", layout="message")
    segment = latest.segment
    try:
        with latest, stoppable():
            for _ in count:
                # The first time, it may have to wait for a message; from then on there always is one.
                message = c_string(latest.read() or latest.wait())
                say(b"Received: " + message if message in (b"CIEPLO", b"ZIMNO") else b"Error: Invalid message")
                pause(interval)
    finally:
        remove_if_last(segment)


run(main)
