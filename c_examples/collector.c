/* Prints what other programs send to the ring NAME, until Ctrl-C or SIGTERM: collector NAME. The signal handler cancels
   the wait, so a signal that arrives just before a wait is not lost. */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { CAPACITY = 4096 };

static struct shm_canceller *stop;

static void on_stop(int signal)
{
    (void) signal;
    shm_cancel(stop);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_stop};
    struct shm_ring *ring;
    char line[CAPACITY];
    ptrdiff_t length;
    int printed = 1;
    int error;
    int id;

    if (argc != 2) {
        fprintf(stderr, "usage: collector NAME\n");
        return 2;
    }
    notice_lost_output();
    ring = shm_ring_open(argv[1], CAPACITY, SHMKEY_MANY_SENDERS, SHMKEY_CREATE | 0600);
    if (ring == NULL) {
        fail("collector", -1);
    }
    id = shm_ring_id(ring);
    stop = shm_ring_canceller(ring);
    /* Senders may come and go. */
    if (stop == NULL || shm_ring_set_keep_waiting(ring, 1) != 0) {
        fail("collector", -1);
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    do {
        length = shm_ring_recv(ring, line, sizeof line, SHMKEY_FOREVER);
        if (length >= 0) {
            printf("%.*s\n", (int) length, line);
            printed = output_arrived();
        }
    } while (length >= 0 && printed);
    error = errno;
    if (length < 0 && error != ECANCELED) {
        complain("collector");
    }
    shm_remove(id);
    shm_ring_close(ring);
    if (length < 0 && error == ECANCELED) {
        printf("The collector has ended.\n");
        return output_arrived() ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    return EXIT_FAILURE;
}
