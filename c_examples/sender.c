/* Publishes CIEPLO and ZIMNO in turn, one a second, without end: sender [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { SIZE = 32 }; /* of a message with its NUL; the same as in the receiver */

int main(int argc, char **argv)
{
    static const char messages[2][SIZE] = {"CIEPLO", "ZIMNO"};
    sigset_t signals;
    const struct shm_place place = SHMKEY_PLACE_FILE(".", 'S');
    struct shm_latest *latest;
    struct shm_status status;
    double interval = 1;
    unsigned long long count;
    int stopped = 0;
    int id;

    repeat_arguments("sender", argc, argv, &count, &interval);
    hold_stop_signals(&signals);
    latest = shm_latest_open_at(&place, SIZE, "message", SHMKEY_CREATE | 0600);
    if (latest == NULL) {
        fail("sender", -1);
    }
    id = shm_latest_id(latest);

    for (unsigned long long i = 0; i != count && !stopped; i++) {
        if (shm_latest_publish(latest, messages[i % 2]) != 0) {
            shm_latest_close(latest);
            fail("sender", id);
        }
        stopped = pause_or_stop(&signals, interval);
    }

    /* The last process removes the segment. But a message that no receiver has read stays. */
    if (shm_get_status(id, &status) != 0) {
        fail("sender", -1);
    }
    shm_latest_close(latest);
    if (stopped || status.lpid != getpid()) {
        remove_if_last(id);
    }
    return EXIT_SUCCESS;
}
