/* Adds a job for the workers every second, without end; after COUNT jobs, waits until the last one is taken:
   jobs [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "example.h"
#include "queue.h"

int main(int argc, char **argv)
{
    sigset_t signals;
    struct queue queue;
    double interval = 1;
    unsigned long long count;
    int locked = 0;
    int stopped = 0;
    int failed;
    int error;

    repeat_arguments("jobs", argc, argv, &count, &interval);
    hold_stop_signals(&signals);
    open_queue("jobs", &queue);

    for (unsigned long long i = 0; i != count && locked == 0 && !stopped; i++) {
        locked = lock_when(has_room, &queue, &signals);
        if (locked == 0) {
            queue.jobs->added++;
            locked = shm_mutex_unlock(queue.mutex);
            shm_condvar_notify_all(queue.changed);
            stopped = pause_or_stop(&signals, interval);
        }
    }
    if (locked == 0 && !stopped) {
        locked = lock_when(all_are_taken, &queue, &signals);
        if (locked == 0) {
            queue.jobs->end = 1;
            locked = shm_mutex_unlock(queue.mutex);
            shm_condvar_notify_all(queue.changed);
        }
    }

    error = locked != 0 ? errno : 0;
    failed = error != 0 && error != ETIMEDOUT;
    if (failed) {
        complain("jobs");
    }
    close_queue(&queue);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
