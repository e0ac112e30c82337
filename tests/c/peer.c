/*
 * One end of an object, for tests/interop: peer ROLE NAME SEED COUNT SENDER. It ends with 0 if all was right, or prints what was wrong.
 * A victim says "ready" and waits to be killed.
 */
#define _GNU_SOURCE
#include "peer.h"
#include <errno.h>
#include <shmkey.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

#define MAKE (IPC_CREAT | 0600)
#define MS ((int64_t) 1000000)
#define AGES (50000 * MS)
/* The capacity of a ring: room for all messages that are sent before the first one is received. */
#define CAPACITY 200000

static const char *name;
static uint64_t seed, count, number;

static void expect(int right, const char *what, int line)
{
    if (!right) {
        printf("peer.c:%d: %s (errno %s, %s)\n", line, what, strerrorname_np(errno), shm_last_error());
        exit(1);
    }
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)
#define FAILS(call, expected) expect((call) == -1 && errno == (expected), #call " fails with " #expected, __LINE__)

static void ready(void)
{
    printf("ready\n");
    fflush(stdout);
}

static void wait_for_death(void)
{
    ready();
    for (;;) {
        pause();
    }
}

static const char *own(const char *what)
{
    static char text[300];

    snprintf(text, sizeof text, "%s %s", name, what);
    return text;
}

static struct shm_mutex *open_mutex(void)
{
    struct shm_mutex *mutex = shm_mutex_open(name, sizeof(struct peer_value), "a value", MAKE);

    EXPECT(mutex != NULL);
    return mutex;
}

static void mutex_count(struct shm_mutex *mutex)
{
    struct peer_value *value = shm_mutex_data(mutex);

    for (uint64_t i = 0; i < count; i++) {
        EXPECT(shm_mutex_lock(mutex, AGES) == 0);
        EXPECT(value->words[0] == 0 || peer_is_whole(seed, value));
        *value = peer_value_of(seed, value->words[0] + 1);
        EXPECT(shm_mutex_unlock(mutex) == 0);
    }
    shm_mutex_close(mutex);
}

static void mutex_victim(void)
{
    struct shm_mutex *mutex = open_mutex();
    struct peer_value *value = shm_mutex_data(mutex);

    EXPECT(shm_mutex_lock(mutex, AGES) == 0);
    value->words[0] += 1;
    value->words[7] = 7;
    wait_for_death();
}

static void mutex_survivor(void)
{
    struct shm_mutex *mutex = open_mutex();
    struct peer_value *value = shm_mutex_data(mutex);

    EXPECT(shm_mutex_lock(mutex, AGES) == EOWNERDEAD);
    EXPECT(!peer_is_whole(seed, value));
    *value = peer_value_of(seed, 0);
    EXPECT(shm_mutex_consistent(mutex) == 0);
    EXPECT(shm_mutex_unlock(mutex) == 0);
    mutex_count(mutex);
}

static struct shm_rwlock *open_lock(void)
{
    struct shm_rwlock *lock = shm_rwlock_open(name, sizeof(struct peer_value), "a value", MAKE);

    EXPECT(lock != NULL);
    return lock;
}

static void lock_count(struct shm_rwlock *lock)
{
    struct peer_value *value = shm_rwlock_data(lock);

    for (uint64_t i = 0; i < count; i++) {
        EXPECT(shm_rwlock_read(lock, AGES) == 0);
        EXPECT(value->words[0] == 0 || peer_is_whole(seed, value));
        EXPECT(shm_rwlock_unlock(lock) == 0);
        EXPECT(shm_rwlock_write(lock, AGES) == 0);
        *value = peer_value_of(seed, value->words[0] + 1);
        EXPECT(shm_rwlock_unlock(lock) == 0);
    }
    shm_rwlock_close(lock);
}

static void lock_writer_victim(void)
{
    struct shm_rwlock *lock = open_lock();
    struct peer_value *value = shm_rwlock_data(lock);

    EXPECT(shm_rwlock_write(lock, AGES) == 0);
    value->words[0] += 1;
    value->words[7] = 7;
    wait_for_death();
}

static void lock_reader_victim(void)
{
    EXPECT(shm_rwlock_read(open_lock(), AGES) == 0);
    wait_for_death();
}

static void lock_survivor(void)
{
    struct shm_rwlock *lock = open_lock();
    struct peer_value *value = shm_rwlock_data(lock);

    EXPECT(shm_rwlock_read(lock, AGES) == EOWNERDEAD);
    EXPECT(shm_rwlock_unlock(lock) == 0);
    EXPECT(shm_rwlock_write(lock, AGES) == EOWNERDEAD);
    EXPECT(!peer_is_whole(seed, value));
    *value = peer_value_of(seed, 0);
    EXPECT(shm_rwlock_consistent(lock) == 0);
    EXPECT(shm_rwlock_unlock(lock) == 0);
    lock_count(lock);
}

static struct shm_condvar *open_condvar(void)
{
    struct shm_condvar *condvar = shm_condvar_open(own("ping"), MAKE);

    EXPECT(condvar != NULL);
    return condvar;
}

static void turns(void)
{
    struct shm_mutex *mutex = open_mutex();
    struct shm_condvar *changed = open_condvar();
    struct peer_value *value = shm_mutex_data(mutex);

    for (uint64_t i = 0; i < count; i++) {
        EXPECT(shm_mutex_lock(mutex, AGES) == 0);
        while (value->words[0] % 2 != number) {
            EXPECT(shm_condvar_wait(changed, mutex, AGES) == 0);
        }
        EXPECT(value->words[0] == 0 || peer_is_whole(seed, value));
        *value = peer_value_of(seed, value->words[0] + 1);
        EXPECT(shm_mutex_unlock(mutex) == 0);
        EXPECT(shm_condvar_notify_one(changed) == 0);
    }
    shm_mutex_close(mutex);
    shm_condvar_close(changed);
}

static void turns_victim(void)
{
    struct shm_mutex *mutex = open_mutex();
    struct shm_condvar *changed = open_condvar();

    EXPECT(shm_mutex_lock(mutex, AGES) == 0);
    ready();
    for (;;) {
        EXPECT(shm_condvar_wait(changed, mutex, SHMKEY_FOREVER) == 0);
    }
}

/* The dead process may have died with the mutex. */
static void turns_survivor(void)
{
    struct shm_mutex *mutex = open_mutex();
    struct shm_condvar *changed = open_condvar();

    for (uint64_t i = 0; i < count && i < 20; i++) {
        EXPECT(shm_mutex_lock(mutex, AGES) != -1 && shm_mutex_consistent(mutex) == 0);
        EXPECT(shm_condvar_notify_one(changed) == 0 && shm_condvar_notify_all(changed) == 0);
        FAILS(shm_condvar_wait(changed, mutex, MS), ETIMEDOUT);
        EXPECT(shm_mutex_unlock(mutex) == 0);
    }
    shm_mutex_close(mutex);
    shm_condvar_close(changed);
}

static struct shm_semaphore *open_semaphore(const char *what)
{
    struct shm_semaphore *semaphore = shm_semaphore_open(own(what), 0, MAKE);

    EXPECT(semaphore != NULL);
    return semaphore;
}

/* A number in a plain segment crosses in turn in both directions. */
static void semaphore_ping_pong(int first)
{
    struct shm_semaphore *ping = open_semaphore("ping"), *pong = open_semaphore("pong");
    int id = shm_open_name(own("plain"), 8, MAKE);
    uint64_t *plain = id < 0 ? NULL : shm_attach(id, 0);

    EXPECT(plain != NULL);
    for (uint64_t i = 0; i < count; i++) {
        if (first) {
            *plain = peer_mix(seed, i);
            EXPECT(shm_semaphore_post(ping) == 0);
            EXPECT(shm_semaphore_wait(pong, AGES) == 0);
            EXPECT(*plain == peer_mix(seed + 1, i));
        } else {
            EXPECT(shm_semaphore_wait(ping, AGES) == 0);
            EXPECT(*plain == peer_mix(seed, i));
            *plain = peer_mix(seed + 1, i);
            EXPECT(shm_semaphore_post(pong) == 0);
        }
    }
    shm_semaphore_close(ping);
    shm_semaphore_close(pong);
    EXPECT(shm_detach(plain) == 0);
}

static void semaphore_share(void)
{
    struct shm_semaphore *tokens = shm_semaphore_open(name, 3, MAKE);

    EXPECT(tokens != NULL);
    for (uint64_t i = 0; i < count; i++) {
        EXPECT(shm_semaphore_wait(tokens, AGES) == 0);
        EXPECT(shm_semaphore_value(tokens) <= 2);
        EXPECT(shm_semaphore_post(tokens) == 0);
    }
    shm_semaphore_close(tokens);
}

/* Takes one of three counts, and is killed while it sleeps until a count rises that no process raises. */
static void semaphore_victim(void)
{
    struct shm_semaphore *tokens = shm_semaphore_open(name, 3, MAKE);
    struct shm_semaphore *never = open_semaphore("ping");

    EXPECT(tokens != NULL && shm_semaphore_wait(tokens, AGES) == 0);
    ready();
    EXPECT(shm_semaphore_wait(never, -1) == 0);
}

static void semaphore_survivor(void)
{
    struct shm_semaphore *tokens = shm_semaphore_open(name, 3, MAKE);
    struct shm_semaphore *never = open_semaphore("ping");

    EXPECT(tokens != NULL && shm_semaphore_value(tokens) == 2);
    EXPECT(shm_semaphore_wait(tokens, AGES) == 0);
    EXPECT(shm_semaphore_wait(tokens, AGES) == 0);
    FAILS(shm_semaphore_wait(tokens, 20 * MS), ETIMEDOUT);
    for (int i = 0; i < 3; i++) {
        EXPECT(shm_semaphore_post(tokens) == 0);
    }
    EXPECT(shm_semaphore_post(never) == 0); /* the dead process takes nothing */
    EXPECT(shm_semaphore_wait(never, AGES) == 0);
    shm_semaphore_close(tokens);
    shm_semaphore_close(never);
    semaphore_share();
}

static struct shm_latest *open_latest(void)
{
    struct shm_latest *latest = shm_latest_open(name, sizeof(struct peer_value), "a value", MAKE);

    EXPECT(latest != NULL);
    return latest;
}

static void latest_publish(struct shm_latest *latest, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++) {
        struct peer_value value = peer_value_of(seed, i);

        EXPECT(shm_latest_publish(latest, &value) == 0);
        if (i % 16 == 0) {
            usleep(100);
        }
    }
}

static void latest_read(struct shm_latest *latest, uint64_t last)
{
    struct peer_value value;
    int64_t seen = 0;

    while (seen < (int64_t) last) {
        int64_t version = shm_latest_read_newer(latest, seen, &value, AGES);

        EXPECT(version > seen && value.words[0] == (uint64_t) version && peer_is_whole(seed, &value));
        seen = version;
    }
}

static void latest_publisher_victim(void)
{
    struct shm_latest *latest = open_latest();

    latest_publish(latest, 1, count);
    ready();
    for (uint64_t i = count + 1;; i++) {
        latest_publish(latest, i, i);
    }
}

static void latest_reader_survivor(void)
{
    struct shm_latest *latest = open_latest();
    struct peer_value value;
    int64_t version = shm_latest_read(latest, &value);

    EXPECT(version >= (int64_t) count && value.words[0] == (uint64_t) version && peer_is_whole(seed, &value));
    latest_publish(latest, (uint64_t) version + 1, (uint64_t) version + count);
    EXPECT(shm_latest_version(latest) == version + (int64_t) count);
    shm_latest_close(latest);
}

static void latest_reader_victim(void)
{
    struct shm_latest *latest = open_latest();
    struct peer_value value;
    int64_t version = 0;

    ready();
    for (;;) {
        version = shm_latest_read_newer(latest, version, &value, -1);
        EXPECT(version > 0 && peer_is_whole(seed, &value));
    }
}

static struct shm_ring *open_ring(int options)
{
    struct shm_ring *ring = shm_ring_open(name, CAPACITY, options, MAKE);

    EXPECT(ring != NULL);
    return ring;
}

/* Sends messages, with each of the calls in turn, from an odd address. */
static void ring_send(struct shm_ring *ring, uint64_t first, uint64_t last)
{
    static unsigned char room[2 * PEER_LONGEST + 2];
    unsigned char *message = room + 1;

    for (uint64_t i = first; i < last; i++) {
        size_t size = peer_message(seed, number, i, message);

        if (i % 3 == 0) {
            EXPECT(shm_ring_send(ring, message, size, AGES) == 0);
        } else if (i % 3 == 1) {
            struct shm_slot slot;

            EXPECT(shm_ring_reserve(ring, PEER_LONGEST, &slot, AGES) == 0);
            memcpy(slot.data, message, size);
            EXPECT(shm_ring_commit(ring, &slot, size) == 0);
        } else {
            struct shm_bytes batch[2] = {{message, size}, {message + size, 0}};

            batch[1].size = i + 1 < last ? peer_message(seed, number, i + 1, message + size) : 0;
            if (i + 1 == last) {
                EXPECT(shm_ring_send_batch(ring, batch, 1, AGES) == 1);
                continue;
            }
            for (ptrdiff_t sent = 0; sent < 2;) {
                ptrdiff_t more = shm_ring_send_batch(ring, batch + sent, 2 - (size_t) sent, AGES);

                EXPECT(more > 0);
                sent += more;
            }
            i++;
        }
    }
}

/* The next message of each sender. */
static uint64_t next_of[64];

static void expect_message(const unsigned char *message, size_t size)
{
    static unsigned char whole[PEER_LONGEST];
    uint64_t sender;

    EXPECT(size >= 16);
    memcpy(&sender, message, 8);
    EXPECT(sender < 64 && peer_message(seed, sender, next_of[sender], whole) == size);
    EXPECT(memcmp(whole, message, size) == 0);
    next_of[sender]++;
}

/* Whether other senders will come when all senders have ended. */
static int others_come;

static void wait_for_one(struct shm_ring *ring)
{
    struct shm_message message;

    while (others_come && shm_ring_peek(ring, &message, AGES) < 0) {
        EXPECT(errno == EPIPE);
        usleep(1000);
    }
}

/* Receives messages, with each of the calls in turn, to an odd address. */
static void ring_receive(struct shm_ring *ring, uint64_t messages)
{
    static unsigned char room[CAPACITY + 1];
    unsigned char *buffer = room + 1;
    size_t lengths[5];

    for (uint64_t i = 0; i < messages;) {
        struct shm_message message;
        ptrdiff_t size;

        wait_for_one(ring);
        if (i % 3 == 0) {
            size = shm_ring_recv(ring, buffer, CAPACITY, AGES);
            EXPECT(size >= 0);
            expect_message(buffer, (size_t) size);
            i++;
        } else if (i % 3 == 1) {
            size = shm_ring_peek(ring, &message, AGES);
            EXPECT(size >= 0);
            expect_message(message.data, message.size);
            EXPECT(shm_ring_release(ring, &message) == 0);
            i++;
        } else {
            size_t left = messages - i < 5 ? (size_t) (messages - i) : 5, at = 0;
            ptrdiff_t received = shm_ring_recv_batch(ring, buffer, CAPACITY, lengths, left, AGES);

            EXPECT(received > 0);
            for (ptrdiff_t m = 0; m < received; m++) {
                expect_message(buffer + at, lengths[m]);
                at += lengths[m];
            }
            i += (uint64_t) received;
        }
    }
}

static void ring_sender(int options)
{
    struct shm_ring *ring = open_ring(options);

    ring_send(ring, 0, count);
    shm_ring_close(ring);
}

static void ring_receiver(int options)
{
    struct shm_ring *ring = open_ring(options);
    char byte;

    ring_receive(ring, count);
    FAILS(shm_ring_recv(ring, &byte, 0, AGES), EPIPE);
    shm_ring_close(ring);
}

/* `count` messages of all senders together. */
static void many_receiver(void)
{
    struct shm_ring *ring = open_ring(SHMKEY_MANY_SENDERS);

    others_come = 1;
    ring_receive(ring, count);
    shm_ring_close(ring);
}

static void ring_sender_victim(int options)
{
    struct shm_slot slot;
    struct shm_ring *ring = open_ring(options);

    number = 1;
    ring_send(ring, 0, 10);
    EXPECT(shm_ring_reserve(ring, 100, &slot, AGES) == 0);
    wait_for_death();
}

static void ring_receiver_survivor(void)
{
    struct shm_ring *ring = open_ring(0);
    char byte;

    ring_receive(ring, 10);
    FAILS(shm_ring_recv(ring, &byte, 0, AGES), EOWNERDEAD);
    ring_send(ring, 0, 5); /* becomes the sender */
    ring_receive(ring, 5);
    shm_ring_close(ring);
}

/* Has received one message, and has peeked at the next one. */
static void ring_receiver_victim(void)
{
    struct shm_ring *ring = open_ring(0);
    struct shm_message message;

    ring_receive(ring, 1);
    EXPECT(shm_ring_peek(ring, &message, AGES) >= 0);
    wait_for_death();
}

static void ring_sender_survivor(void)
{
    struct shm_ring *ring = open_ring(0);
    uint64_t sent = 0;

    for (;; sent++) {
        static unsigned char room[PEER_LONGEST];
        size_t size = peer_message(seed, number, sent, room);

        if (shm_ring_send(ring, room, size, AGES) != 0) {
            EXPECT(errno == EOWNERDEAD);
            break;
        }
    }
    next_of[number] = 1; /* the message that the dead process has peeked at comes again */
    ring_receive(ring, sent - 1);
    ring_send(ring, sent, sent + 5);
    ring_receive(ring, 5);
    shm_ring_close(ring);
}

/* Another sender has died with a slot reserved. */
static void many_survivor(void)
{
    struct shm_ring *ring = open_ring(SHMKEY_MANY_SENDERS);

    for (uint64_t i = 0; i < count; i++) {
        ring_send(ring, i, i + 1);
        ring_receive(ring, i == 0 ? 11 : 1);
    }
    shm_ring_close(ring);
}

static struct shm_broadcast *open_broadcast(void)
{
    struct shm_broadcast *broadcast = shm_broadcast_open(name, CAPACITY, 0, MAKE);

    EXPECT(broadcast != NULL);
    return broadcast;
}

static void wait_for_subscribers(struct shm_broadcast *broadcast, uint64_t subscribers)
{
    while ((uint64_t) shm_broadcast_subscribers(broadcast) < subscribers) {
        usleep(1000);
    }
}

/* Publishes messages, with each of the calls in turn, from an odd address. */
static void broadcast_publish(struct shm_broadcast *broadcast, uint64_t first, uint64_t last)
{
    static unsigned char room[PEER_LONGEST + 1];
    unsigned char *message = room + 1;

    for (uint64_t i = first; i < last; i++) {
        size_t size = peer_message(seed, 0, i, message);
        struct shm_bytes bytes = {message, size};
        struct shm_slot slot;

        if (i % 3 == 0) {
            EXPECT(shm_broadcast_publish(broadcast, message, size, AGES) == 0);
        } else if (i % 3 == 1) {
            EXPECT(shm_broadcast_reserve(broadcast, PEER_LONGEST, &slot, AGES) == 0);
            memcpy(slot.data, message, size);
            EXPECT(shm_broadcast_commit(broadcast, &slot, size) == 0);
        } else {
            EXPECT(shm_broadcast_publish_batch(broadcast, &bytes, 1, AGES) == 1);
        }
    }
}

/* Receives messages, with each of the calls in turn, to an odd address. */
static void broadcast_receive(struct shm_broadcast *broadcast, uint64_t first, uint64_t last)
{
    static unsigned char room[PEER_LONGEST + 1];
    unsigned char *buffer = room + 1;

    next_of[0] = first;
    for (uint64_t i = first; i < last; i++) {
        struct shm_message message;
        size_t length;

        if (i % 3 == 0) {
            ptrdiff_t size = shm_broadcast_recv(broadcast, buffer, PEER_LONGEST, AGES);

            EXPECT(size >= 0);
            expect_message(buffer, (size_t) size);
        } else if (i % 3 == 1) {
            EXPECT(shm_broadcast_peek(broadcast, &message, AGES) >= 0);
            expect_message(message.data, message.size);
            EXPECT(shm_broadcast_release(broadcast, &message) == 0);
        } else {
            EXPECT(shm_broadcast_recv_batch(broadcast, buffer, PEER_LONGEST, &length, 1, AGES) == 1);
            expect_message(buffer, length);
        }
    }
}

static void broadcast_publisher(void)
{
    struct shm_broadcast *broadcast = open_broadcast();

    EXPECT(shm_broadcast_begin_publishing(broadcast) == 0);
    wait_for_subscribers(broadcast, number);
    broadcast_publish(broadcast, 0, count);
    shm_broadcast_close(broadcast);
}

static void broadcast_subscriber(void)
{
    struct shm_broadcast *broadcast = open_broadcast();
    char byte;

    EXPECT(shm_broadcast_subscribe(broadcast, 0) == 0);
    broadcast_receive(broadcast, 0, count);
    FAILS(shm_broadcast_recv(broadcast, &byte, 0, AGES), EPIPE);
    shm_broadcast_close(broadcast);
}

static void broadcast_publisher_victim(void)
{
    struct shm_broadcast *broadcast = open_broadcast();
    struct shm_slot slot;

    broadcast_publish(broadcast, 0, 10);
    EXPECT(shm_broadcast_reserve(broadcast, 100, &slot, AGES) == 0);
    wait_for_death();
}

static void broadcast_subscriber_survivor(void)
{
    struct shm_broadcast *broadcast = open_broadcast();
    char byte;

    EXPECT(shm_broadcast_subscribe(broadcast, SHMKEY_FROM_OLDEST) == 0);
    broadcast_receive(broadcast, 0, 10);
    FAILS(shm_broadcast_recv(broadcast, &byte, 0, AGES), EOWNERDEAD);
    broadcast_publish(broadcast, 10, 15); /* becomes the publisher */
    broadcast_receive(broadcast, 10, 15);
    shm_broadcast_close(broadcast);
}

/* Has received one message, and has peeked at the next one. */
static void broadcast_subscriber_victim(void)
{
    struct shm_broadcast *broadcast = open_broadcast();
    struct shm_message message;

    EXPECT(shm_broadcast_subscribe(broadcast, 0) == 0);
    broadcast_receive(broadcast, 0, 1);
    EXPECT(shm_broadcast_peek(broadcast, &message, AGES) >= 0);
    wait_for_death();
}

static void broadcast_publisher_survivor(void)
{
    struct shm_broadcast *broadcast = open_broadcast();

    wait_for_subscribers(broadcast, 1);
    broadcast_publish(broadcast, 0, 2000); /* more than there is room for */
    EXPECT(shm_broadcast_subscribers(broadcast) == 0);
    shm_broadcast_close(broadcast);
}

int main(int arguments, char **argument)
{
    const char *role = argument[1];

    if (arguments != 6) {
        return 2;
    }
    name = argument[2];
    seed = strtoull(argument[3], NULL, 10);
    count = strtoull(argument[4], NULL, 10);
    number = strtoull(argument[5], NULL, 10);
#define ROLE(text, act)                                                                                                \
    if (strcmp(role, text) == 0) {                                                                                     \
        act;                                                                                                           \
        return 0;                                                                                                      \
    }
    ROLE("mutex count", mutex_count(open_mutex()))
    ROLE("mutex victim", mutex_victim())
    ROLE("mutex survivor", mutex_survivor())
    ROLE("lock count", lock_count(open_lock()))
    ROLE("lock writer victim", lock_writer_victim())
    ROLE("lock reader victim", lock_reader_victim())
    ROLE("lock survivor", lock_survivor())
    ROLE("turns", turns())
    ROLE("turns victim", turns_victim())
    ROLE("turns survivor", turns_survivor())
    ROLE("semaphore first", semaphore_ping_pong(1))
    ROLE("semaphore second", semaphore_ping_pong(0))
    ROLE("semaphore share", semaphore_share())
    ROLE("semaphore victim", semaphore_victim())
    ROLE("semaphore survivor", semaphore_survivor())
    ROLE("latest publish", latest_publish(open_latest(), 1, count))
    ROLE("latest read", latest_read(open_latest(), count))
    ROLE("latest publisher victim", latest_publisher_victim())
    ROLE("latest reader survivor", latest_reader_survivor())
    ROLE("latest reader victim", latest_reader_victim())
    ROLE("ring send", ring_sender(0))
    ROLE("ring receive", ring_receiver(0))
    ROLE("ring sender victim", ring_sender_victim(0))
    ROLE("ring receiver survivor", ring_receiver_survivor())
    ROLE("ring receiver victim", ring_receiver_victim())
    ROLE("ring sender survivor", ring_sender_survivor())
    ROLE("many send", ring_sender(SHMKEY_MANY_SENDERS))
    ROLE("many receive", many_receiver())
    ROLE("many victim", ring_sender_victim(SHMKEY_MANY_SENDERS))
    ROLE("many survivor", many_survivor())
    ROLE("broadcast publish", broadcast_publisher())
    ROLE("broadcast receive", broadcast_subscriber())
    ROLE("broadcast publisher victim", broadcast_publisher_victim())
    ROLE("broadcast subscriber survivor", broadcast_subscriber_survivor())
    ROLE("broadcast subscriber victim", broadcast_subscriber_victim())
    ROLE("broadcast publisher survivor", broadcast_publisher_survivor())
    printf("there is no role %s\n", role);
    return 2;
}
