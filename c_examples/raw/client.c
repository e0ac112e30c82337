/* Reads the server's message, and notifies the server that it has. */
#define _XOPEN_SOURCE 700
#include "../example.h"

int main(void)
{
    sigset_t signals;
    int id = shm_open_key(".", 'C', 0, 0);
    char *shared = id < 0 ? NULL : shm_attach(id, 0);
    size_t size;
    char first;
    int rounds = 0;

    if (shared == NULL || shm_attached_size(shared, &size) != 0) {
        fail("client", -1);
    }
    notice_lost_output();
    hold_stop_signals(&signals);

    /* A server that has just created the segment writes at once; its first byte comes last. */
    while ((first = __atomic_load_n(shared, __ATOMIC_ACQUIRE)) == '\0') {
        if (++rounds > 5000 || pause_or_stop(&signals, 0.001)) {
            fail_with("client", "there is a segment, but no server has written into it");
        }
    }
    if (first == '*') {
        fail_with("client", "another client has read the message already");
    }
    printf("Data read from memory: ");
    fwrite(shared, 1, strnlen(shared, size), stdout);
    printf("\n");
    if (!output_arrived()) {
        fail_with("client", "the message could not be printed, so the server gets no answer");
    }
    __atomic_store_n(shared, '*', __ATOMIC_RELEASE);
    return shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
