"""Prints the newest structure of write_struct, or COUNT of them as they come, and removes the segment:
read_struct [KEY_FILE [COUNT]]"""

import sys

import shmkey
from record import LAYOUT, RECORD, lines
from support import Failed, Stopped, hold_stop_signals, run, say, stoppable


def main():
    key_file, count = (*sys.argv[1:], *("/tmp/shmfile", "1")[len(sys.argv) - 1 :])
    # An object of another size or layout is an error before any of it is read.
    hold_stop_signals()
    with shmkey.Latest.open(shmkey.File(key_file, "R"), RECORD, layout=LAYOUT, create=False) as latest:
        try:
            with stoppable():
                for _ in range(int(count)):
                    say(lines(latest.wait()))
        except Stopped:
            latest.remove()
            raise Failed("stopped by a signal before there were as many structures as asked for")
        latest.remove()


run(main)
