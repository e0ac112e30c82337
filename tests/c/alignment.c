/*
 * The weakest alignment that the header allows: buffers of the caller at every address, messages of every length, and objects at every
 * multiple of 64 in a segment. No call may write beside them. Prints what is wrong, and nothing if all is right.
 *
 * It makes private segments only.
 */
#define _GNU_SOURCE
#include "check.h"

#define LONGEST 16450
#define CAPACITY 40000

/* Room for the longest message at any of 8 misalignments, with a byte on both sides. */
static char from[LONGEST + 16], to[LONGEST + 16];

static void fill(char *bytes, size_t size, size_t seed)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char) ((i * 31 + seed * 17 + i / 256) & 0xff);
    }
}

/* A buffer at an odd address whose neighbours are watched. */
static char *empty(size_t shift, size_t size)
{
    memset(to, 0x5a, sizeof to);
    memset(to + 1 + shift, 0, size);
    return to + 1 + shift;
}

static int beside(size_t shift, size_t size)
{
    return to[shift] == 0x5a && to[1 + shift + size] == 0x5a;
}

/* Every length that is tried: all small ones, and those around a page and a piece. */
static size_t next(size_t size)
{
    return size == 200 ? 4080 : size == 4110 ? 16384 - 40 : size == 16384 + 40 ? LONGEST + 1 : size + 1;
}

static void ring(int id, size_t offset, int options)
{
    struct shm_ring *ring;
    struct shm_message message;
    size_t length;
    struct shm_slot slot;

    OPENS(ring, shm_ring_open_at(AT(id, offset), CAPACITY, options, MAKE));
    for (size_t size = 0; size <= LONGEST; size = next(size)) {
        for (size_t shift = 0; shift < 8; shift += size < 200 ? 1 : 3) {
            const char *bytes = from + 1 + shift;
            struct shm_bytes batch = {bytes, size};
            ptrdiff_t expected = (ptrdiff_t) size;

            fill(from + 1 + shift, size, size + shift);
            WORKS(shm_ring_send(ring, bytes, size, 0));
            GIVES(shm_ring_recv(ring, empty(7 - shift, size), size, 0), expected);
            CHECK(beside(7 - shift, size) && memcmp(to + 8 - shift, bytes, size) == 0);

            GIVES(shm_ring_send_batch(ring, &batch, 1, 0), 1);
            GIVES(shm_ring_peek(ring, &message, 0), expected);
            CHECK((uintptr_t) message.data % 8 == 0 && message.size == size && memcmp(message.data, bytes, size) == 0);
            WORKS(shm_ring_release(ring, &message));

            WORKS(shm_ring_reserve(ring, size, &slot, 0));
            CHECK((uintptr_t) slot.data % 8 == 0 && slot.size == size);
            memcpy(slot.data, bytes, size);
            WORKS(shm_ring_commit(ring, &slot, size));
            GIVES(shm_ring_recv_batch(ring, empty(shift, size), size, &length, 1, 0), 1);
            CHECK(length == size && beside(shift, size) && memcmp(to + 1 + shift, bytes, size) == 0);
        }
    }
    GIVES(shm_ring_used(ring), 0);
    QUIET(shm_ring_close(ring));
}

static void latest(int id, char *memory, size_t offset, size_t size)
{
    struct shm_latest *latest;
    size_t stride = size == 0 ? 64 : (size + 63) / 64 * 64;
    size_t total = 1024 + stride * (size <= 256 ? 4 : 2);

    memset(memory + offset - 1, 0x5a, total + 2);
    memset(memory + offset, 0, total);
    OPENS(latest, shm_latest_open_at(AT(id, offset), size, NULL, MAKE));
    for (size_t shift = 0; shift < 8; shift += size < 200 ? 1 : 3) {
        int64_t version = (int64_t) (shift / (size < 200 ? 1 : 3)) * 2 + 1;

        fill(from + 1 + shift, size, size + shift);
        WORKS(shm_latest_publish(latest, from + 1 + shift));
        GIVES(shm_latest_read(latest, empty(7 - shift, size)), version);
        CHECK(beside(7 - shift, size) && memcmp(to + 8 - shift, from + 1 + shift, size) == 0);
        WORKS(shm_latest_publish(latest, from + 1 + shift));
        GIVES(shm_latest_read_newer(latest, version, empty(shift, size), 0), version + 1);
        CHECK(beside(shift, size) && memcmp(to + 1 + shift, from + 1 + shift, size) == 0);
    }
    QUIET(shm_latest_close(latest));
    CHECK(memory[offset - 1] == 0x5a && memory[offset + total] == 0x5a);
}

static void mutex(int id, char *memory, size_t offset, size_t size)
{
    struct shm_mutex *mutex;
    char *data;

    memset(memory + offset - 1, 0x5a, 1024 + size + 2);
    memset(memory + offset, 0, 1024 + size);
    OPENS(mutex, shm_mutex_open_at(AT(id, offset), size, NULL, MAKE));
    WORKS(shm_mutex_lock(mutex, 0));
    OPENS(data, shm_mutex_data(mutex));
    CHECK((uintptr_t) data % 64 == 0);
    memset(data, 0x77, size);
    WORKS(shm_mutex_unlock(mutex));
    QUIET(shm_mutex_close(mutex));
    CHECK(memory[offset - 1] == 0x5a && memory[offset + 1024 + size] == 0x5a);
}

int main(void)
{
    int id = shm_open_private(1 << 17, 0600);
    char *memory = shm_attach(id, 0);
    const int options[] = {0, SHMKEY_MANY_SENDERS, SHMKEY_DROP_OLDEST};

    CHECK(memory != NULL);
    WORKS(shm_remove(id));
    for (size_t i = 0; i < 3; i++) {
        memset(memory, 0, 1 << 17);
        ring(id, 64 * (i + 1), options[i]);
    }
    for (size_t size = 0; size <= LONGEST; size = next(size)) {
        latest(id, memory, 64 * (1 + size % 40), size);
        mutex(id, memory, 64 * (1 + size % 40), size);
    }
    for (size_t offset = 0; offset < 8192; offset += 64) {
        struct shm_semaphore *semaphore;

        memset(memory, 0, 16384);
        OPENS(semaphore, shm_semaphore_open_at(AT(id, offset), 1, MAKE));
        WORKS(shm_semaphore_wait(semaphore, 0));
        QUIET(shm_semaphore_close(semaphore));
    }
    WORKS(shm_detach(memory));
    return wrong;
}
