/* Prints the lines that writers have sent, waiting for the first, and removes the segment. */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { CAPACITY = 8192 }; /* the same as in the writer */

int main(void)
{
    sigset_t signals;
    const struct shm_place place = SHMKEY_PLACE_FILE("shmfile", 115);
    struct shm_ring *ring;
    struct shm_message line;
    ptrdiff_t length;
    int error;
    int id;

    notice_lost_output();
    hold_stop_signals(&signals);
    ring = shm_ring_open_at(&place, CAPACITY, 0, SHMKEY_CREATE | 0600);
    if (ring == NULL) {
        fail("reader", -1);
    }
    id = shm_ring_id(ring);

    for (;;) {
        do {
            length = shm_ring_peek(ring, &line, SLICE);
        } while (length < 0 && wait_on(&signals));
        if (length < 0) {
            break;
        }
        printf("Data read from memory: ");
        fwrite(line.data, 1, line.size, stdout);
        printf("\n");
        if (!output_arrived()) {
            fail_with("reader", "the line could not be printed; it is still in the segment");
        }
        /* Released only now, after it was printed: if this process is killed before, the next reader gets the line. */
        if (shm_ring_release(ring, &line) != 0) {
            fail("reader", -1);
        }
    }

    error = errno;
    shm_ring_close(ring);
    if (error == ETIMEDOUT) {
        remove_if_last(id);
        fail_with("reader", "stopped by a signal before a line came");
    }
    if (error != EPIPE && error != EOWNERDEAD) {
        fail("reader", id);
    }
    /* The writer has ended, and all was read. */
    if (shm_remove(id) != 0) {
        fail("reader", -1);
    }
    if (error == EOWNERDEAD) {
        fail_with("reader", "the writer was killed; all that it had sent was read");
    }
    return EXIT_SUCCESS;
}
