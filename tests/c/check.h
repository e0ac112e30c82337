/*
 * What the tests in C say of a call: that it fails with an errno and a sentence, or works and leaves errno alone. Include it first, with
 * _GNU_SOURCE defined.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <shmkey.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef __GLIBC__
#define strerrorname_np strerror /* musl has no other */
#endif

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

/* A page, and behind it nothing: to pass strings and structures that end where memory ends. */
static inline char *page_before_nothing(void)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    char *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(room + page, page, PROT_NONE);
    return room;
}

#endif
