"""Takes jobs and prints them, until no more will come. Several workers share the jobs: worker [COUNT [INTERVAL]]"""

from queue_of_jobs import Queue
from support import hold_stop_signals, pause, repeat_arguments, run, stoppable


def main():
    count, interval = repeat_arguments(0)
    hold_stop_signals()
    with Queue() as queue, stoppable():
        for _ in count:
            with queue.locked_when(lambda added, taken, end: end != 0 or added != taken) as guard:
                added, taken, end = guard.value
                if added == taken:
                    return
                guard.value = added, taken + 1, end
            print(f"Job {taken + 1}", flush=True)
            pause(interval)


run(main)
