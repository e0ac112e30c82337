/* Stores CIEPLO and ZIMNO in turn, one a second, without end: sender [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "../example.h"

int main(int argc, char **argv)
{
    static const char messages[2][sizeof(uint64_t)] = {"CIEPLO", "ZIMNO"};
    sigset_t signals;
    struct shm_status status;
    uint64_t *shared;
    double interval = 1;
    unsigned long long count;
    int stopped = 0;
    int id;

    repeat_arguments("sender", argc, argv, &count, &interval);
    hold_stop_signals(&signals);
    id = shm_open_key(".", 'S', 1024, SHMKEY_CREATE | 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL) {
        fail("sender", id);
    }

    for (unsigned long long i = 0; i != count && !stopped; i++) {
        /* Both messages fit into eight bytes, and those are stored at once: no process sees half of one. */
        uint64_t message;

        memcpy(&message, messages[i % 2], sizeof message);
        __atomic_store_n(shared, message, __ATOMIC_RELEASE);
        stopped = pause_or_stop(&signals, interval);
    }

    /* The last process removes the segment. But a message that no receiver has read stays. */
    if (shm_get_status(id, &status) != 0 || shm_detach(shared) != 0) {
        fail("sender", -1);
    }
    if (stopped || status.lpid != getpid()) {
        remove_if_last(id);
    }
    return EXIT_SUCCESS;
}
