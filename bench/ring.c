/* The limits of a stream and of a round trip through memory that is used in turn. Messages of one size begin on a line
 * each, and their first word commits them; that of a batch's first message commits the batch. The receiver clears the
 * first word of each line that it has read, some lines later, and says how far it is once in a while. There is nothing
 * else: no lengths, roles, deaths or sleepers. In the rows "checked", each side executes 60 instructions more for each
 * message, about as many as checking those takes: the processor then has room for fewer accesses at a time.
 *
 *     gcc -O2 -march=native -pthread bench/ring.c -o ring && ./ring
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE = 64, ROOM = 256 << 10, BEHIND = 2 << 10, STEP = ROOM / 16, RUNS = 25, LONGEST = 1 << 10, BATCH = 16 };

struct ring {
    _Alignas(128) _Atomic unsigned long head;
    _Alignas(128) char lines[ROOM];
};
static struct ring there, back;
static _Alignas(128) _Atomic long ping;
static _Alignas(128) _Atomic long pong;

struct end {
    struct ring *ring;
    unsigned long pos, limit, cleared;
    int found, ahead;
};

static inline __attribute__((always_inline)) void check(int checks)
{
    if (checks)
        __asm__ volatile(".rept 60\n\tmov %%rdx, %%rax\n\t.endr" ::: "rax");
}

static _Atomic unsigned long *word(struct end *end, unsigned long pos)
{
    return (void *)(end->ring->lines + pos % ROOM);
}

static void copy_wrapping(char *ring, unsigned long at, char *own, size_t len, int in)
{
    size_t first = at + len > ROOM ? ROOM - at : len;
    in ? memcpy(ring + at, own, first) : memcpy(own, ring + at, first);
    if (first < len)
        in ? memcpy(ring, own + first, len - first) : memcpy(own + first, ring, len - first);
}

static inline __attribute__((always_inline)) void send(struct end *end, char *own, size_t len, int count)
{
    size_t frame = (len + 8 + LINE - 1) & -(size_t)LINE, size = count * frame;
    for (int looks = 0; end->pos + size > end->limit;) {
        unsigned long limit = atomic_load_explicit(&end->ring->head, memory_order_acquire) + ROOM - LINE;
        if (end->pos + size + (looks++ < 64 ? ROOM / 4 : 0) <= limit)
            end->limit = limit;
        else
            _mm_pause();
    }
    for (int i = 0; i < count; i++) {
        unsigned long pos = end->pos + i * frame;
        copy_wrapping(end->ring->lines, pos % ROOM + 8, own + i * len, len, 1);
        if (i > 0)
            atomic_store_explicit(word(end, pos), len, memory_order_relaxed);
    }
    atomic_store_explicit(word(end, end->pos), len, memory_order_release);
    end->pos += size;
    if (end->ahead) /* a dialogue: fetches the lines of the next message */
        for (size_t line = 0; line < size && size <= 2 * LINE; line += LINE)
            atomic_store_explicit(word(end, end->pos + line), 0, memory_order_relaxed);
}

static inline __attribute__((always_inline)) void receive(struct end *end, char *own, size_t len, int count)
{
    size_t frame = (len + 8 + LINE - 1) & -(size_t)LINE, size = count * frame;
    _Atomic unsigned long *first = word(end, end->pos);
    if (!atomic_load_explicit(first, memory_order_acquire)) {
        if (end->found) /* a stream: the sender gets away */
            for (int i = 0; i < 16; i++)
                _mm_pause();
        end->found = 0;
        while (!atomic_load_explicit(first, memory_order_acquire))
            _mm_pause();
    } else
        end->found = 1;
    for (int i = 0; i < count; i++)
        copy_wrapping(end->ring->lines, (end->pos + i * frame) % ROOM + 8, own + i * len, len, 0);
    end->pos += size;
    if (end->pos - end->cleared > BEHIND + STEP / 32) {
        for (; end->pos - end->cleared > BEHIND; end->cleared += LINE)
            atomic_store_explicit(word(end, end->cleared), 0, memory_order_relaxed);
        if (end->cleared - end->limit >= STEP)
            atomic_store_explicit(&end->ring->head, end->limit = end->cleared, memory_order_release);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void run_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static int compare(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

struct work {
    long count;
    size_t len; /* 0: bare flags */
    int answers, batch, checks;
};

static inline __attribute__((always_inline)) void take_part(const struct work *work, size_t len, int batch, int checks,
                                                            int second)
{
    static char messages[2][LONGEST];
    char *own = messages[second];
    struct end to = {.ring = second ? &back : &there, .limit = ROOM - LINE, .ahead = work->answers};
    struct end from = {.ring = second ? &there : &back};
    for (long n = 1; n <= work->count; n++) {
        if (!len && second) {
            while (ping != n)
                _mm_pause();
            atomic_store_explicit(&pong, n, memory_order_release);
        } else if (!len) {
            atomic_store_explicit(&ping, n, memory_order_release);
            while (pong != n)
                _mm_pause();
        } else {
            if (!second)
                check(checks), send(&to, own, len, batch);
            if (second || work->answers)
                check(checks), receive(&from, own, len, batch);
            if (second && work->answers)
                check(checks), send(&to, own, len, batch);
        }
    }
}

static void take_part_with(const struct work *work, int second)
{
    if (work->batch > 1)
        take_part(work, 64, BATCH, 0, second); /* the compiler knows the numbers */
    else if (work->len == LONGEST)
        take_part(work, LONGEST, 1, 0, second);
    else if (work->checks)
        take_part(work, 64, 1, 1, second);
    else if (work->len == 64)
        take_part(work, 64, 1, 0, second);
    else
        take_part(work, work->len ? 56 : 0, 1, 0, second);
}

static void *second_part(void *work)
{
    run_on(1);
    take_part_with(work, 1);
    return NULL;
}

static double measure(struct work work)
{
    pthread_t second;
    memset(&there, 0, sizeof there);
    memset(&back, 0, sizeof back);
    ping = pong = 0;
    double start = now();
    pthread_create(&second, NULL, second_part, &work);
    take_part_with(&work, 0);
    pthread_join(second, NULL);
    return (now() - start) / work.count / work.batch;
}

int main(void)
{
    static const struct {
        const char *name;
        struct work work;
    } rows[] = {
        {"round trip, bare flags", {100000, 0, 1, 1, 0}},
        {"round trip, 56 B", {100000, 56, 1, 1, 0}},
        {"round trip, 64 B", {100000, 64, 1, 1, 0}},
        {"round trip, 64 B, checked", {100000, 64, 1, 1, 1}},
        {"stream, 56 B", {2000000, 56, 0, 1, 0}},
        {"stream, 64 B", {2000000, 64, 0, 1, 0}},
        {"stream, 64 B, checked", {2000000, 64, 0, 1, 1}},
        {"stream, 16 x 64 B at once", {150000, 64, 0, BATCH, 0}},
        {"stream, 1 KiB", {300000, LONGEST, 0, 1, 0}},
    };
    enum { ROWS = sizeof rows / sizeof *rows };
    static double times[ROWS][RUNS];
    run_on(0);
    for (int run = 0; run < RUNS; run++)
        for (int row = 0; row < ROWS; row++)
            times[row][run] = measure(rows[row].work);
    for (int row = 0; row < ROWS; row++) {
        qsort(times[row], RUNS, sizeof(double), compare);
        printf("%-25s %6.1f ns (%.1f to %.1f)\n", rows[row].name, times[row][RUNS / 2],
               times[row][RUNS / 4], times[row][RUNS * 3 / 4]);
    }
}
