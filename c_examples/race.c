/* The tutorials' sender and receiver at full speed: how many messages are torn in plain memory, in a latest value and
   in a ring: race [COUNT] */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <sys/wait.h>

enum { LENGTH = 256, CAPACITY = 65536, SIZE = CAPACITY / 4 * 5 + 2560 };

/* CIEPLO repeated, and ZIMNO repeated; each ends with a NUL. */
static char messages[2][LENGTH];

static char *plain;
static struct shm_latest *latest;
static struct shm_ring *ring;

/* One way to bring messages from one process to another. */
struct way {
    const char *name;
    int (*open)(int id);                                                /* 0, or -1 */
    int (*send)(const char *message);                                   /* 0, or -1 */
    int (*receive)(char *message, unsigned long long number);           /* 0, or -1 */
    int (*is_whole)(const char *message, unsigned long long number);
    void (*close)(void);
    int may_tear;
};

/* Plain memory, with a message in it from the beginning. */
static int open_plain(int id)
{
    plain = shm_attach(id, 0);
    if (plain == NULL) {
        return -1;
    }
    memcpy(plain, messages[0], LENGTH);
    return 0;
}

static int send_plain(const char *message)
{
    memcpy(plain, message, LENGTH);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* otherwise the compiler may omit a store that it considers unread */
    return 0;
}

static int receive_plain(char *message, unsigned long long number)
{
    (void) number;
    memcpy(message, plain, LENGTH);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* otherwise the compiler may copy only once */
    return 0;
}

static void close_plain(void)
{
    shm_detach(plain);
}

/* The latest value: the first time there may be none yet. */
static int open_latest(int id)
{
    const struct shm_place place = SHMKEY_PLACE_SEGMENT(id, 0);

    latest = shm_latest_open_at(&place, LENGTH, NULL, SHMKEY_CREATE);
    return latest == NULL ? -1 : 0;
}

static int send_latest(const char *message)
{
    return shm_latest_publish(latest, message);
}

static int receive_latest(char *message, unsigned long long number)
{
    int64_t version = number == 0 ? shm_latest_read_newer(latest, 0, message, SHMKEY_FOREVER) : shm_latest_read(latest, message);

    return version < 0 ? -1 : 0;
}

static void close_latest(void)
{
    shm_latest_close(latest);
}

/* Both of these accept either message. */
static int is_either(const char *message, unsigned long long number)
{
    (void) number;
    return strcmp(message, messages[0]) == 0 || strcmp(message, messages[1]) == 0;
}

/* The ring: every message arrives, in order. */
static int open_ring(int id)
{
    const struct shm_place place = SHMKEY_PLACE_SEGMENT(id, 0);

    ring = shm_ring_open_at(&place, CAPACITY, 0, SHMKEY_CREATE);
    return ring == NULL ? -1 : 0;
}

static int send_ring(const char *message)
{
    return shm_ring_send(ring, message, LENGTH, SHMKEY_FOREVER);
}

static int receive_ring(char *message, unsigned long long number)
{
    (void) number;
    return shm_ring_recv(ring, message, LENGTH, SHMKEY_FOREVER) < 0 ? -1 : 0;
}

static int is_next(const char *message, unsigned long long number)
{
    return strcmp(message, messages[number % 2]) == 0;
}

static void close_ring(void)
{
    shm_ring_close(ring);
}

static const struct way ways[] = {
    {"memcpy", open_plain, send_plain, receive_plain, is_either, close_plain, 1},
    {"Latest", open_latest, send_latest, receive_latest, is_either, close_latest, 0},
    {"Ring", open_ring, send_ring, receive_ring, is_next, close_ring, 0},
};

/* The sender: a child that runs until its parent ends. */
static void send_for_ever(const struct way *way, pid_t parent)
{
    for (unsigned long long i = 0; i % 1024 != 0 || getppid() == parent; i++) {
        if (way->send(messages[i % 2]) != 0) {
            fail("race", -1);
        }
    }
    exit(EXIT_FAILURE);
}

/* The receiver. Returns how many messages were torn. */
static unsigned long long receive_all(const struct way *way, unsigned long long count)
{
    unsigned long long torn = 0;
    int show_progress = isatty(STDERR_FILENO);

    for (unsigned long long i = 0; i != count; i++) {
        char message[LENGTH];

        if (way->receive(message, i) != 0) {
            fail("race", -1);
        }
        torn += !way->is_whole(message, i);
        if (show_progress && i % 65536 == 0) {
            fprintf(stderr, "\r%s: %.0f %% ", way->name, (double) i * 100 / (double) count);
        }
    }
    if (show_progress) {
        fprintf(stderr, "\r%20s\r", "");
    }
    return torn;
}

/* Runs a sender and a receiver, and prints a line of the table. Returns whether the result is as expected. */
static int run(const struct way *way, unsigned long long count)
{
    struct timespec begin;
    struct timespec end;
    unsigned long long torn;
    sigset_t signals;
    pid_t parent = getpid();
    pid_t child;
    int id;

    /* The segment is removed before the fork, so the kernel destroys it when the last process ends, even if that is
       killed. */
    hold_stop_signals(&signals);
    id = shm_open_private(SIZE, 0600);
    if (id < 0 || way->open(id) != 0 || shm_remove(id) != 0) {
        fail("race", id);
    }
    allow_stop_signals(&signals);

    child = fork();
    if (child < 0) {
        fail_with("race", strerror(errno));
    }
    if (child == 0) {
        send_for_ever(way, parent);
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    torn = receive_all(way, count);
    clock_gettime(CLOCK_MONOTONIC, &end);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    way->close();

    printf("%-8s %12llu %12llu %9.2f\n", way->name, count, torn,
           (double) (end.tv_sec - begin.tv_sec) + (double) (end.tv_nsec - begin.tv_nsec) / 1e9);
    return output_arrived() && (torn == 0 || way->may_tear);
}

int main(int argc, char **argv)
{
    unsigned long long count = 10000000;
    int good = 1;

    errno = 0;
    if (argc > 1) {
        count = strtoull(argv[1], NULL, 10);
    }
    if (argc > 2 || errno != 0 || (argc > 1 && !is_number(argv[1], "0123456789"))) {
        fprintf(stderr, "usage: race [COUNT]\n");
        return 2;
    }
    for (int i = 0; i < LENGTH - 1; i++) {
        messages[0][i] = "CIEPLO"[i % 6];
        messages[1][i] = "ZIMNO"[i % 5];
    }

    notice_lost_output();
    printf("%-8s %12s %12s %9s\n", "through", "received", "torn", "seconds");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        good &= run(&ways[i], count);
    }
    if (!good) {
        fail_with("race", "a latest value or a ring has given a torn message, or the table could not be printed");
    }
    return EXIT_SUCCESS;
}
