/* Leaves a message, waits until a client has read it, and removes the segment. */
#define _XOPEN_SOURCE 700
#include "example.h"

/* Two rings in one segment: one for the message at its start, and one for the client's answer. The client uses the same
   numbers. */
enum { CAPACITY = 1024, ANSWERS = 4096, SIZE = 8192 };

static const char message[] = "Hello from the other side!";

struct rings {
    int id;
    struct shm_ring *messages;
    struct shm_ring *answers;
};

static void close_rings(struct rings *rings)
{
    shm_ring_close(rings->messages);
    shm_ring_close(rings->answers);
}

/* Opens the ring at an offset of the segment, or creates it. */
static struct shm_ring *open_ring(int id, size_t offset)
{
    const struct shm_place place = SHMKEY_PLACE_SEGMENT(id, offset);

    return shm_ring_open_at(&place, CAPACITY, 0, SHMKEY_CREATE);
}

/* Opens both rings as the server. */
static void open_rings(struct rings *rings)
{
    rings->messages = NULL;
    rings->answers = NULL;
    rings->id = shm_open_key(".", 'C', SIZE, SHMKEY_CREATE | 0600);
    if (rings->id < 0
        || (rings->messages = open_ring(rings->id, 0)) == NULL
        || (rings->answers = open_ring(rings->id, ANSWERS)) == NULL
        || shm_ring_begin_sending(rings->messages) != 0 /* EBUSY while another server is live */
        || shm_ring_begin_receiving(rings->answers) != 0) {
        close_rings(rings);
        fail("server", rings->id);
    }
}

int main(void)
{
    sigset_t signals;
    struct shm_status status;
    struct rings rings;
    char answer[CAPACITY];
    ptrdiff_t length = -1;
    int printed;
    int error;

    notice_lost_output();
    hold_stop_signals(&signals);
    open_rings(&rings);
    while (shm_get_status(rings.id, &status) == 0 && status.cpid != getpid()) {
        /* A killed server has left this segment, with its messages and those of its client. */
        if (shm_remove(rings.id) != 0) {
            fail("server", -1);
        }
        close_rings(&rings);
        open_rings(&rings);
    }

    /* There is room, so sending does not wait. */
    if (shm_ring_send(rings.messages, message, sizeof message - 1, 0) != 0) {
        close_rings(&rings);
        fail("server", rings.id);
    }
    printf("Data written in memory: %s\n", message);
    printf("Waiting for client...\n");
    printed = output_arrived();

    if (printed) {
        do {
            length = shm_ring_recv(rings.answers, answer, sizeof answer, SLICE);
        } while (length < 0 && wait_on(&signals));
    }
    error = errno;
    close_rings(&rings);
    if (shm_remove(rings.id) != 0) {
        fail("server", -1);
    }

    if (!printed) {
        fail_with("server", "the output could not be written");
    }
    if (length < 0 && error == ETIMEDOUT) {
        fail_with("server", "stopped by a signal before a client came");
    }
    if (length < 0 && error == EOWNERDEAD) {
        fail_with("server", "the client was killed before it answered; start server and client again");
    }
    if (length < 0 && error == EPIPE) {
        fail_with("server", "the client ended without an answer; start server and client again");
    }
    if (length < 0) {
        fail("server", -1);
    }
    return EXIT_SUCCESS;
}
