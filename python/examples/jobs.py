"""Adds a job for the workers every second, without end; after COUNT jobs, waits until the last one is taken:
jobs [COUNT [INTERVAL]]"""

from queue_of_jobs import ROOM, Queue
from support import hold_stop_signals, pause, repeat_arguments, run, stoppable


def main():
    count, interval = repeat_arguments(1)
    hold_stop_signals()
    with Queue() as queue, stoppable():
        for _ in count:
            with queue.locked_when(lambda added, taken, end: added - taken < ROOM) as guard:
                added, taken, end = guard.value
                guard.value = added + 1, taken, end
            pause(interval)
        with queue.locked_when(lambda added, taken, end: added == taken) as guard:
            guard.value = *guard.value[:2], 1


run(main)
