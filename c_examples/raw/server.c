/* Leaves a message, waits until a client has read it, and removes the segment. */
#define _XOPEN_SOURCE 700
#include "../example.h"

int main(void)
{
    static const char message[] = "Hello from the other side!";
    sigset_t signals;
    char *shared;
    int read_by_client = 0;
    int printed;
    int id;

    notice_lost_output();
    hold_stop_signals(&signals);
    id = shm_open_key(".", 'C', 1024, SHMKEY_CREATE | 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL) {
        fail("server", id);
    }

    /* The first byte is stored last, so a client that reads it can read the others, too. */
    memcpy(shared + 1, message + 1, sizeof message - 1);
    __atomic_store_n(shared, message[0], __ATOMIC_RELEASE);
    printf("Data written in memory: %s\n", message);
    printf("Waiting for client...\n");
    printed = output_arrived();

    /* The client answers by a star in the first byte. A plain segment gives no way to wait for that but to poll. */
    while (printed && !read_by_client && !pause_or_stop(&signals, 0.001)) {
        read_by_client = __atomic_load_n(shared, __ATOMIC_ACQUIRE) == '*';
    }

    if (shm_detach(shared) != 0 || shm_remove(id) != 0) {
        fail("server", -1);
    }
    if (!printed) {
        fail_with("server", "the output could not be written");
    }
    if (!read_by_client) {
        fail_with("server", "stopped by a signal before a client came");
    }
    return EXIT_SUCCESS;
}
