/* Sends CIEPLO and ZIMNO in turn, one a second, without end; none of them is lost: ring_sender [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { CAPACITY = 4096 }; /* for about 60 messages that are not received yet; the same as in the receiver */

/* Returns whether no process has the ring open, and all messages are received. */
static int is_left_empty(int id)
{
    const struct shm_place place = SHMKEY_PLACE_SEGMENT(id, 0);
    struct shm_status status;
    struct shm_ring *ring;
    int empty;

    if (shm_get_status(id, &status) != 0 || status.nattch != 0) {
        return 0; /* another process still has it open, and will be the last one */
    }
    ring = shm_ring_open_at(&place, 0, 0, 0);
    empty = ring != NULL && shm_ring_used(ring) == 0;
    shm_ring_close(ring);
    return empty;
}

int main(int argc, char **argv)
{
    static const char *const messages[2] = {"CIEPLO", "ZIMNO"};
    sigset_t signals;
    const struct shm_place place = SHMKEY_PLACE_FILE(".", 'Q');
    struct shm_ring *ring;
    double interval = 1;
    unsigned long long count;
    int stopped = 0;
    int failed = 0;
    int id;

    repeat_arguments("ring_sender", argc, argv, &count, &interval);
    hold_stop_signals(&signals);
    ring = shm_ring_open_at(&place, CAPACITY, 0, SHMKEY_CREATE | 0600);
    if (ring == NULL) {
        fail("ring_sender", -1);
    }
    id = shm_ring_id(ring);

    for (unsigned long long i = 0; i != count && !stopped && !failed; i++) {
        int sent;

        /* When there is no room, it waits for the receiver. */
        do {
            sent = shm_ring_send(ring, messages[i % 2], strlen(messages[i % 2]), SLICE);
        } while (sent != 0 && wait_on(&signals));
        stopped = sent != 0 && errno == ETIMEDOUT;
        failed = sent != 0 && !stopped;
        stopped = stopped || (!failed && pause_or_stop(&signals, interval));
    }

    if (failed) {
        complain("ring_sender");
    }

    /* The last process removes the segment. But messages that were not received stay. */
    shm_ring_close(ring);
    if (stopped || failed || is_left_empty(id)) {
        remove_if_last(id);
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
