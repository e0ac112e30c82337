/* Prints every message of the sender when it comes, until the sender ends: ring_receiver [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { CAPACITY = 4096 }; /* the same as in the sender; no message is longer */

int main(int argc, char **argv)
{
    sigset_t signals;
    const struct shm_place place = SHMKEY_PLACE_FILE(".", 'Q');
    struct shm_ring *ring;
    double interval = 0; /* by default it waits only for the sender */
    unsigned long long count;
    ptrdiff_t length = 0;
    int stopped = 0;
    int printed = 1;
    int failed;
    int error;
    int id;

    repeat_arguments("ring_receiver", argc, argv, &count, &interval);
    notice_lost_output();
    hold_stop_signals(&signals);
    ring = shm_ring_open_at(&place, CAPACITY, 0, SHMKEY_CREATE | 0600);
    if (ring == NULL) {
        fail("ring_receiver", -1);
    }
    id = shm_ring_id(ring);

    for (unsigned long long i = 0; i != count && !stopped && printed; i++) {
        char message[CAPACITY + 1];

        do {
            length = shm_ring_recv(ring, message, CAPACITY, SLICE);
        } while (length < 0 && wait_on(&signals));
        if (length < 0) {
            break;
        }
        message[length] = '\0';
        if (strcmp(message, "CIEPLO") == 0 || strcmp(message, "ZIMNO") == 0) {
            printf("Received: %s\n", message);
        } else {
            printf("Error: Invalid message\n");
        }
        printed = output_arrived();
        stopped = printed && pause_or_stop(&signals, interval);
    }

    error = length < 0 ? errno : 0;
    failed = error != 0 && error != EPIPE && error != EOWNERDEAD && error != ETIMEDOUT;
    if (failed) {
        complain("ring_receiver");
    }
    shm_ring_close(ring);
    remove_if_last(id);
    if (!printed) {
        fail_with("ring_receiver", "the output could not be written");
    }
    if (error == EOWNERDEAD) {
        fail_with("ring_receiver", "the sender was killed; all that it had sent was received");
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
