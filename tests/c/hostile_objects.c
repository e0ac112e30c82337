/*
 * The objects of the C API as a careless or hostile program uses them: NULL, impossible sizes, calls made twice or in the wrong order, and
 * segments whose bytes another process overwrites. A call may fail; it may not crash, hang, or change errno when it works. Prints what is wrong,
 * and nothing if all is right.
 *
 * It runs in a directory whose keys are its own, with a file "shmfile" in it, and makes private segments only. A second argument says that valgrind
 * watches, which takes longer.
 */
#define _GNU_SOURCE
#include "check.h"
#include <limits.h>

static void no_object(void)
{
    char buffer[8];
    struct shm_message message = {NULL, 0, 0};
    struct shm_slot slot = {NULL, 0, 0};
    size_t length;
    struct shm_bytes bytes = {"a", 1};

    FAILS(shm_semaphore_post(NULL), EFAULT);
    FAILS(shm_semaphore_wait(NULL, 0), EFAULT);
    FAILS(shm_semaphore_value(NULL), EFAULT);
    FAILS(shm_semaphore_id(NULL), EFAULT);
    FAILS(shm_semaphore_removed(NULL), EFAULT);
    FAILS(shm_semaphore_set_interruptible(NULL, 1), EFAULT);
    FAILS_NULL(shm_semaphore_canceller(NULL), EFAULT);
    FAILS(shm_mutex_set_interruptible(NULL, 1), EFAULT);
    FAILS_NULL(shm_mutex_canceller(NULL), EFAULT);
    FAILS(shm_rwlock_set_interruptible(NULL, 1), EFAULT);
    FAILS_NULL(shm_rwlock_canceller(NULL), EFAULT);
    FAILS(shm_condvar_set_interruptible(NULL, 1), EFAULT);
    FAILS_NULL(shm_condvar_canceller(NULL), EFAULT);
    FAILS(shm_latest_set_interruptible(NULL, 1), EFAULT);
    FAILS_NULL(shm_latest_canceller(NULL), EFAULT);
    FAILS(shm_ring_set_interruptible(NULL, 1), EFAULT);
    FAILS_NULL(shm_ring_canceller(NULL), EFAULT);
    FAILS(shm_broadcast_set_interruptible(NULL, 1), EFAULT);
    FAILS_NULL(shm_broadcast_canceller(NULL), EFAULT);
    FAILS(shm_ring_set_keep_waiting(NULL, 1), EFAULT);
    FAILS(shm_broadcast_set_keep_waiting(NULL, 1), EFAULT);
    QUIET(shm_cancel(NULL));
    FAILS(shm_mutex_lock(NULL, -1), EFAULT);
    FAILS_NULL(shm_mutex_data(NULL), EFAULT);
    FAILS(shm_mutex_consistent(NULL), EFAULT);
    FAILS(shm_mutex_unlock(NULL), EFAULT);
    FAILS(shm_mutex_id(NULL), EFAULT);
    FAILS(shm_mutex_removed(NULL), EFAULT);
    FAILS(shm_latest_publish(NULL, buffer), EFAULT);
    FAILS(shm_latest_read(NULL, buffer), EFAULT);
    FAILS(shm_latest_read_newer(NULL, 0, buffer, -1), EFAULT);
    FAILS(shm_latest_version(NULL), EFAULT);
    FAILS(shm_latest_id(NULL), EFAULT);
    FAILS(shm_latest_removed(NULL), EFAULT);
    FAILS(shm_ring_send(NULL, "a", 1, -1), EFAULT);
    FAILS(shm_ring_send_batch(NULL, &bytes, 1, -1), EFAULT);
    FAILS(shm_ring_reserve(NULL, 1, &slot, -1), EFAULT);
    FAILS(shm_ring_commit(NULL, &slot, 1), EFAULT);
    FAILS(shm_ring_abort(NULL, &slot), EFAULT);
    FAILS(shm_ring_recv(NULL, buffer, 8, -1), EFAULT);
    FAILS(shm_ring_recv_batch(NULL, buffer, 8, &length, 1, -1), EFAULT);
    FAILS(shm_ring_peek(NULL, &message, -1), EFAULT);
    FAILS(shm_ring_release(NULL, &message), EFAULT);
    FAILS(shm_ring_begin_sending(NULL), EFAULT);
    FAILS(shm_ring_begin_receiving(NULL), EFAULT);
    FAILS(shm_ring_end_sending(NULL), EFAULT);
    FAILS(shm_ring_end_receiving(NULL), EFAULT);
    FAILS(shm_ring_capacity(NULL), EFAULT);
    FAILS(shm_ring_used(NULL), EFAULT);
    FAILS(shm_ring_dropped(NULL), EFAULT);
    FAILS(shm_ring_id(NULL), EFAULT);
    FAILS(shm_ring_removed(NULL), EFAULT);
    FAILS(shm_broadcast_publish(NULL, "a", 1, -1), EFAULT);
    FAILS(shm_broadcast_publish_batch(NULL, &bytes, 1, -1), EFAULT);
    FAILS(shm_broadcast_reserve(NULL, 1, &slot, -1), EFAULT);
    FAILS(shm_broadcast_commit(NULL, &slot, 1), EFAULT);
    FAILS(shm_broadcast_abort(NULL, &slot), EFAULT);
    FAILS(shm_broadcast_begin_publishing(NULL), EFAULT);
    FAILS(shm_broadcast_end_publishing(NULL), EFAULT);
    FAILS(shm_broadcast_subscribe(NULL, 0), EFAULT);
    FAILS(shm_broadcast_unsubscribe(NULL), EFAULT);
    FAILS(shm_broadcast_recv(NULL, buffer, 8, -1), EFAULT);
    FAILS(shm_broadcast_recv_batch(NULL, buffer, 8, &length, 1, -1), EFAULT);
    FAILS(shm_broadcast_peek(NULL, &message, -1), EFAULT);
    FAILS(shm_broadcast_release(NULL, &message), EFAULT);
    FAILS(shm_broadcast_missed(NULL), EFAULT);
    FAILS(shm_broadcast_capacity(NULL), EFAULT);
    FAILS(shm_broadcast_used(NULL), EFAULT);
    FAILS(shm_broadcast_subscribers(NULL), EFAULT);
    FAILS(shm_broadcast_id(NULL), EFAULT);
    FAILS(shm_broadcast_removed(NULL), EFAULT);
    QUIET(shm_broadcast_close(NULL));
    QUIET(shm_semaphore_close(NULL));
    QUIET(shm_mutex_close(NULL));
    QUIET(shm_latest_close(NULL));
    QUIET(shm_ring_close(NULL));
}

/* Addresses that are no names, in each of the functions that take a name. */
static void no_name(int watched)
{
    const char *bad[] = {NULL, (const char *) 8, (const char *) -1};
    char *room = page_before_nothing();
    size_t page = (size_t) sysconf(_SC_PAGESIZE);

    for (size_t i = 0; i < 3; i++) {
        FAILS_NULL(shm_semaphore_open(bad[i], 0, MAKE), EFAULT);
        FAILS_NULL(shm_mutex_open(bad[i], 8, NULL, MAKE), EFAULT);
        FAILS_NULL(shm_latest_open(bad[i], 8, NULL, MAKE), EFAULT);
        FAILS_NULL(shm_ring_open(bad[i], 64, 0, MAKE), EFAULT);
        FAILS_NULL(shm_broadcast_open(bad[i], 64, 0, MAKE), EFAULT);
    }
    for (size_t i = 1; i < 3 && !watched; i++) { /* valgrind reports what the kernel refuses */
        FAILS_NULL(shm_semaphore_open_at(BY_FILE(bad[i], 1), 0, MAKE), EFAULT);
        FAILS_NULL(shm_mutex_open_at(BY_FILE(bad[i], 1), 8, NULL, MAKE), EFAULT);
        FAILS_NULL(shm_latest_open_at(BY_FILE(bad[i], 1), 8, NULL, MAKE), EFAULT);
        FAILS_NULL(shm_ring_open_at(BY_FILE(bad[i], 1), 64, 0, MAKE), EFAULT);
        FAILS_NULL(shm_broadcast_open_at(BY_FILE(bad[i], 1), 64, 0, MAKE), EFAULT);
        FAILS_NULL(shm_mutex_open_at(BY_FILE("shmfile", 115), 8, bad[i], MAKE), EFAULT);
        FAILS_NULL(shm_latest_open_at(BY_FILE("shmfile", 115), 8, bad[i], MAKE), EFAULT);
    }
    /* Not a private segment, as shm_open_key() makes: no other process could find the object. */
    FAILS_NULL(shm_semaphore_open_at(BY_FILE(NULL, 1), 0, MAKE), EINVAL);
    FAILS_NULL(shm_mutex_open_at(BY_FILE(NULL, 1), 8, NULL, MAKE), EINVAL);
    FAILS_NULL(shm_latest_open_at(BY_FILE(NULL, 1), 8, NULL, MAKE), EINVAL);
    FAILS_NULL(shm_ring_open_at(BY_FILE(NULL, 1), 64, 0, MAKE), EINVAL);
    FAILS_NULL(shm_ring_open_at(BY_FILE(NULL, 1), 0, 0, 0), EINVAL);
    FAILS_NULL(shm_semaphore_open_at(NULL, 0, MAKE), EFAULT);
    FAILS_NULL(shm_mutex_open_at(NULL, 8, NULL, MAKE), EFAULT);
    FAILS_NULL(shm_latest_open_at(NULL, 8, NULL, MAKE), EFAULT);
    FAILS_NULL(shm_ring_open_at(NULL, 64, 0, MAKE), EFAULT);
    memset(room, 'x', page);
    FAILS_NULL(shm_mutex_open(room + page - 100, 8, NULL, MAKE), EFAULT);
    FAILS_NULL(shm_mutex_open_at(BY_FILE("shmfile", 115), 8, room + page - 100, MAKE), EFAULT);
    CHECK(shm_open_key("shmfile", 115, 0, 0) == -1); /* nothing was made */
    munmap(room, 2 * page);
}

static void no_memory(void)
{
    struct shm_slot slot = {NULL, 0, 0};
    char *memory, *room = page_before_nothing(), buffer[64];
    size_t page = (size_t) sysconf(_SC_PAGESIZE), lengths[2];
    int id = private_segment(16384, &memory);
    struct shm_latest *latest;
    struct shm_ring *ring;
    struct shm_mutex *mutex;
    struct shm_bytes batch[2] = {{"one", 3}, {NULL, 1}};

    OPENS(latest, shm_latest_open_at(AT(id, 0), 8, NULL, MAKE));
    FAILS(shm_latest_publish(latest, NULL), EFAULT);
    FAILS(shm_latest_read(latest, NULL), EFAULT);
    GIVES(shm_latest_version(latest), 0);
    WORKS(shm_latest_publish(latest, room + page - 8)); /* ends where memory ends */
    GIVES(shm_latest_read(latest, room + page - 8), 1);
    FAILS(shm_latest_read_newer(latest, 0, NULL, -1), EFAULT);
    QUIET(shm_latest_close(latest));

    OPENS(ring, shm_ring_open_at(AT(id, 4096), 1000, 0, MAKE));
    FAILS(shm_ring_send(ring, NULL, 1, 0), EFAULT);
    FAILS(shm_ring_send(ring, "a", (size_t) -1, 0), EMSGSIZE);
    FAILS(shm_ring_send(ring, "a", (size_t) LONG_MAX, 0), EMSGSIZE);
    FAILS(shm_ring_reserve(ring, (size_t) -1, &slot, 0), EMSGSIZE);
    FAILS(shm_ring_reserve(ring, (size_t) LONG_MAX, &slot, 0), EMSGSIZE);
    FAILS(shm_ring_reserve(ring, (size_t) -8, &slot, 0), EMSGSIZE);
    FAILS(shm_ring_send_batch(ring, NULL, 1, 0), EFAULT);
    FAILS(shm_ring_send_batch(ring, batch, (size_t) -1, 0), EINVAL);
    FAILS(shm_ring_send_batch(ring, batch, (size_t) LONG_MAX / 16 + 1, 0), EINVAL);
    FAILS(shm_ring_send_batch(ring, batch + 1, 1, 0), EFAULT);
    GIVES(shm_ring_send_batch(ring, batch, 2, 0), 1); /* those in front of it are sent */
    GIVES(shm_ring_recv(ring, buffer, sizeof buffer, 0), 3);
    GIVES(shm_ring_send_batch(ring, NULL, 0, 0), 0);
    GIVES(shm_ring_used(ring), 0);
    memcpy(room + page - 5, "hello", 5);
    WORKS(shm_ring_send(ring, room + page - 5, 5, 0));
    FAILS(shm_ring_recv(ring, NULL, 1, 0), EFAULT);
    FAILS(shm_ring_recv(ring, buffer, (size_t) -1, 0), EFAULT);
    FAILS(shm_ring_recv(ring, NULL, 0, 0), EMSGSIZE);
    FAILS(shm_ring_recv_batch(ring, NULL, 1, lengths, 2, 0), EFAULT);
    FAILS(shm_ring_recv_batch(ring, buffer, sizeof buffer, NULL, 2, 0), EFAULT);
    FAILS(shm_ring_recv_batch(ring, buffer, sizeof buffer, lengths, (size_t) -1, 0), EINVAL);
    FAILS(shm_ring_recv_batch(ring, buffer, sizeof buffer, lengths, (size_t) LONG_MAX / 8 + 1, 0), EINVAL);
    GIVES(shm_ring_recv_batch(ring, buffer, sizeof buffer, NULL, 0, 0), 0);
    FAILS(shm_ring_peek(ring, NULL, 0), EFAULT);
    GIVES(shm_ring_recv(ring, room + page - 5, 5, 0), 5);
    QUIET(shm_ring_close(ring));

    /* A mutex around the rest of the segment. */
    OPENS(mutex, shm_mutex_open_at(AT(id, 8192), 16384 - 8192 - 1024, NULL, MAKE));
    WORKS(shm_mutex_lock(mutex, 0));
    memset(shm_mutex_data(mutex), 0xff, 16384 - 8192 - 1024);
    WORKS(shm_mutex_unlock(mutex));
    QUIET(shm_mutex_close(mutex));
    for (size_t offset = 1; offset < 64; offset++) {
        FAILS_NULL(shm_mutex_open_at(AT(id, offset), 8, NULL, MAKE), EINVAL);
    }
    CHECK(shm_mutex_open_at(AT(id, 16384), 0, NULL, MAKE) == NULL);
    CHECK(shm_mutex_open_at(AT(id, 16384 - 64), 0, NULL, MAKE) == NULL);
    CHECK(shm_mutex_open_at(AT(id, (size_t) -1024), 0, NULL, MAKE) == NULL);
    CHECK(shm_mutex_open_at(AT(id, 0), (size_t) -1024, NULL, MAKE) == NULL);
    CHECK(shm_ring_open_at(AT(id, (size_t) -64), (size_t) -1, 0, MAKE) == NULL);
    CHECK(shm_latest_open_at(AT(id, (size_t) -64), 64, NULL, MAKE) == NULL);
    FAILS_NULL(shm_ring_open_at(AT(-1, 0), 64, 0, MAKE), EINVAL);
    FAILS_NULL(shm_latest_open_at(AT(INT_MIN, 0), 64, NULL, MAKE), EINVAL);
    FAILS_NULL(shm_mutex_open_at(AT(INT_MAX, 0), 64, NULL, MAKE), EINVAL);
    FAILS_NULL(shm_ring_open_at(AT(id, 12288), 64, 0, 0), EMEDIUMTYPE);
    WORKS(shm_detach(memory));
    munmap(room, 2 * page);
}

static void no_memory_for_a_broadcast(void)
{
    struct shm_slot slot = {NULL, 0, 0};
    char *memory, buffer[64];
    size_t lengths[2];
    int id = private_segment(16384, &memory);
    struct shm_broadcast *broadcast;
    struct shm_bytes batch[2] = {{"one", 3}, {NULL, 1}};

    CHECK(shm_broadcast_open_at(AT(id, (size_t) -64), (size_t) -1, 0, MAKE) == NULL);
    CHECK(shm_broadcast_open_at(AT(id, 64), 16384, 0, MAKE) == NULL);
    FAILS_NULL(shm_broadcast_open_at(NULL, 64, 0, MAKE), EFAULT);
    OPENS(broadcast, shm_broadcast_open_at(AT(id, 64), 1000, 0, MAKE));
    WORKS(shm_broadcast_subscribe(broadcast, 0));
    FAILS(shm_broadcast_publish(broadcast, NULL, 1, 0), EFAULT);
    FAILS(shm_broadcast_publish(broadcast, "a", (size_t) -1, 0), EMSGSIZE);
    FAILS(shm_broadcast_publish(broadcast, "a", (size_t) LONG_MAX, 0), EMSGSIZE);
    FAILS(shm_broadcast_publish(broadcast, "a", 1, -2), EINVAL);
    FAILS(shm_broadcast_reserve(broadcast, (size_t) -1, &slot, 0), EMSGSIZE);
    FAILS(shm_broadcast_reserve(broadcast, (size_t) -8, &slot, 0), EMSGSIZE);
    FAILS(shm_broadcast_reserve(broadcast, 8, NULL, 0), EFAULT);
    FAILS(shm_broadcast_reserve(broadcast, 8, &slot, -2), EINVAL);
    FAILS(shm_broadcast_commit(broadcast, NULL, 8), EFAULT);
    FAILS(shm_broadcast_abort(broadcast, NULL), EFAULT);
    FAILS(shm_broadcast_publish_batch(broadcast, NULL, 1, 0), EFAULT);
    FAILS(shm_broadcast_publish_batch(broadcast, batch, (size_t) -1, 0), EINVAL);
    FAILS(shm_broadcast_publish_batch(broadcast, batch + 1, 1, 0), EFAULT);
    GIVES(shm_broadcast_publish_batch(broadcast, batch, 2, 0), 1); /* those in front of it are published */
    FAILS(shm_broadcast_recv(broadcast, NULL, 1, 0), EFAULT);
    FAILS(shm_broadcast_recv(broadcast, buffer, (size_t) -1, 0), EFAULT);
    FAILS(shm_broadcast_recv(broadcast, buffer, sizeof buffer, -2), EINVAL);
    FAILS(shm_broadcast_recv(broadcast, NULL, 0, 0), EMSGSIZE);
    FAILS(shm_broadcast_recv_batch(broadcast, buffer, sizeof buffer, NULL, 2, 0), EFAULT);
    FAILS(shm_broadcast_recv_batch(broadcast, buffer, sizeof buffer, lengths, (size_t) -1, 0), EINVAL);
    GIVES(shm_broadcast_recv_batch(broadcast, buffer, sizeof buffer, NULL, 0, 0), 0);
    FAILS(shm_broadcast_peek(broadcast, NULL, 0), EFAULT);
    FAILS(shm_broadcast_release(broadcast, NULL), EFAULT);
    GIVES(shm_broadcast_recv(broadcast, buffer, sizeof buffer, INT64_MAX), 3);
    QUIET(shm_broadcast_close(broadcast));
    WORKS(shm_detach(memory));
}

static void timeouts(void)
{
    const int64_t bad[] = {-2, -1000000000, INT64_MIN};
    char *memory, buffer[64];
    struct shm_message message;
    struct shm_slot slot;
    size_t length;
    struct shm_bytes bytes = {"a", 1};
    struct objects all = open_objects(private_segment(16384, &memory), 8, 64, 0);

    WORKS(shm_latest_publish(all.latest, "8 bytes."));
    WORKS(shm_ring_send(all.ring, "a", 1, 0));
    for (size_t i = 0; i < 3; i++) { /* although there would be nothing to wait for */
        FAILS(shm_semaphore_wait(all.semaphore, bad[i]), EINVAL);
        FAILS(shm_mutex_lock(all.mutex, bad[i]), EINVAL);
        FAILS(shm_latest_read_newer(all.latest, 0, buffer, bad[i]), EINVAL);
        FAILS(shm_ring_send(all.ring, "a", 1, bad[i]), EINVAL);
        FAILS(shm_ring_send_batch(all.ring, &bytes, 1, bad[i]), EINVAL);
        FAILS(shm_ring_reserve(all.ring, 1, &slot, bad[i]), EINVAL);
        FAILS(shm_ring_recv(all.ring, buffer, sizeof buffer, bad[i]), EINVAL);
        FAILS(shm_ring_recv_batch(all.ring, buffer, sizeof buffer, &length, 1, bad[i]), EINVAL);
        FAILS(shm_ring_peek(all.ring, &message, bad[i]), EINVAL);
    }
    WORKS(shm_semaphore_wait(all.semaphore, INT64_MAX));
    WORKS(shm_mutex_lock(all.mutex, INT64_MAX));
    WORKS(shm_mutex_unlock(all.mutex));
    GIVES(shm_latest_read_newer(all.latest, 0, buffer, INT64_MAX), 1);
    GIVES(shm_ring_recv(all.ring, buffer, sizeof buffer, INT64_MAX), 1);
    close_objects(all);
    WORKS(shm_detach(memory));
}

/* The last sentence names the object, the call and the fact. */
static void says(const char *object, const char *call, const char *fact)
{
    const char *text = shm_last_error();

    CHECK(strstr(text, object) == text && strstr(text, call) != NULL && strstr(text, fact) != NULL);
}

/* Calls made twice, in the wrong order, or not at all. */
static void order(void)
{
    char *memory, buffer[64];
    struct shm_message message = {NULL, 0, 0};
    struct shm_slot slot = {NULL, 0, 0}, old;
    int id = private_segment(16384, &memory);
    const int options[] = {0, SHMKEY_MANY_SENDERS, SHMKEY_DROP_OLDEST, SHMKEY_MANY_SENDERS | SHMKEY_DROP_OLDEST};
    struct shm_ring *ring, *again;

    for (size_t i = 0; i < 4; i++) {
        memset(memory, 0, 16384);
        OPENS(ring, shm_ring_open_at(AT(id, 0), 64, options[i], MAKE));
        OPENS(again, shm_ring_open_at(AT(id, 0), 64, options[i], 0));
        FAILS(shm_ring_commit(ring, &slot, 0), EPERM);
        FAILS(shm_ring_commit(ring, &slot, (size_t) -1), EPERM);
        FAILS(shm_ring_commit(ring, NULL, 0), EFAULT);
        FAILS(shm_ring_abort(ring, NULL), EFAULT);
        FAILS(shm_ring_reserve(ring, 1, NULL, 0), EFAULT);
        FAILS(shm_ring_release(ring, &message), EPERM);
        FAILS(shm_ring_release(ring, NULL), EFAULT);
        FAILS(shm_ring_peek(ring, NULL, 0), EFAULT);
        FAILS(shm_ring_abort(ring, &slot), EPERM);
        WORKS(shm_ring_reserve(ring, 64, &slot, 0));
        FAILS(shm_ring_commit(ring, &slot, 65), EINVAL);
        says("ring (id ", "commit: ", "has 65 bytes, and the slot has 64 bytes");
        FAILS(shm_ring_commit(ring, NULL, 1), EFAULT);
        says("ring (id ", "commit: ", "slot is NULL");
        FAILS(shm_ring_release(ring, NULL), EFAULT);
        says("ring (id ", "release: ", "message is NULL");
        FAILS(shm_ring_send(ring, "x", 1, 0), EINVAL);
        says("ring (id ", "send: ", "commit or abort it first");
        for (size_t n = 0; n < 4; n++) { /* a program can put any value into a slot and a message */
            const struct shm_slot wild = {(void *) 8, (size_t) -1, slot.number + ((uint64_t) 1 << (n * 21))};
            const struct shm_message wild_message = {(void *) 8, (size_t) -1, wild.number};
            FAILS(shm_ring_commit(ring, &wild, 1), EPERM);
            FAILS(shm_ring_abort(ring, &wild), EPERM);
            FAILS(shm_ring_release(ring, &wild_message), EPERM);
        }
        FAILS(shm_ring_commit(ring, &slot, (size_t) -1), EINVAL);
        FAILS(shm_ring_commit(again, &slot, 1), EPERM);
        FAILS(shm_ring_abort(again, &slot), EPERM);
        FAILS(shm_ring_begin_sending(ring), EINVAL);
        memset(slot.data, 'a', 64);
        WORKS(shm_ring_abort(ring, &slot));
        FAILS(shm_ring_abort(ring, &slot), EPERM);
        FAILS(shm_ring_recv(again, buffer, sizeof buffer, 0), EAGAIN);
        WORKS(shm_ring_reserve(ring, 64, &slot, 0));
        WORKS(shm_ring_end_sending(ring)); /* gives the slot up, too */
        FAILS(shm_ring_commit(ring, &slot, 1), EPERM);
        FAILS(shm_ring_recv(again, buffer, sizeof buffer, 0), EPIPE);
        old = slot;
        WORKS(shm_ring_reserve(ring, 5, &slot, 0));
        FAILS(shm_ring_abort(ring, &old), EPERM); /* although it was at the same place */
        memcpy(slot.data, "hello", 5);
        WORKS(shm_ring_commit(ring, &slot, 5));
        GIVES(shm_ring_peek(again, &message, 0), 5);
        WORKS(shm_ring_end_receiving(again)); /* the message stays */
        FAILS(shm_ring_release(again, &message), EPERM);
        GIVES(shm_ring_peek(again, &message, 0), 5);
        FAILS(shm_ring_release(ring, &message), EPERM);
        WORKS(shm_ring_release(again, &message));
        FAILS(shm_ring_release(again, &message), EPERM);
        WORKS(shm_ring_send(ring, NULL, 0, 0));
        GIVES(shm_ring_peek(again, &message, 0), 0);
        QUIET(shm_ring_close(again)); /* with a message that was peeked at */
        OPENS(again, shm_ring_open_at(AT(id, 0), 0, 0, 0));
        GIVES(shm_ring_recv(again, buffer, sizeof buffer, 0), 0);
        WORKS(shm_ring_reserve(ring, 64, &slot, 0));
        QUIET(shm_ring_close(ring)); /* with a slot that was reserved */
        FAILS(shm_ring_recv(again, buffer, sizeof buffer, 0), EPIPE);
        WORKS(shm_ring_send(again, "end", 3, 0)); /* both ends by one handle */
        GIVES(shm_ring_recv(again, buffer, sizeof buffer, 0), 3);
        QUIET(shm_ring_close(again));
    }
    WORKS(shm_detach(memory));
}

/* What a child may do with what its parent has opened: the lock, the slot and the roles are the parent's. */
static void in_the_child(struct objects all, struct shm_ring *many, struct shm_message *message, struct shm_slot *slot)
{
    const int64_t time = SHMKEY_MILLISECONDS(1);
    char buffer[64];

    WORKS(shm_semaphore_wait(all.semaphore, 0));
    FAILS(shm_mutex_unlock(all.mutex), EPERM);
    FAILS(shm_mutex_consistent(all.mutex), EPERM);
    FAILS(shm_mutex_lock(all.mutex, time), ETIMEDOUT);
    FAILS(shm_latest_publish(all.latest, "a child's"), EBUSY);
    GIVES(shm_latest_read(all.latest, buffer), 1);
    FAILS(shm_ring_release(all.ring, message), EPERM);
    FAILS(shm_ring_recv(all.ring, buffer, sizeof buffer, 0), EBUSY);
    FAILS(shm_ring_send(all.ring, "a", 1, 0), EBUSY);
    FAILS(shm_ring_commit(many, slot, 8), EPERM);
    FAILS(shm_ring_abort(many, slot), EPERM);
    FAILS(shm_ring_send(many, "a", 1, 0), EAGAIN);
    FAILS(shm_ring_send(many, "a", 1, time), ETIMEDOUT);
    close_objects(all);
    QUIET(shm_ring_close(many));
}

static void forked(void)
{
    char *memory, buffer[64];
    struct shm_message message;
    struct shm_slot slot;
    int id = private_segment(16384, &memory);
    struct objects all = open_objects(id, 8, 64, 0);
    struct shm_ring *many;

    OPENS(many, shm_ring_open_at(AT(id, 12288), 256, SHMKEY_MANY_SENDERS, MAKE));
    WORKS(shm_mutex_lock(all.mutex, 0));
    WORKS(shm_latest_publish(all.latest, "parent's"));
    WORKS(shm_ring_send(all.ring, "hello", 5, 0));
    GIVES(shm_ring_peek(all.ring, &message, 0), 5);
    WORKS(shm_ring_reserve(many, 8, &slot, 0));
    CHILD {
        in_the_child(all, many, &message, &slot);
    }
    wait_for_child();
    GIVES(shm_semaphore_value(all.semaphore), 0);
    WORKS(shm_mutex_unlock(all.mutex));
    WORKS(shm_latest_publish(all.latest, "parent's"));
    WORKS(shm_ring_release(all.ring, &message));
    memset(slot.data, 'm', 8);
    WORKS(shm_ring_commit(many, &slot, 8));
    GIVES(shm_ring_recv(many, buffer, sizeof buffer, 0), 8);
    CHECK(memcmp(buffer, "mmmmmmmm", 8) == 0);
    close_objects(all);
    QUIET(shm_ring_close(many));
    WORKS(shm_detach(memory));
}

static uint64_t random_state = 88172645463325252u;

static uint64_t random_number(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* A call on an object whose bytes were overwritten fails with an errno, or works and leaves errno alone, but does not crash. */
#define SURVIVES(call)                                                                                                 \
    do {                                                                                                               \
        int failed;                                                                                                    \
        errno = 4242;                                                                                                  \
        failed = (call) == -1;                                                                                         \
        check(failed ? errno != 4242 && errno > 0 : errno == 4242, #call " fails or works", __LINE__);                 \
    } while (0)

/* Overwrites a few bytes of an object, or all of them, but for its header. */
static void overwrite(char *memory)
{
    const size_t places[] = {0, 2048, 4096, 8192};
    int whole = random_number() % 50 == 0;
    size_t words = places[random_number() % 4] + 512, count = whole ? 1024 : 1 + random_number() % 8;
    size_t at = words + (whole ? 0 : random_number() % 1024);

    for (size_t b = 0; b < count; b++) {
        memory[at + b] = (char) (random_number() % 3 == 0 ? 0xff : random_number());
    }
}

/* Calls every function of each object. */
static void use(struct objects all)
{
    static char buffer[2000];
    static struct shm_message message;
    struct shm_slot slot;
    size_t lengths[5];

    SURVIVES(shm_semaphore_post(all.semaphore));
    SURVIVES(shm_semaphore_wait(all.semaphore, 0));
    SURVIVES(shm_semaphore_value(all.semaphore));
    SURVIVES(shm_mutex_lock(all.mutex, 0));
    SURVIVES(shm_mutex_unlock(all.mutex));
    SURVIVES(shm_latest_publish(all.latest, buffer));
    SURVIVES(shm_latest_read_newer(all.latest, (int64_t) random_number(), buffer, 0));
    SURVIVES(shm_latest_version(all.latest));
    SURVIVES(shm_ring_send(all.ring, buffer, (size_t) (random_number() % 900), 0));
    SURVIVES(shm_ring_recv(all.ring, buffer, sizeof buffer, 0));
    SURVIVES(shm_ring_peek(all.ring, &message, 0));
    SURVIVES(shm_ring_release(all.ring, &message));
    SURVIVES(shm_ring_recv_batch(all.ring, buffer, sizeof buffer, lengths, 5, 0));
    SURVIVES(shm_ring_used(all.ring));
    SURVIVES(shm_ring_dropped(all.ring));
    if (shm_ring_reserve(all.ring, 10, &slot, 0) == 0) {
        SURVIVES(shm_ring_commit(all.ring, &slot, 10));
    }
}

static void overwritten(int rounds)
{
    char *memory, value[100];
    int id = private_segment(16384, &memory);

    memset(value, 'x', sizeof value);
    for (int round = 0; round < rounds; round++) {
        struct objects all;

        memset(memory, 0, 16384);
        all = open_objects(id, sizeof value, 1000, round % 4 << 16);
        WORKS(shm_ring_send(all.ring, value, 100, 0));
        WORKS(shm_latest_publish(all.latest, value));
        WORKS(shm_semaphore_post(all.semaphore));
        for (int i = 0; i < 200; i++) {
            overwrite(memory);
            use(all);
        }
        close_objects(all);
    }
    WORKS(shm_detach(memory));
}

/* The same for a broadcast. */
static void overwritten_broadcast(int rounds)
{
    char *memory, buffer[2000];
    struct shm_message message = {NULL, 0, 0};
    struct shm_slot slot = {NULL, 0, 0};
    size_t lengths[5];
    int id = private_segment(8192, &memory);
    struct shm_broadcast *broadcast;

    memset(buffer, 'x', sizeof buffer);
    for (int round = 0; round < rounds; round++) {
        memset(memory, 0, 8192);
        OPENS(broadcast, shm_broadcast_open_at(AT(id, 0), 1000, round % 2 ? SHMKEY_LOSSY : 0, MAKE));
        WORKS(shm_broadcast_subscribe(broadcast, 0));
        WORKS(shm_broadcast_publish(broadcast, buffer, 100, 0));
        for (int i = 0; i < 200; i++) {
            /* A few bytes behind the header, or all of the object's own words. */
            int whole = random_number() % 50 == 0;
            size_t count = whole ? 512 : 1 + random_number() % 8;
            size_t at = 512 + (whole ? 0 : random_number() % (random_number() % 2 ? 500 : 6000));

            for (size_t b = 0; b < count; b++) {
                memory[at + b] = (char) (random_number() % 3 == 0 ? 0xff : random_number());
            }
            SURVIVES(shm_broadcast_publish(broadcast, buffer, (size_t) (random_number() % 900), 0));
            SURVIVES(shm_broadcast_recv(broadcast, buffer, sizeof buffer, 0));
            SURVIVES(shm_broadcast_peek(broadcast, &message, 0));
            SURVIVES(shm_broadcast_release(broadcast, &message));
            SURVIVES(shm_broadcast_recv_batch(broadcast, buffer, sizeof buffer, lengths, 5, 0));
            SURVIVES(shm_broadcast_used(broadcast));
            SURVIVES(shm_broadcast_missed(broadcast));
            SURVIVES(shm_broadcast_subscribers(broadcast));
            if (shm_broadcast_reserve(broadcast, 300, &slot, 0) == 0) {
                SURVIVES(shm_broadcast_commit(broadcast, &slot, 10));
            }
            SURVIVES(shm_broadcast_subscribe(broadcast, (int) (random_number() % 2)));
        }
        QUIET(shm_broadcast_close(broadcast));
    }
    WORKS(shm_detach(memory));
}

int main(int count, char **arguments)
{
    (void) arguments;
    no_object();
    no_name(count > 2);
    no_memory();
    no_memory_for_a_broadcast();
    timeouts();
    order();
    forked();
    overwritten(count > 2 ? 8 : 100);
    overwritten_broadcast(count > 2 ? 4 : 40);
    return wrong;
}
