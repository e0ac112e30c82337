/* The limit of several senders that run on any processor: the simplest queue that they can share. A sender takes the
 * next of 4,096 cache lines by one atomic addition and fills it; the receiver reads the lines in turn. The turn of a line
 * is even when it is free and odd when it is full. A message has no length, a process that has to wait yields its
 * processor and never sleeps, and one that is killed stops all others.
 *
 *     gcc -O2 bench/senders.c -o senders && ./senders
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINES = 4096, MESSAGES = 8000000 };
struct line { _Alignas(64) _Atomic unsigned long turn; unsigned long bytes[7]; };
static struct queue { _Alignas(128) _Atomic unsigned long next; _Alignas(128) struct line lines[LINES]; } *queue;

static void run_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void await(struct line *line, unsigned long turn)
{
    for (int looks = 0; atomic_load_explicit(&line->turn, memory_order_acquire) != turn; looks++)
        looks % 1000 == 999 ? (void)sched_yield() : __builtin_ia32_pause();
}

static void send_all(long count)
{
    while (count--) {
        unsigned long at = atomic_fetch_add_explicit(&queue->next, 1, memory_order_relaxed);
        struct line *line = &queue->lines[at % LINES];
        await(line, 2 * (at / LINES));
        for (int word = 0; word < 7; word++)
            ((volatile unsigned long *)line->bytes)[word] = at;
        atomic_store_explicit(&line->turn, 2 * (at / LINES) + 1, memory_order_release);
    }
    _exit(0);
}

static double receive_all(int senders, int pinned)
{
    struct timespec begin, end;
    unsigned long first = queue->next;
    for (int sender = 0; sender < senders; sender++)
        if (fork() == 0) {
            if (pinned)
                run_on(0);
            send_all(MESSAGES / senders);
        }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned long at = first; at < first + MESSAGES; at++) {
        struct line *line = &queue->lines[at % LINES];
        await(line, 2 * (at / LINES) + 1);
        for (int word = 0; word < 7; word++)
            (void)((volatile unsigned long *)line->bytes)[word];
        atomic_store_explicit(&line->turn, 2 * (at / LINES) + 2, memory_order_release);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    while (wait(NULL) > 0)
        ;
    return ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / MESSAGES;
}

int main(void)
{
    cpu_set_t all;
    queue = mmap(NULL, sizeof *queue, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (queue == MAP_FAILED)
        return perror("mmap"), 1;
    sched_getaffinity(0, sizeof all, &all);
    run_on(1);
    receive_all(1, 1);
    double one = receive_all(1, 1), four = receive_all(4, 1);
    sched_setaffinity(0, sizeof all, &all);
    double any = receive_all(4, 0);
    printf("one sender %.1f ns a message, four on one core %.1f ns, four on any core %.1f ns: %.1f x\n", one, four, any,
           any / one);
}
