/* Measures what a ring's protocol costs: what two processors must do to pass messages through a circular buffer. A
 * message begins on a cache line, and its first word tells how many of its bytes are written. The receiver reads them,
 * clears the first word of each line some lines later, or while it waits for the message after a large one, and stores
 * its position from time to time. There is nothing else: no roles, deaths or sleepers, and both sides know the length.
 *
 *     gcc -O2 -march=native -pthread bench/ring.c -o ring && ./ring
 *
 * It needs an x86-64 machine with the processors 0 and 1 on different cores, and takes 7 seconds. A host moves virtual
 * processors. So a round trip of bare flags is measured before and after each row, and a run counts as near or as far
 * only if both times say so ("-": fewer than three runs). If the flags take other times, change SIBLINGS, NEAR and FAR.
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

enum { LINE = 64, PIECE = 16 << 10, LONGEST = 64 << 10, ROOM = 16 * LONGEST };
enum { BEHIND = 2 << 10, LARGE = 4 << 10, STEP = 64 << 10, FETCHED = 17 * LINE };
enum { BATCH = 16, RUNS = 25, SIBLINGS = 75, NEAR = 190, FAR = 300 };

struct work {
    size_t len; /* 0: bare flags */
    long count;
    int answers, batch;
    int in_place; /* copies nothing, and clears only the first line */
    int leaves;   /* the receiver clears nothing; the sender clears the next word before it commits a message */
    int turns;    /* the sender keeps a lock, as one of many does: it enters and leaves a seat for each message */
    int checks;   /* each side executes 60 instructions more for each message or batch, which do nothing */
};

struct ring {
    _Alignas(128) _Atomic unsigned long head;
    _Alignas(128) _Atomic unsigned long seat;
    _Alignas(128) _Atomic unsigned long lock;
    _Alignas(4096) char lines[ROOM];
};
static struct ring there, back;
static _Alignas(128) _Atomic long ping;
static _Alignas(128) _Atomic long pong;

struct end {
    struct ring *ring;
    unsigned long pos, limit, cleared;
    int found;
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

static _Atomic unsigned long *word(struct end *end, unsigned long pos)
{
    return (void *)(end->ring->lines + pos % ROOM);
}

/* The words in front of a message: long ones begin on a line, because aligned bytes are copied faster. */
ALWAYS_INLINE size_t header(size_t len)
{
    return len > PIECE ? LINE : 8;
}

ALWAYS_INLINE size_t size_of(size_t len)
{
    return (header(len) + len + LINE - 1) & -(size_t)LINE;
}

ALWAYS_INLINE void copy(struct end *end, unsigned long pos, char *own, size_t len, int in)
{
    size_t at = pos % ROOM, first = at + len > ROOM ? ROOM - at : len, head = LINE - at % LINE;
    char *lines = end->ring->lines;
    if (in && head < first) { /* no store crosses lines, and the first line, which the receiver polls, is written last */
        memcpy(lines + at + head, own + head, first - head);
        atomic_signal_fence(memory_order_seq_cst);
        memcpy(lines + at, own, head);
    } else if (in) {
        memcpy(lines + at, own, first);
    } else {
        memcpy(own, lines + at, first);
    }
    if (first < len)
        in ? memcpy(lines, own + first, len - first) : memcpy(own + first, lines, len - first);
}

ALWAYS_INLINE void check(struct work work)
{
    if (work.checks)
        __asm__ volatile(".rept 60\n\tmov %%rdx, %%rax\n\t.endr" ::: "rax");
}

ALWAYS_INLINE void send(struct end *end, char *own, struct work work)
{
    size_t len = work.len, frame = size_of(len), size = work.batch * frame;
    check(work);
    if (work.turns) {
        atomic_store_explicit(&end->ring->seat, 1, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&end->ring->lock, memory_order_relaxed))
            abort();
    }
    /* One line stays free. The sender first waits for much room, so that it seldom takes the line of `head` away. */
    for (int looks = 0; end->pos + size > end->limit;) {
        unsigned long limit = atomic_load_explicit(&end->ring->head, memory_order_acquire) + ROOM - LINE;
        if (end->pos + size + (looks++ < 64 ? ROOM / 4 : 0) <= limit)
            end->limit = limit;
        else
            _mm_pause();
    }
    for (int i = work.batch - 1; i >= 0; i--) { /* the word of the first message commits the batch */
        unsigned long pos = end->pos + i * frame;
        if (work.leaves)
            atomic_store_explicit(word(end, pos + frame), 0, memory_order_relaxed);
        for (size_t done = 0, more; done < len; done += more) {
            more = len - done < PIECE || work.in_place ? len - done : PIECE;
            if (!work.in_place)
                copy(end, pos + header(len) + done, own + i * len + done, more, 1);
            atomic_store_explicit(word(end, pos), done + more, memory_order_release);
        }
    }
    end->pos += size;
    if (work.answers && !work.leaves) /* a dialogue: fetches the lines of the next message */
        for (size_t line = 0; line < size && line < FETCHED && !(work.in_place && line); line += LINE)
            atomic_store_explicit(word(end, end->pos + line), 0, memory_order_relaxed);
    if (work.turns) {
        atomic_store_explicit(&end->ring->seat, 0, memory_order_release);
        atomic_signal_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&end->ring->lock, memory_order_relaxed))
            abort();
    }
}

ALWAYS_INLINE void clear(struct end *end, unsigned long up_to)
{
    for (; end->cleared < up_to; end->cleared += LINE)
        atomic_store_explicit(word(end, end->cleared), 0, memory_order_relaxed);
}

/* Waits until more than `done` bytes are written, and returns how many are. */
ALWAYS_INLINE size_t wait_for(struct end *end, unsigned long pos, size_t done)
{
    size_t written = atomic_load_explicit(word(end, pos), memory_order_acquire);
    if (written > done) {
        end->found = 1;
        return written;
    }
    if (end->pos - end->cleared >= LARGE)
        clear(end, end->pos);
    else if (end->found) /* in a stream: lets the sender get ahead */
        for (int i = 0; i < 16; i++)
            _mm_pause();
    end->found = 0;
    while ((written = atomic_load_explicit(word(end, pos), memory_order_acquire)) <= done)
        _mm_pause();
    return written;
}

ALWAYS_INLINE void receive(struct end *end, char *own, struct work work)
{
    size_t len = work.len, frame = size_of(len);
    check(work);
    for (int i = 0; i < work.batch; i++, end->pos += frame)
        for (size_t done = 0, written; done < len; done = written) {
            written = wait_for(end, end->pos, done);
            if (!work.in_place)
                copy(end, end->pos + header(len) + done, own + i * len + done, written - done, 0);
        }
    if (work.in_place)
        atomic_store_explicit(word(end, end->pos - frame), 0, memory_order_relaxed);
    if (work.in_place || work.leaves)
        end->cleared = end->pos;
    if (end->pos - end->cleared > 2 * BEHIND + frame)
        clear(end, end->pos - BEHIND - frame);
    if (end->cleared - end->limit >= STEP)
        atomic_store_explicit(&end->ring->head, end->limit = end->cleared, memory_order_release);
}

ALWAYS_INLINE void take_part(struct work work, int second)
{
    static char messages[2][LONGEST];
    char *own = messages[second];
    struct end to = {.ring = second ? &back : &there, .limit = ROOM - LINE};
    struct end from = {.ring = second ? &there : &back};
    for (long n = 1; n <= work.count; n++) {
        if (!work.len && second) {
            while (ping != n)
                _mm_pause();
            atomic_store_explicit(&pong, n, memory_order_release);
        } else if (!work.len) {
            atomic_store_explicit(&ping, n, memory_order_release);
            while (pong != n)
                _mm_pause();
        } else {
            if (!second) {
                memcpy(own, &n, sizeof n); /* the first bytes number the messages */
                send(&to, own, work);
            }
            if (second || work.answers)
                receive(&from, own, work);
            if (second && !work.in_place && memcmp(own, &n, sizeof n))
                abort();
            if (second && work.answers)
                send(&to, own, work);
        }
    }
}

#define ROWS(ROW)                                                                                                      \
    ROW("bare flags", {.len = 0, .count = 10000, .answers = 1, .batch = 1})                                            \
    ROW("round trip, 56 B", {.len = 56, .count = 20000, .answers = 1, .batch = 1})                                     \
    ROW("round trip, 64 B", {.len = 64, .count = 20000, .answers = 1, .batch = 1})                                     \
    ROW("round trip, 64 B, checked", {.len = 64, .count = 20000, .answers = 1, .batch = 1, .checks = 1})               \
    ROW("round trip, 1 KiB", {.len = 1 << 10, .count = 5000, .answers = 1, .batch = 1})                                \
    ROW("round trip, 64 KiB", {.len = 64 << 10, .count = 300, .answers = 1, .batch = 1})                               \
    ROW("round trip, 64 KiB, not cleared", {.len = 64 << 10, .count = 300, .answers = 1, .batch = 1, .leaves = 1})     \
    ROW("round trip, the header alone", {.len = 64 << 10, .count = 20000, .answers = 1, .batch = 1, .in_place = 1})    \
    ROW("stream, 56 B", {.len = 56, .count = 200000, .batch = 1})                                                      \
    ROW("stream, 64 B", {.len = 64, .count = 200000, .batch = 1})                                                      \
    ROW("stream, 64 B, checked", {.len = 64, .count = 200000, .batch = 1, .checks = 1})                                \
    ROW("stream, 64 B, a lock kept", {.len = 64, .count = 200000, .batch = 1, .turns = 1})                             \
    ROW("stream, 64 B, a lock kept, checked", {.len = 64, .count = 200000, .batch = 1, .turns = 1, .checks = 1})       \
    ROW("stream, 16 x 64 B at once", {.len = 64, .count = 20000, .batch = BATCH})                                      \
    ROW("stream, 1 KiB", {.len = 1 << 10, .count = 30000, .batch = 1})                                                 \
    ROW("stream, 64 KiB", {.len = 64 << 10, .count = 1000, .batch = 1})                                                \
    ROW("stream, 64 KiB, not cleared", {.len = 64 << 10, .count = 1000, .batch = 1, .leaves = 1})

#define ENTRY(name, ...) {name, __VA_ARGS__},
static const struct {
    const char *name;
    struct work work;
} rows[] = {ROWS(ENTRY)};
enum { COUNT = sizeof rows / sizeof *rows };

static int row;

/* Each row has a copy of the code, in which the compiler knows the row's numbers. */
#define CASE(row_name, ...)                                                                                            \
    if (!strcmp(rows[row].name, row_name)) {                                                                           \
        take_part((struct work)__VA_ARGS__, second);                                                                   \
        return;                                                                                                        \
    }
static void take_part_in_row(int second)
{
    ROWS(CASE)
}

static void run_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

/* Waits for the other thread. Both stay awake all the time: a host may move a virtual processor that has slept. */
static void meet(void)
{
    static _Atomic long arrived;
    long number = atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) <= (number | 1))
        _mm_pause();
}

static void *second_part(void *unused)
{
    for (run_on(1);;) {
        meet();
        if (row == COUNT)
            return unused;
        take_part_in_row(1);
        meet();
    }
}

static double measure(int which)
{
    double start = 0;
    for (int round = 0; round < 2; round++) { /* the first warms up */
        memset(&there, 0, sizeof there);
        memset(&back, 0, sizeof back);
        ping = pong = 0;
        row = which;
        meet();
        start = now();
        take_part_in_row(0);
        meet();
    }
    return (now() - start) / rows[which].work.count / rows[which].work.batch;
}

static int compare(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

/* 0: near, as two cores that share a cache; 1: far; 2: neither. Two hardware threads of one core are nearer still. */
static int place(double flags)
{
    return flags < SIBLINGS ? 2 : flags < NEAR ? 0 : flags > FAR ? 1 : 2;
}

int main(void)
{
    static double times[COUNT][2][RUNS];
    static int runs[COUNT][2];
    pthread_t second;
    run_on(0);
    pthread_create(&second, NULL, second_part, NULL);
    double before = measure(0), after;
    for (int run = 0; run < RUNS; run++)
        for (int which = 0; which < COUNT; which++, before = after) {
            double time = measure(which);
            after = measure(0);
            int at = place(before);
            if (at < 2 && place(after) == at)
                times[which][at][runs[which][at]++] = time;
        }
    row = COUNT;
    meet();
    pthread_join(second, NULL);
    printf("%-36s %8s %36s\n", "median ns (quartiles, runs)", "near", "far");
    for (int which = 0; which < COUNT; which++) {
        printf("%-36s", rows[which].name);
        for (int at = 0; at < 2; at++) {
            int count = runs[which][at];
            double *sorted = times[which][at];
            qsort(sorted, count, sizeof *sorted, compare);
            if (count < 3)
                printf(" %36s", "-");
            else
                printf(" %8.1f (%7.1f to %7.1f, %2d runs)", sorted[count / 2], sorted[count / 4],
                       sorted[count * 3 / 4], count);
        }
        puts("");
    }
}
