/* The queue that jobs and worker share: a mutex around three numbers, and a condition variable, in one segment. */
#ifndef QUEUE_H
#define QUEUE_H

#include <stdint.h>

enum { CHANGED = 4096, SIZE = 8192, ROOM = 4 };

struct jobs {
    uint64_t added;
    uint64_t taken;
    uint64_t end; /* 1 when no more jobs will come */
};

struct queue {
    int id;
    struct shm_mutex *mutex;
    struct shm_condvar *changed;
    struct jobs *jobs; /* only for the owner of the mutex */
};

/* Closes the queue. The last process to close it removes the segment. */
static inline void close_queue(struct queue *queue)
{
    shm_mutex_close(queue->mutex);
    shm_condvar_close(queue->changed);
    remove_if_last(queue->id);
}

/* Opens the queue, or creates it. Ends the program if that fails. */
static inline void open_queue(const char *program, struct queue *queue)
{
    queue->mutex = NULL;
    queue->changed = NULL;
    queue->id = shm_open_key(".", 'J', SIZE, SHMKEY_CREATE | 0600);
    if (queue->id >= 0) {
        const struct shm_place start = SHMKEY_PLACE_SEGMENT(queue->id, 0);
        const struct shm_place behind = SHMKEY_PLACE_SEGMENT(queue->id, CHANGED);

        queue->mutex = shm_mutex_open_at(&start, sizeof *queue->jobs, "jobs", SHMKEY_CREATE);
        queue->changed = queue->mutex == NULL ? NULL : shm_condvar_open_at(&behind, SHMKEY_CREATE);
    }
    if (queue->changed == NULL) {
        complain(program);
        close_queue(queue);
        exit(EXIT_FAILURE);
    }
    queue->jobs = shm_mutex_data(queue->mutex);
}

static inline int has_room(const struct jobs *jobs)
{
    return jobs->added - jobs->taken < ROOM;
}

static inline int all_are_taken(const struct jobs *jobs)
{
    return jobs->added == jobs->taken;
}

static inline int has_job_or_end(const struct jobs *jobs)
{
    return jobs->end || !all_are_taken(jobs);
}

/* Waits until is_ready returns true, and locks the queue. Returns 0, or -1, with ETIMEDOUT if a stop signal has come.
   */
static inline int lock_when(int (*is_ready)(const struct jobs *), struct queue *queue, const sigset_t *signals)
{
    int locked;

    do {
        locked = shm_mutex_lock(queue->mutex, SLICE);
    } while (locked < 0 && wait_on(signals));
    while (locked >= 0) {
        if (locked == EOWNERDEAD) {
            shm_mutex_consistent(queue->mutex); /* each number is whole, and none depends on another */
        }
        if (is_ready(queue->jobs)) {
            return 0;
        }
        locked = shm_condvar_wait(queue->changed, queue->mutex, SLICE);
        if (locked < 0 && errno == ETIMEDOUT) { /* this process has the mutex again */
            if (pause_or_stop(signals, 0)) {
                shm_mutex_unlock(queue->mutex);
                errno = ETIMEDOUT;
                return -1;
            }
            locked = 0;
        }
    }
    return -1;
}

#endif
