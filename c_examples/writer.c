/* Reads a line and sends it to the reader, which waits for it or comes later. */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { CAPACITY = 8192 }; /* for the lines that were not read yet; the same as in the reader */

int main(void)
{
    sigset_t signals;
    const struct shm_place place = SHMKEY_PLACE_FILE("shmfile", 115);
    struct shm_ring *ring;
    size_t length;
    char *line = ask_for_line(&length);
    int sent;

    /* Created only now, with the stop signals blocked: a program that is stopped at the prompt leaves no segment, and
       one that is stopped later leaves no partial text. */
    hold_stop_signals(&signals);
    ring = shm_ring_open_at(&place, CAPACITY, 0, SHMKEY_CREATE | 0600);
    if (ring == NULL) {
        fail("writer", -1);
    }
    do {
        sent = shm_ring_send(ring, line, length, SLICE);
    } while (sent != 0 && wait_on(&signals));
    if (sent != 0) {
        int error = errno;
        int id = shm_ring_id(ring);

        shm_ring_close(ring);
        if (error == ETIMEDOUT) {
            fail_with("writer", "stopped by a signal before there was room for the line; start a reader");
        }
        fail("writer", id);
    }
    shm_ring_close(ring);
    allow_stop_signals(&signals);

    printf("Data written in memory: ");
    fwrite(line, 1, length, stdout);
    printf("\n");
    free(line);
    if (!output_arrived()) {
        fail_with("writer", "the line is in the segment, but the output could not be written");
    }
    return EXIT_SUCCESS;
}
