/*
 * Memory that is refused: each allocation of the library in turn, and all from there on. Every call then works or fails with ENOMEM, and
 * its sentence can be made; none ends the process. A function that never allocates need not be here.
 */
#define _GNU_SOURCE
#include "check.h"

#include <poll.h>

/* How many more allocations of the library succeed: -1 all. */
static long left = -1;
static long refused;
static int in_the_library;
static int all_from_there;

static int is_refused(void)
{
    if (!in_the_library || left < 0) {
        return 0;
    }
    if (left > 0) {
        left--;
        return 0;
    }
    refused++;
    if (!all_from_there) {
        left = -1;
    }
    errno = ENOMEM;
    return 1;
}

/* The linker has calls of these go to __wrap_ and the name. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
int __real_posix_memalign(void **to, size_t align, size_t size);

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return is_refused() ? NULL : __real_realloc(old, size);
}

int __wrap_posix_memalign(void **to, size_t align, size_t size)
{
    return is_refused() ? ENOMEM : __real_posix_memalign(to, align, size);
}

/* Makes a call, whose allocations may be refused. What it gives is kept; if it fails, then for want of memory, and its sentence says so. */
#define TRY(result, call)                                                                                              \
    do {                                                                                                               \
        long before_ = refused;                                                                                        \
        errno = 0;                                                                                                     \
        in_the_library = 1;                                                                                            \
        (result) = (call);                                                                                             \
        if (refused != before_ && ((long) (result) == -1 || (long) (result) == 0) && errno != 0) {                      \
            check(errno == ENOMEM, #call " fails with ENOMEM", __LINE__);                                              \
            check(strstr(shm_last_error(), "ENOMEM: ") != NULL, #call " says ENOMEM", __LINE__);                       \
        } else {                                                                                                       \
            /* A message that could not be sent is not there. */                                                       \
            check(errno == 0 || (refused != 0 && errno == EAGAIN), #call " works", __LINE__);                          \
        }                                                                                                              \
        in_the_library = 0;                                                                                            \
    } while (0)

/* A call that fails as the number says, or for want of memory. */
#define REFUSES(call, number)                                                                                          \
    do {                                                                                                               \
        int error_;                                                                                                    \
        in_the_library = 1;                                                                                            \
        check((long) (call) == 0 || (long) (call) == -1, #call " fails", __LINE__);                                    \
        error_ = errno;                                                                                                \
        check(error_ == (number) || error_ == ENOMEM, #call " fails with " #number, __LINE__);                         \
        check(strstr(shm_last_error(), error_ == ENOMEM ? "ENOMEM" : #number) != NULL, #call " says " #number,         \
              __LINE__);                                                                                               \
        in_the_library = 0;                                                                                            \
    } while (0)

static void use_ring(const char *name)
{
    char buffer[3000] = "";
    size_t sizes[4];
    struct shm_slot slot;
    struct shm_message message;
    struct shm_bytes messages[] = {{buffer, 10}, {buffer, 20}};
    struct shm_waitable waitable = {0};
    struct shm_ring *ring;
    struct shm_canceller *canceller;
    long result;

    TRY(ring, shm_ring_open(name, 1000, SHMKEY_MANY_SENDERS, MAKE));
    if (ring == NULL) {
        return;
    }
    /* Some of the slots and messages wrap at the end of the ring. */
    for (int i = 0; i < 5; i++) {
        TRY(result, shm_ring_reserve(ring, 700, &slot, 0));
        if (result == 0) {
            TRY(result, shm_ring_commit(ring, &slot, 700));
            TRY(result, shm_ring_peek(ring, &message, 0));
            if (result == 0) {
                TRY(result, shm_ring_release(ring, &message));
            } else {
                TRY(result, shm_ring_recv(ring, buffer, sizeof(buffer), 0));
            }
        }
    }
    TRY(result, shm_ring_send_batch(ring, messages, 2, 0));
    TRY(result, shm_ring_recv_batch(ring, buffer, sizeof(buffer), sizes, 4, 0));
    TRY(result, shm_ring_fd(ring));
    REFUSES(shm_ring_recv(ring, buffer, sizeof(buffer), 0), EAGAIN);
    REFUSES(shm_ring_open(name, 1001, SHMKEY_MANY_SENDERS, MAKE), EPROTO);
    REFUSES(shm_mutex_open(name, 8, "a layout", MAKE), EPROTOTYPE);
    waitable.ring = ring;
    REFUSES(shm_wait_any(&waitable, 1, 0), EAGAIN);
    TRY(canceller, shm_ring_canceller(ring));
    QUIET(shm_cancel(canceller));
    REMOVE(ring, ring);
}

static void use_broadcast(const char *name)
{
    char buffer[3000] = "";
    size_t sizes[4];
    struct shm_slot slot;
    struct shm_message message;
    struct shm_broadcast *broadcast;
    long result;

    TRY(broadcast, shm_broadcast_open(name, 1000, SHMKEY_LOSSY, MAKE));
    if (broadcast == NULL) {
        return;
    }
    TRY(result, shm_broadcast_subscribe(broadcast, 0));
    for (int i = 0; i < 5; i++) {
        TRY(result, shm_broadcast_publish(broadcast, buffer, 700, 0));
        TRY(result, shm_broadcast_peek(broadcast, &message, 0));
        if (result == 0) {
            TRY(result, shm_broadcast_release(broadcast, &message));
        }
        TRY(result, shm_broadcast_reserve(broadcast, 700, &slot, 0));
        if (result == 0) {
            TRY(result, shm_broadcast_commit(broadcast, &slot, 700));
        }
        TRY(result, shm_broadcast_recv_batch(broadcast, buffer, sizeof(buffer), sizes, 4, 0));
    }
    TRY(result, shm_broadcast_fd(broadcast));
    REMOVE(broadcast, broadcast);
}

static void use_the_others(const char *names[4])
{
    struct shm_mutex *mutex;
    struct shm_semaphore *semaphore;
    struct shm_latest *latest;
    struct shm_rwlock *rwlock;
    struct shm_condvar *condvar;
    struct shm_failure failure;
    char text[1024];
    long result, value = 1;
    char *memory, *segment;
    int id = private_segment(10000, &segment);

    TRY(mutex, shm_mutex_open(names[0], 8, "the layout", MAKE));
    TRY(condvar, shm_condvar_open_at(AT(id, 4096), MAKE));
    if (mutex != NULL) {
        TRY(result, shm_mutex_lock(mutex, 0));
        REFUSES(shm_mutex_open(names[0], 8, "another layout", MAKE), EPROTO);
        if (condvar != NULL) {
            REFUSES(shm_condvar_wait(condvar, mutex, 0), EAGAIN);
        }
        CHECK(shm_last_failure(&failure) != 1 || (shm_failure_text(&failure, text, sizeof(text)), 1));
        TRY(result, shm_mutex_unlock(mutex));
        REMOVE(mutex, mutex);
    }
    shm_condvar_close(condvar);
    TRY(semaphore, shm_semaphore_open(names[1], 0, MAKE));
    if (semaphore != NULL) {
        TRY(result, shm_semaphore_fd(semaphore));
        REFUSES(shm_semaphore_wait(semaphore, 0), EAGAIN);
        REMOVE(semaphore, semaphore);
    }
    TRY(latest, shm_latest_open(names[2], 8, NULL, MAKE));
    if (latest != NULL) {
        TRY(result, shm_latest_publish(latest, &value));
        TRY(result, shm_latest_fd(latest));
        REMOVE(latest, latest);
    }
    TRY(rwlock, shm_rwlock_open(names[3], 8, NULL, MAKE));
    if (rwlock != NULL) {
        TRY(result, shm_rwlock_read(rwlock, 0));
        TRY(result, shm_rwlock_unlock(rwlock));
        REMOVE(rwlock, rwlock);
    }
    REFUSES(shm_open_key("/no such file", 'A', 1, 0), ENOENT);
    TRY(result, shm_open_key("/", 'A', 100, MAKE));
    if (result >= 0) {
        TRY(memory, shm_attach_huge((int) result, 0));
        WORKS(shm_remove((int) result));
        if (memory != NULL) {
            WORKS(shm_detach(memory));
        }
    }
    WORKS(shm_detach(segment));
}

int main(int argc, char **argv)
{
    char names[6][300];
    const char *kinds[] = {"mutex", "semaphore", "latest", "other", "ring", "broadcast"};
    long at = 0;

    CHECK(argc > 1);
    for (int i = 0; i < 6; i++) {
        snprintf(names[i], sizeof(names[i]), "%s %s", argv[1], kinds[i]);
    }
    for (all_from_there = 0; all_from_there < 2; all_from_there++) {
        for (at = 0, refused = 1; refused != 0 && !wrong; at++) {
            refused = 0;
            left = at;
            use_ring(names[4]);
            use_broadcast(names[5]);
            use_the_others((const char *[]) {names[0], names[1], names[2], names[3]});
        }
        /* The last round refused nothing; the ones before refused something each. */
        CHECK(at > 20);
    }
    return wrong;
}
