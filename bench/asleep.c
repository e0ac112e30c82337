/* The limits of waiting asleep on one processor: round trips of two processes by bare system calls. What a library adds
 * to the rows futex_waitv and datagram is the difference to its own rows.
 *
 *     gcc -O2 bench/asleep.c -o asleep && ./asleep
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 200000, MOST = 16 };
struct words { _Alignas(64) _Atomic uint32_t of[2][MOST][16]; };
static struct words *words;
static int count, events[2], sockets[2];

/* Side `me` waits for, or wakes, the last of `count` words. */
static void futex_wait(int me, uint32_t seen)
{
    struct futex_waitv all[MOST];
    _Atomic uint32_t *word = words->of[me][count - 1];
    while (*word == seen) {
        if (count == 1) {
            syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
            continue;
        }
        for (int i = 0; i < count; i++)
            all[i] = (struct futex_waitv){words->of[me][i][0], (uintptr_t)words->of[me][i], FUTEX_32, 0};
        syscall(SYS_futex_waitv, all, count, 0, NULL, CLOCK_MONOTONIC);
    }
}

static void futex_wake(int me, uint32_t number)
{
    *words->of[!me][count - 1] = number;
    syscall(SYS_futex, words->of[!me][count - 1], FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void wait_readable(int fd)
{
    struct pollfd waits = {.fd = fd, .events = POLLIN};
    if (poll(&waits, 1, -1) != 1)
        abort();
}

static void event_wait(int me, uint32_t seen)
{
    uint64_t number;
    (void)seen;
    wait_readable(events[me]);
    if (read(events[me], &number, sizeof number) != sizeof number)
        abort();
}

static void event_wake(int me, uint32_t number)
{
    uint64_t one = 1;
    (void)number;
    if (write(events[!me], &one, sizeof one) != sizeof one)
        abort();
}

static void datagram_wait(int me, uint32_t seen)
{
    char byte;
    (void)seen;
    wait_readable(sockets[me]);
    if (recv(sockets[me], &byte, 1, MSG_DONTWAIT) != 1)
        abort();
}

static void datagram_wake(int me, uint32_t number)
{
    (void)number;
    if (send(sockets[me], "", 1, MSG_DONTWAIT) != 1) /* the pair's other end receives it */
        abort();
}

static double round_trip(void (*wait)(int, uint32_t), void (*wake)(int, uint32_t))
{
    struct timespec begin, end;
    pid_t other = fork();
    if (other == 0)
        for (uint32_t round = 1;; round++) {
            wait(1, round - 1);
            wake(1, round);
        }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        wake(0, round);
        wait(0, round - 1);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    *words = (struct words){0};
    return ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / ROUNDS;
}

int main(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
    words = mmap(NULL, sizeof *words, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int side = 0; side < 2; side++)
        events[side] = eventfd(0, EFD_NONBLOCK);
    if (words == MAP_FAILED || events[1] < 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) != 0)
        return 1;
    count = 1;
    double futex = round_trip(futex_wait, futex_wake);
    count = MOST;
    double several = round_trip(futex_wait, futex_wake);
    double event = round_trip(event_wait, event_wake);
    double datagram = round_trip(datagram_wait, datagram_wake);
    printf("futex %.0f ns, futex_waitv for %d words %.0f ns: %.2f x\n", futex, MOST, several, several / futex);
    printf("eventfd and poll %.0f ns, datagram and poll %.0f ns: %.2f x\n", event, datagram, datagram / event);
    return 0;
}
