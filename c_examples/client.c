/* Reads the server's message, and notifies the server that it has. */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { CAPACITY = 1024, ANSWERS = 4096, SIZE = 8192 }; /* the same as in the server */

/* Opens the ring at an offset of the segment, or creates it. */
static struct shm_ring *open_ring(int id, size_t offset)
{
    const struct shm_place place = SHMKEY_PLACE_SEGMENT(id, offset);

    return shm_ring_open_at(&place, CAPACITY, 0, SHMKEY_CREATE);
}

/* Waits for the next message, until the program is asked to stop. */
static ptrdiff_t next_message(struct shm_ring *messages, struct shm_message *message, const sigset_t *signals)
{
    ptrdiff_t length;

    do {
        length = shm_ring_peek(messages, message, SLICE);
    } while (length < 0 && wait_on(signals));
    return length;
}

/* Ends the program without an answer. The server is notified. */
static void give_up(struct shm_ring *messages, struct shm_ring *answers, const char *reason)
{
    shm_ring_close(messages);
    shm_ring_close(answers);
    if (reason == NULL) {
        fail("client", -1);
    }
    fail_with("client", reason);
}

int main(void)
{
    sigset_t signals;
    struct shm_ring *messages = NULL;
    struct shm_ring *answers = NULL;
    struct shm_message message;
    ptrdiff_t length;
    int id;

    notice_lost_output();
    hold_stop_signals(&signals);
    /* The segment is the server's. The first process that opens a ring in it creates the ring, so no process finds half
       of one. */
    id = shm_open_key(".", 'C', SIZE, 0);
    if (id < 0
        || (messages = open_ring(id, 0)) == NULL
        || (answers = open_ring(id, ANSWERS)) == NULL
        || shm_ring_begin_receiving(messages) != 0 /* EBUSY while another client is live */
        || shm_ring_begin_sending(answers) != 0) { /* from now on the server is notified if this process dies */
        give_up(messages, answers, NULL);
    }

    length = next_message(messages, &message, &signals);
    if (length < 0 && errno == ETIMEDOUT) {
        give_up(messages, answers, "stopped by a signal before there was a message");
    }
    if (length < 0 && errno == EPIPE) {
        give_up(messages, answers, "another client has read the message already");
    }
    if (length < 0 && errno == EOWNERDEAD) {
        shm_remove(id); /* no other process will */
        give_up(messages, answers, "the server was killed before it sent its message; start it again");
    }
    if (length < 0) {
        give_up(messages, answers, NULL);
    }
    printf("Data read from memory: ");
    fwrite(message.data, 1, message.size, stdout);
    printf("\n");
    if (!output_arrived()) {
        give_up(messages, answers, "the message could not be printed, so the server gets no answer");
    }
    if (shm_ring_release(messages, &message) != 0 || shm_ring_send(answers, "*", 1, 0) != 0) {
        give_up(messages, answers, NULL);
    }

    /* The server ends when it has the answer, and removes the segment. If the server is dead, this program removes it.
       */
    length = next_message(messages, &message, &signals);
    if (length < 0 && errno == EOWNERDEAD) {
        shm_remove(id);
        give_up(messages, answers, "the server was killed before it saw the answer");
    }
    shm_ring_close(messages);
    shm_ring_close(answers);
    return EXIT_SUCCESS;
}
