/*
 * What the tests in C share: checks of a call, which fails with an errno and a sentence, or works and leaves errno alone; children; private
 * segments; and an object of each kind in one of them. Include it first, with _GNU_SOURCE defined.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <shmkey.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __GLIBC__
#define strerrorname_np strerror /* musl has no other */
#endif

#define MAKE (SHMKEY_CREATE | 0600)
#define SOON SHMKEY_MILLISECONDS(20)
#define AGES SHMKEY_SECONDS(60)

static int wrong;

static void check(int right, const char *what, int line)
{
    if (!right) {
        wrong = 1;
        printf("line %d: %s (errno %s, last error: %s)\n", line, what, strerrorname_np(errno), shm_last_error());
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

/* The place at an offset of a segment, and the one that a path and a project id stand for. */
#define AT(id, offset) (&(struct shm_place) SHMKEY_PLACE_SEGMENT(id, offset))
#define BY_FILE(path, proj_id) (&(struct shm_place) SHMKEY_PLACE_FILE(path, proj_id))

/* The call fails with this error number, and its sentence names it. */
#define FAILS(call, number) FAILS_NAMED((call) == -1, #call, number, #number)
#define FAILS_NULL(call, number) FAILS_NAMED((call) == NULL, #call, number, #number)
#define FAILS_NAMED(condition, call, number, name)                                                                     \
    do {                                                                                                               \
        int answered;                                                                                                  \
        errno = 0;                                                                                                     \
        answered = (condition);                                                                                        \
        check(answered && errno == (number), call " fails with " name, __LINE__);                                      \
        check(strstr(shm_last_error(), name) != NULL, "the sentence names " name, __LINE__);                           \
        check(strlen(shm_last_error()) < 1024, "the sentence is short enough", __LINE__);                              \
    } while (0)

/* The last sentence has these words. */
#define SAYS(words) check(strstr(shm_last_error(), words) != NULL, "the sentence has: " words, __LINE__)

/* The call fails, and its sentence has these words. */
#define FAILS_SAYING(call, number, words)                                                                              \
    do {                                                                                                               \
        FAILS_NAMED((call) == -1, #call, number, #number);                                                             \
        SAYS(words);                                                                                                   \
    } while (0)
#define FAILS_NULL_SAYING(call, number, words)                                                                         \
    do {                                                                                                               \
        FAILS_NAMED((call) == NULL, #call, number, #number);                                                           \
        SAYS(words);                                                                                                   \
    } while (0)

/* The call succeeds and leaves errno alone. */
#define WORKS(call)                                                                                                    \
    do {                                                                                                               \
        int answered;                                                                                                  \
        errno = 4242;                                                                                                  \
        answered = (call) == 0;                                                                                        \
        check(answered && errno == 4242, #call " works", __LINE__);                                                    \
    } while (0)

/* The call gives this number and leaves errno alone. */
#define GIVES(call, number)                                                                                            \
    do {                                                                                                               \
        int answered;                                                                                                  \
        errno = 4242;                                                                                                  \
        answered = (call) == (number);                                                                                 \
        check(answered && errno == 4242, #call " gives " #number, __LINE__);                                           \
    } while (0)

/* The call gives an address, which is kept, and leaves errno alone. */
#define OPENS(address, call)                                                                                           \
    do {                                                                                                               \
        errno = 4242;                                                                                                  \
        (address) = (call);                                                                                            \
        check((address) != NULL && errno == 4242, #call " opens", __LINE__);                                           \
    } while (0)

/* The same of a call that returns nothing. */
#define QUIET(call)                                                                                                    \
    do {                                                                                                               \
        errno = 4242;                                                                                                  \
        call;                                                                                                          \
        check(errno == 4242, #call " leaves errno alone", __LINE__);                                                   \
    } while (0)

/* Removes the segment of an object, and closes the object. */
#define REMOVE(kind, object)                                                                                           \
    do {                                                                                                               \
        WORKS(shm_remove(shm_##kind##_id(object)));                                                                    \
        QUIET(shm_##kind##_close(object));                                                                             \
    } while (0)

/* In a child: { CHILD { CHECK(...); } WAIT_FOR_CHILD; }. What is wrong there is wrong here. */
#define CHILD for (pid_t child_ = begin_child(); child_ == 0; end_child())
static inline pid_t begin_child(void)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        wrong = 0;
    }
    return child;
}

static inline void end_child(void)
{
    fflush(stdout);
    _exit(wrong);
}

static inline void wait_for_child(void)
{
    int status = 1;

    CHECK(wait(&status) > 0 && status == 0);
}

/* A segment of zeroes that goes with its last user. */
static inline int private_segment(size_t size, char **memory)
{
    int id = shm_open_private(size, 0600);

    *memory = shm_attach(id, 0);
    CHECK(id >= 0 && *memory != NULL);
    WORKS(shm_remove(id));
    return id;
}

/* One object of each kind, in a private segment. */
struct objects {
    struct shm_semaphore *semaphore;
    struct shm_mutex *mutex;
    struct shm_latest *latest;
    struct shm_ring *ring;
};

static inline struct objects open_objects(int id, size_t latest_size, size_t capacity, int options)
{
    struct objects all;

    OPENS(all.semaphore, shm_semaphore_open_at(AT(id, 0), 1, MAKE));
    OPENS(all.mutex, shm_mutex_open_at(AT(id, 2048), 8, NULL, MAKE));
    OPENS(all.latest, shm_latest_open_at(AT(id, 4096), latest_size, NULL, MAKE));
    OPENS(all.ring, shm_ring_open_at(AT(id, 8192), capacity, options, MAKE));
    return all;
}

static inline void close_objects(struct objects all)
{
    QUIET(shm_semaphore_close(all.semaphore));
    QUIET(shm_mutex_close(all.mutex));
    QUIET(shm_latest_close(all.latest));
    QUIET(shm_ring_close(all.ring));
}

/* A page, and behind it nothing: to pass strings and structures that end where memory ends. */
static inline char *page_before_nothing(void)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    char *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(room + page, page, PROT_NONE);
    return room;
}

#endif
