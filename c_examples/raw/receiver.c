/* Reads once a second what the sender stored, without end: receiver [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "../example.h"

int main(int argc, char **argv)
{
    sigset_t signals;
    uint64_t *shared;
    double interval = 1;
    unsigned long long count;
    int stopped = 0;
    int printed = 1;
    int id;

    repeat_arguments("receiver", argc, argv, &count, &interval);
    notice_lost_output();
    hold_stop_signals(&signals);
    id = shm_open_key(".", 'S', 1024, SHMKEY_CREATE | 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL) {
        fail("receiver", id);
    }

    for (unsigned long long i = 0; i != count && !stopped && printed; i++) {
        /* Eight bytes are loaded at once, as the sender stores them. */
        uint64_t loaded = __atomic_load_n(shared, __ATOMIC_ACQUIRE);
        char message[sizeof loaded + 1] = "";

        memcpy(message, &loaded, sizeof loaded);
        if (strcmp(message, "CIEPLO") == 0 || strcmp(message, "ZIMNO") == 0) {
            printf("Received: %s\n", message);
        } else {
            printf("Error: Invalid message\n");
        }
        printed = output_arrived();
        stopped = printed && pause_or_stop(&signals, interval);
    }

    if (shm_detach(shared) != 0) {
        fail("receiver", -1);
    }
    remove_if_last(id);
    if (!printed) {
        fail_with("receiver", "the output could not be written");
    }
    return EXIT_SUCCESS;
}
