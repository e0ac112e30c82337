"""The queue that jobs and worker share: a mutex around three numbers, and a condition variable, in one segment."""

from contextlib import contextmanager

import shmkey
from support import remove_if_last

CHANGED, SIZE, ROOM = 4096, 8192, 4


class Queue:
    def __enter__(self):
        self.segment = shmkey.Segment.open(shmkey.File(".", "J"), SIZE, create=True)
        # The number of jobs that were added, the number that were taken, and 1 when no more will come.
        self.jobs = shmkey.Mutex.open(shmkey.Within(self.segment, 0), "3Q", layout="jobs")
        self.changed = shmkey.Condvar.open(shmkey.Within(self.segment, CHANGED))
        return self

    def __exit__(self, *exception):
        """Closes the queue. The last process to close it removes the segment."""
        self.jobs.close()
        self.changed.close()
        remove_if_last(self.segment)

    @contextmanager
    def locked_when(self, is_ready):
        """Locks the queue when ``is_ready(added, taken, end)`` returns true, and notifies the others afterwards."""

        def condition():
            if guard.owner_died:
                # Each number is whole, and none depends on another.
                guard.mark_consistent()
            return is_ready(*guard.value)

        with self.jobs as guard:
            self.changed.wait_for(guard, condition)
            yield guard
        self.changed.notify_all()
