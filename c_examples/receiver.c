/* Reads the sender's newest message once a second, without end: receiver [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { SIZE = 32 }; /* the same as in the sender */

int main(int argc, char **argv)
{
    sigset_t signals;
    const struct shm_place place = SHMKEY_PLACE_FILE(".", 'S');
    struct shm_latest *latest;
    double interval = 1;
    unsigned long long count;
    int64_t version = 0;
    int stopped = 0;
    int printed = 1;
    int failed;
    int id;

    repeat_arguments("receiver", argc, argv, &count, &interval);
    notice_lost_output();
    hold_stop_signals(&signals);
    latest = shm_latest_open_at(&place, SIZE, "message", SHMKEY_CREATE | 0600);
    if (latest == NULL) {
        fail("receiver", -1);
    }
    id = shm_latest_id(latest);

    for (unsigned long long i = 0; i != count && !stopped && printed; i++) {
        char message[SIZE + 1] = "";

        /* The first time, it may have to wait for a message; from then on there always is one. */
        do {
            version = i == 0 ? shm_latest_read_newer(latest, 0, message, SLICE) : shm_latest_read(latest, message);
        } while (version < 0 && wait_on(&signals));
        if (version < 0) {
            break;
        }
        if (strcmp(message, "CIEPLO") == 0 || strcmp(message, "ZIMNO") == 0) {
            printf("Received: %s\n", message);
        } else {
            printf("Error: Invalid message\n");
        }
        printed = output_arrived();
        stopped = printed && pause_or_stop(&signals, interval);
    }

    failed = version < 0 && errno != ETIMEDOUT;
    if (failed) {
        complain("receiver");
    }
    shm_latest_close(latest);
    remove_if_last(id);
    if (!printed) {
        fail_with("receiver", "the output could not be written");
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
