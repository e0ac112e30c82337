/* The limit of publishing without a pause while others read. A writer fills four slots of a line in turn, and then stores
 * the number of the slot into a line of its own, without any protection; another processor reads the number and the
 * slot. Each read takes a line away from the writer's cache, and a later store to it waits until it is back.
 *
 *     gcc -O2 -pthread bench/latest.c -o latest && ./latest
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { VALUES = 20000000 };
static _Alignas(128) _Atomic unsigned long current[16], slots[4][8];
static atomic_int stop;

static void run_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *read_all(void *unused)
{
    run_on(1);
    while (!stop)
        for (int word = 0, slot = current[0] % 4; word < 8; word++)
            (void)atomic_load_explicit(&slots[slot][word], memory_order_relaxed);
    return unused;
}

static double publish_all(void)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    for (unsigned long n = 0; n < VALUES; n++) {
        for (int word = 0; word < 8; word++)
            atomic_store_explicit(&slots[n % 4][word], n, memory_order_relaxed);
        atomic_store_explicit(&current[0], n, memory_order_release);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    return ((end.tv_sec - begin.tv_sec) * 1e9 + (end.tv_nsec - begin.tv_nsec)) / VALUES;
}

int main(void)
{
    pthread_t reader;
    run_on(0);
    publish_all();
    double alone = publish_all();
    pthread_create(&reader, NULL, read_all, NULL);
    double read = publish_all();
    stop = 1;
    pthread_join(reader, NULL);
    printf("alone %.1f ns, while one processor reads %.1f ns: %.1f x\n", alone, read, read / alone);
}
