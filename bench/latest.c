/* The limit of publishing without a pause while others read: a writer stores a value of a line and its number again and
 * again, alone and while a thread on another processor reads that line and does nothing with it.
 *
 *     gcc -O2 -pthread bench/latest.c -o /tmp/latest && taskset -c 0,1 /tmp/latest
 *
 * Each read takes the line away from the writer's cache, and the next store waits until it is back. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { STORES = 20000000 };
static _Alignas(128) _Atomic unsigned long line[8];
static atomic_int stop;

static void on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void *reads(void *pauses)
{
    on(1);
    while (!stop) {
        (void)atomic_load_explicit(&line[0], memory_order_relaxed);
        for (long i = 0; i < (long)pauses; i++)
            __builtin_ia32_pause();
    }
    return NULL;
}

static double writes(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    for (unsigned long n = 0; n < STORES; n++)
        for (int word = 0; word < 8; word++)
            atomic_store_explicit(&line[word], n, memory_order_release);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    return ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / STORES;
}

int main(void)
{
    on(0);
    writes();
    printf("alone: %.1f ns\n", writes());
    for (long pauses = 0; pauses <= 64; pauses = pauses ? pauses * 4 : 1) {
        pthread_t reader;
        stop = 0;
        pthread_create(&reader, NULL, reads, (void *)pauses);
        printf("while one reads, %ld PAUSEs apart: %.1f ns\n", pauses, writes());
        stop = 1;
        pthread_join(reader, NULL);
    }
}
