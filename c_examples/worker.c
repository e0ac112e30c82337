/* Takes jobs and prints them, until no more will come. Several workers share the jobs: worker [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "example.h"
#include "queue.h"

int main(int argc, char **argv)
{
    sigset_t signals;
    struct queue queue;
    double interval = 0; /* by default it waits only for jobs */
    unsigned long long count;
    int locked = 0;
    int stopped = 0;
    int printed = 1;
    int ended = 0;
    int failed;
    int error;

    repeat_arguments("worker", argc, argv, &count, &interval);
    notice_lost_output();
    hold_stop_signals(&signals);
    open_queue("worker", &queue);

    for (unsigned long long i = 0; i != count && locked == 0 && !ended && !stopped && printed; i++) {
        uint64_t job = 0;

        locked = lock_when(has_job_or_end, &queue, &signals);
        if (locked == 0) {
            ended = all_are_taken(queue.jobs);
            if (!ended) {
                job = ++queue.jobs->taken;
            }
            locked = shm_mutex_unlock(queue.mutex);
            shm_condvar_notify_all(queue.changed);
        }
        if (job != 0) {
            printf("Job %llu\n", (unsigned long long) job);
            printed = output_arrived();
            stopped = printed && pause_or_stop(&signals, interval);
        }
    }

    error = locked != 0 ? errno : 0;
    failed = error != 0 && error != ETIMEDOUT;
    if (failed) {
        complain("worker");
    }
    close_queue(&queue);
    if (!printed) {
        fail_with("worker", "the output could not be written");
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
