/* Waits for a ring, a semaphore and a socket at once, with epoll(7). A child sends to all three. */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { CAPACITY = 4096, COUNT_AT = 8192, SIZE = 16384 }; /* a segment with a ring, and behind it a semaphore */

/* What the parent has received. */
static int messages, counts, bytes, ring_ended, socket_ended;

/* Receives all messages that are in the ring: its descriptor stays readable until a call fails with EAGAIN. */
static void receive(struct shm_ring *ring)
{
    char message[CAPACITY];

    while (shm_ring_recv(ring, message, sizeof message, SHMKEY_NO_WAIT) >= 0) {
        messages++;
    }
    if (errno == EPIPE) {
        ring_ended = 1;
    } else if (errno != EAGAIN) {
        fail("event_loop", -1);
    }
}

static void take(struct shm_semaphore *semaphore)
{
    while (shm_semaphore_wait(semaphore, SHMKEY_NO_WAIT) == 0) {
        counts++;
    }
}

static void receive_bytes(int connection)
{
    char buffer[64];
    ssize_t length = recv(connection, buffer, sizeof buffer, MSG_DONTWAIT);

    if (length > 0) {
        bytes += (int) length;
    } else if (length == 0) {
        socket_ended = 1;
    }
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        fail_with("event_loop", strerror(errno));
    }
}

static void run_loop(struct shm_ring *ring, struct shm_semaphore *semaphore, int connection)
{
    int of_ring = shm_ring_fd(ring);
    int of_semaphore = shm_semaphore_fd(semaphore);
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (of_ring < 0 || of_semaphore < 0) {
        fail("event_loop", -1);
    }
    watch(epoll, of_ring);
    watch(epoll, of_semaphore);
    watch(epoll, connection);
    while (!ring_ended || !socket_ended) {
        struct epoll_event events[3];
        int ready = epoll_wait(epoll, events, 3, -1);

        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;

            if (fd == of_ring) {
                receive(ring);
            } else if (fd == of_semaphore) {
                take(semaphore);
            } else {
                receive_bytes(fd);
            }
        }
        if (ring_ended) {
            epoll_ctl(epoll, EPOLL_CTL_DEL, of_ring, NULL); /* after the end, the descriptor stays readable */
        }
        if (socket_ended) {
            epoll_ctl(epoll, EPOLL_CTL_DEL, connection, NULL);
        }
    }
    take(semaphore); /* the counts that the child posted before it closed the ring */
    close(epoll);
}

/* Sends to the ring, the semaphore and the socket. Returns whether that worked. */
static int send_to_all(struct shm_ring *ring, struct shm_semaphore *semaphore, int connection)
{
    return shm_semaphore_post(semaphore) == 0 && shm_ring_send(ring, "one", 3, SHMKEY_FOREVER) == 0 &&
           send(connection, "hello", 5, 0) == 5 && shm_semaphore_post(semaphore) == 0 &&
           shm_ring_send(ring, "two", 3, SHMKEY_FOREVER) == 0 && shm_ring_send(ring, "three", 5, SHMKEY_FOREVER) == 0;
}

int main(void)
{
    sigset_t signals;
    int id, status, sockets[2];
    char *shared;
    struct shm_place at_ring = SHMKEY_PLACE_SEGMENT(-1, 0), at_semaphore = SHMKEY_PLACE_SEGMENT(-1, COUNT_AT);
    struct shm_ring *ring = NULL;
    struct shm_semaphore *semaphore = NULL;
    pid_t child;

    notice_lost_output();
    hold_stop_signals(&signals);
    id = shm_open_private(SIZE, 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    at_ring.id = at_semaphore.id = id;
    if (shared != NULL) {
        ring = shm_ring_open_at(&at_ring, CAPACITY, 0, SHMKEY_CREATE);
        semaphore = shm_semaphore_open_at(&at_semaphore, 0, SHMKEY_CREATE);
    }
    if (ring == NULL || semaphore == NULL || shm_remove(id) != 0) {
        if (shared != NULL) {
            shm_detach(shared);
        }
        fail("event_loop", id);
    }
    allow_stop_signals(&signals);

    child = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0 ? fork() : -1;
    if (child < 0) {
        fail_with("event_loop", strerror(errno));
    }
    if (child == 0) {
        int sent = send_to_all(ring, semaphore, sockets[1]);

        shm_ring_close(ring);
        shm_semaphore_close(semaphore);
        return sent ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    close(sockets[1]);
    run_loop(ring, semaphore, sockets[0]);
    printf("Received: %d messages, %d counts, %d bytes\n", messages, counts, bytes);
    shm_ring_close(ring);
    shm_semaphore_close(semaphore);
    if (!output_arrived() || shm_detach(shared) != 0 || waitpid(child, &status, 0) != child || status != 0) {
        fail_with("event_loop", "the child failed, or the output could not be written");
    }
    return EXIT_SUCCESS;
}
