/*
 * What the sentence of a refused call names: the call, the kind of object, its name, and what is wrong with which argument. Prints what is
 * wrong, nothing if all is right. It is given a name that is its own.
 */
#define _GNU_SOURCE
#include "check.h"
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>

#define MAKE (SHMKEY_CREATE | 0600)
#define SAYS(words) check(strstr(shm_last_error(), words) != NULL, "the sentence has: " words, __LINE__)
#define LACKS(words) check(strstr(shm_last_error(), words) == NULL, "the sentence has not: " words, __LINE__)
/* The call fails with this errno, and its sentence begins and goes on like this. */
#define REFUSES(call, number, subject, words) REFUSED((call) == -1, #call, number, #number, subject, words)
#define REFUSES_NULL(call, number, subject, words) REFUSED((call) == NULL, #call, number, #number, subject, words)
#define REFUSED(condition, call, number, errno_name, subject, words)                                                   \
    do {                                                                                                               \
        FAILS_NAMED(condition, call, number, errno_name);                                                              \
        check(strncmp(shm_last_error(), subject, strlen(subject)) == 0, call ": the sentence begins as it should", __LINE__); \
        SAYS(words);                                                                                                   \
    } while (0)

static const char *name;

/* Opening says what was to be opened, whatever is in the way. */
static void opening(void)
{
    struct shm_place place = SHMKEY_PLACE_INIT;
    char subject[300], too_long[5000];
    int id = shm_open_private(4096, 0600);
    char *bytes;

    snprintf(subject, sizeof subject, "latest value \"%s\": ", name);
    REFUSES_NULL(shm_latest_open(name, 8, NULL, 0), ENOENT, subject, "shmget(key ");
    REFUSES_NULL(shm_latest_open(name, 8, NULL, SHMKEY_READ_ONLY), ENOENT, subject, "shmget(key ");
    REFUSES_NULL(shm_latest_open(name, (size_t) 1 << 62, NULL, MAKE), EINVAL, subject, "size");
    REFUSES_NULL(shm_latest_open(name, (size_t) -1, NULL, MAKE), EINVAL, subject, "18446744073709551615 bytes is too large");
    /* The error has the caller's size, even if it is the header that makes the segment too large. */
    REFUSES_NULL(shm_latest_open(name, ((size_t) 1 << 63) - 300, NULL, MAKE), EINVAL, subject, "9223372036854775508 bytes is too large");
    REFUSES_NULL(shm_latest_open(name, 8, "\xff", MAKE), EINVAL, subject, "UTF-8");
    REFUSES_NULL(shm_latest_open(name, 8, (const char *) 8, MAKE), EFAULT, subject, "the layout is an invalid pointer");
    REFUSES_NULL(shm_latest_open(name, 8, NULL, SHMKEY_CREATE), EINVAL, subject, "0600");
    REFUSES_NULL(shm_latest_open(name, 8, NULL, MAKE | SHMKEY_EXCLUSIVE), EINVAL, subject, "SHMKEY_EXCLUSIVE is a flag of a segment");
    REFUSES_NULL(shm_latest_open(name, 8, NULL, MAKE | SHMKEY_DROP_OLDEST), EINVAL, subject, "options");
    snprintf(subject, sizeof subject, "reader-writer lock \"%s\": ", name);
    REFUSES_NULL(shm_rwlock_open(name, (size_t) -5000, NULL, MAKE), EINVAL, subject, "18446744073709546616 bytes is too large");
    snprintf(subject, sizeof subject, "mutex \"%s\": ", name);
    REFUSES_NULL(shm_mutex_open(name, 8, NULL, SHMKEY_READ_ONLY), EACCES, subject, "SHMKEY_READ_ONLY");
    snprintf(subject, sizeof subject, "semaphore \"%s\": ", name);
    REFUSES_NULL(shm_semaphore_open(name, 1u << 31, MAKE), EOVERFLOW, subject, "2147483648");
    snprintf(subject, sizeof subject, "ring \"%s\": ", name);
    REFUSES_NULL(shm_ring_open(name, 63, 0, MAKE), EINVAL, subject, "the capacity of a ring is 64 to ");
    REFUSES_NULL(shm_ring_open(name, 0, 0, MAKE), ENOENT, subject, "needs a capacity");
    REFUSES_NULL(shm_ring_open(name, 64, 0600, MAKE), EINVAL, subject, "the last argument");
    place.name = name;
    place.timeout = -2;
    REFUSES_NULL(shm_ring_open_at(&place, 64, 0, MAKE), EINVAL, subject, "-2");
    place.timeout = 0;
    place.owner = geteuid() + 1;
    REFUSES_NULL(shm_ring_open_at(&place, 64, 0, MAKE), EINVAL, subject, "another user");

    /* Without a name. */
    REFUSES_NULL(shm_mutex_open(NULL, 8, NULL, MAKE), EFAULT, "mutex: ", "the name is NULL");
    REFUSES_NULL(shm_mutex_open("", 8, NULL, MAKE), EINVAL, "mutex: ", "empty");
    REFUSES_NULL(shm_mutex_open_at(NULL, 8, NULL, MAKE), EFAULT, "mutex: ", "the place is NULL");
    REFUSES_NULL(shm_mutex_open_at(&(struct shm_place) SHMKEY_PLACE_INIT, 8, NULL, MAKE), EINVAL, "mutex: ", "no segment");
    REFUSES_NULL(shm_mutex_open_at(BY_FILE("/no/such/file", 1), 8, NULL, MAKE), ENOENT, "mutex: ", "ftok(\"/no/such/file\")");
    REFUSES_NULL(shm_mutex_open_at(AT(id, 32), 8, NULL, MAKE), EINVAL, "mutex: ", "multiple of 64");
    REFUSES_NULL(shm_mutex_open_at(AT(id, 4096), 8, NULL, MAKE), EINVAL, "mutex: open(id ", "at offset 4096");

    /* Names have one limit, and one errno. */
    memset(too_long, 'a', sizeof too_long);
    too_long[sizeof too_long - 1] = '\0';
    REFUSES_NULL(shm_mutex_open(too_long, 8, NULL, MAKE), EINVAL, "mutex: ", "at most 256 bytes");
    REFUSES_NULL(shm_mutex_open(name, 8, too_long, MAKE), EINVAL, "mutex ", "at most 128 bytes");
    too_long[257] = '\0';
    REFUSES_NULL(shm_mutex_open(too_long, 8, NULL, MAKE), EINVAL, "mutex \"aaa", "at most 256 bytes");

    /* Bytes at an offset have neither a key nor a name, and their segment is not theirs alone. */
    OPENS(bytes, shm_attach(id, 0));
    bytes[1024] = 1;
    place = *AT(id, 1024);
    place.timeout = 0;
    REFUSES_NULL(shm_mutex_open_at(&place, 8, NULL, MAKE), EMEDIUMTYPE, "mutex (id ", "offset 1024 are neither 0 nor an object");
    LACKS("take another name");
    LACKS("removing it");
    /* Nothing is there: whatever the timeout is, no process has begun to create it. */
    place.offset = 2048;
    place.timeout = SHMKEY_FOREVER;
    REFUSES_NULL(shm_mutex_open_at(&place, 8, NULL, 0), ENOENT, "mutex (id ", "open: ENOENT: no object is there");
    REFUSES_NULL(shm_latest_open_at(&place, 8, NULL, SHMKEY_READ_ONLY), ENOENT, "latest value (id ", "without SHMKEY_READ_ONLY");
    REFUSES_NULL(shm_ring_open_at(&place, 0, 0, MAKE), ENOENT, "ring (id ", "the capacity 0 opens one that exists");
    place.offset = 4096 - 64;
    REFUSES_NULL(shm_mutex_open_at(&place, 8, NULL, MAKE), EINVAL, "mutex: ", "do not fit into the segment");
    REFUSES_NULL(shm_latest_open(name, 8, NULL, MAKE | SHMKEY_READ_ONLY), ENOENT, "latest value ", "does not create it");
    REFUSES_NULL(shm_ring_open(name, (size_t) 1 << 44, 0, MAKE), EINVAL, "ring ", "is 64 to 17592186044415 bytes");
    REFUSES_NULL(shm_broadcast_open(name, (size_t) 1 << 44, 0, MAKE), EINVAL, "broadcast ", "is 64 to 17592186044336 bytes");
    /* An option in the wrong place. */
    REFUSES_NULL(shm_ring_open(name, 64, SHMKEY_LOSSY, MAKE), EINVAL, "ring ", "it is an option of shm_broadcast_open()");
    REFUSES(shm_open_name(name, 64, MAKE | SHMKEY_MANY_SENDERS), EINVAL, "", "it is an option of shm_ring_open()");
    WORKS(shm_detach(bytes));
    WORKS(shm_remove(id));
}

/* A sentence has the names of shmkey.h, and numbers as C writes them. */
static void names(void)
{
    char bytes[64];
    int id;

    REFUSES(shm_open_name(name, 0, 0), ENOENT, "shmget(key ", "ask to create it (SHMKEY_CREATE)");
    LACKS("IPC_CREAT");
    CHECK((id = shm_open_name(name, 64, MAKE)) >= 0);
    REFUSES(shm_open_name(name, 64, MAKE | SHMKEY_EXCLUSIVE), EEXIST, "shmget(key ", "open it without SHMKEY_EXCLUSIVE");
    LACKS("IPC_EXCL");
    REFUSES(shm_open_name(name, 64, 0115 << 21), EINVAL, "shmget: ", "the flags 01150000000 have no meaning here");
    REFUSES(shm_open_name(name, 64, SHMKEY_CREATE), EINVAL, "shmget: ", "as in SHMKEY_CREATE | 0600");
    REFUSES(shm_set_mode(id, 600), EINVAL, "mode: ", "the decimal number 600 is 1130 in octal; a mode is an octal number");
    REFUSES(shm_set_mode(id, 01000), EINVAL, "mode: ", "0 to 0777");
    LACKS("0o");
    REFUSES_NULL(shm_attach(-1, 0), EINVAL, "shmat(id -1): ", "the id -1 is what a failed open function returns");
    REFUSES(shm_detach(NULL), EINVAL, "shmdt(0x0): ", "the address is NULL, which shm_attach() returns on failure");
    REFUSES(shm_detach(bytes), EINVAL, "shmdt(0x", "pass the address that shm_attach() returned");
    WORKS(shm_remove(id));
}

/* A structure of zeroes is the start of the segment 0, which a namespace of its own does not have. */
static void zeroes(void)
{
    struct shm_place place;
    int status;

    memset(&place, 0, sizeof place);
    fflush(stdout);
    if (fork() == 0) {
        if (unshare(CLONE_NEWIPC) == 0) {
            REFUSES_NULL(shm_mutex_open_at(&place, 8, NULL, MAKE), EINVAL, "mutex: shmat(id 0): ", "SHMKEY_PLACE_INIT");
            fflush(stdout);
        }
        _exit(wrong);
    }
    CHECK(wait(&status) > 0 && status == 0);
}

/* A handle that is NULL, and what is wrong with the arguments of one that is not. */
static void arguments(void)
{
    struct shm_latest *latest;
    struct shm_mutex *mutex;
    struct shm_semaphore *semaphore;
    struct shm_ring *ring;
    struct shm_broadcast *broadcast;
    struct shm_waitable waitables[2];
    struct shm_slot slot;
    struct shm_message message;
    struct shm_bytes no_bytes = {NULL, 8};
    size_t lengths[2];
    char bytes[64] = {0};
    int64_t none = 0;
    int id = shm_open_private(32768, 0600);

    REFUSES(shm_latest_publish(NULL, bytes), EFAULT, "shm_latest_publish: ", "the handle is NULL");
    REFUSES(shm_latest_read_newer(NULL, 0, bytes, 0), EFAULT, "shm_latest_read_newer: ", "the handle is NULL");
    REFUSES(shm_mutex_lock(NULL, 0), EFAULT, "shm_mutex_lock: ", "the handle is NULL");
    REFUSES(shm_mutex_unlock(NULL), EFAULT, "shm_mutex_unlock: ", "the handle is NULL");
    REFUSES(shm_semaphore_wait(NULL, 0), EFAULT, "shm_semaphore_wait: ", "the handle is NULL");
    REFUSES(shm_ring_send(NULL, bytes, 1, 0), EFAULT, "shm_ring_send: ", "the handle is NULL");
    REFUSES(shm_ring_recv(NULL, bytes, 1, 0), EFAULT, "shm_ring_recv: ", "the handle is NULL");
    REFUSES(shm_ring_removed(NULL), EFAULT, "shm_ring_removed: ", "the handle is NULL");

    OPENS(latest, shm_latest_open_at(AT(id, 0), 8, NULL, MAKE));
    OPENS(mutex, shm_mutex_open_at(AT(id, 2048), 8, NULL, MAKE));
    OPENS(semaphore, shm_semaphore_open_at(AT(id, 4096), 0, MAKE));
    OPENS(ring, shm_ring_open_at(AT(id, 6144), 64, 0, MAKE));
    REFUSES(shm_latest_publish(latest, NULL), EFAULT, "latest value (id ", "publish: EFAULT: the buffer is NULL");
    REFUSES(shm_latest_read(latest, NULL), EFAULT, "latest value (id ", "read: EFAULT: the buffer is NULL");
    /* What cannot end well does not begin to wait, and takes no role. */
    REFUSES(shm_latest_read_newer(latest, none, NULL, SHMKEY_MILLISECONDS(1)), EFAULT, "latest value (id ", "the buffer is NULL");
    REFUSES(shm_latest_read_newer(latest, 0, bytes, -2), EINVAL, "latest value (id ", "the timeout is -2");
    REFUSES(shm_mutex_lock(mutex, -2), EINVAL, "mutex (id ", "lock: EINVAL: the timeout is -2");
    REFUSES(shm_semaphore_wait(semaphore, -3), EINVAL, "semaphore (id ", "wait: EINVAL: the timeout is -3");
    REFUSES(shm_ring_send(ring, NULL, 8, 0), EFAULT, "ring (id ", "send: EFAULT: the buffer is NULL");
    REFUSES(shm_ring_send(ring, bytes, 8, -2), EINVAL, "ring (id ", "send: EINVAL: the timeout is -2");
    REFUSES(shm_ring_send_batch(ring, NULL, 1, 0), EFAULT, "ring (id ", "send: EFAULT: the array is NULL");
    REFUSES(shm_ring_send_batch(ring, &no_bytes, (size_t) -1, 0), EINVAL, "ring (id ", "structures do not fit into memory");
    REFUSES(shm_ring_send_batch(ring, &no_bytes, 1, -2), EINVAL, "ring (id ", "the timeout is -2");
    REFUSES(shm_ring_reserve(ring, 8, &slot, -2), EINVAL, "ring (id ", "reserve: EINVAL: the timeout is -2");
    REFUSES(shm_ring_recv(ring, NULL, 8, 0), EFAULT, "ring (id ", "receive: EFAULT: the buffer is NULL");
    REFUSES(shm_ring_recv(ring, bytes, 8, -2), EINVAL, "ring (id ", "receive: EINVAL: the timeout is -2");
    REFUSES(shm_ring_recv_batch(ring, bytes, 8, NULL, 2, 0), EFAULT, "ring (id ", "receive: EFAULT: the array is NULL, and its count is 2");
    REFUSES(shm_ring_recv_batch(ring, bytes, 8, lengths, 2, -2), EINVAL, "ring (id ", "the timeout is -2");
    REFUSES(shm_ring_recv_batch(ring, bytes, 8, lengths, (size_t) -1, 0), EINVAL, "ring (id ", "structures do not fit into memory");
    REFUSES(shm_ring_peek(ring, &message, -2), EINVAL, "ring (id ", "receive in place: EINVAL: the timeout is -2");
    /* A size or a number that no memory has is that of a message that is too long, or of too many structures. */
    REFUSES(shm_ring_send(ring, bytes, (size_t) -1, 0), EMSGSIZE, "ring (id ", "capacity is 64 bytes");
    REFUSES(shm_ring_send_batch(ring, &no_bytes, (size_t) -1 / sizeof(no_bytes), 0), EINVAL, "ring (id ", "structures do not fit into memory");
    REFUSES(shm_ring_recv_batch(ring, bytes, 8, lengths, (size_t) -1 / sizeof(size_t), 0), EINVAL, "ring (id ", "structures do not fit into memory");
    /* The object that cannot be waited for is named by its index. */
    waitables[0] = (struct shm_waitable) {.semaphore = semaphore};
    waitables[1] = (struct shm_waitable) {0};
    REFUSES(shm_wait_any(waitables, 2, 0), EINVAL, "shm_wait_any: ", "element 1 of the objects has no handle");
    waitables[0].semaphore = NULL;
    waitables[0].ring = ring;
    waitables[1].ring = ring;
    REFUSES(shm_wait_any(waitables, 2, 0), EINVAL, "shm_wait_any: ", "element 1 of the objects has the same handle as an earlier element");
    waitables[0] = (struct shm_waitable) {.semaphore = semaphore};
    REFUSES(shm_wait_any(waitables, 1, -2), EINVAL, "shm_wait_any: ", "the timeout is -2");
    REFUSES(shm_wait_any(waitables, 0, 0), EINVAL, "wait for several objects: ", "one call waits for 1 to 128 objects, and not for 0");
    REFUSES(shm_wait_any(waitables, 1, 0), EAGAIN, "wait for several objects: ", "none of the objects is ready");
    REFUSES(shm_wait_any(waitables, 1, 1), ETIMEDOUT, "wait for several objects: ", "none of the objects was ready");
    OPENS(broadcast, shm_broadcast_open_at(AT(id, 10240), 64, 0, MAKE));
    waitables[1] = (struct shm_waitable) {.broadcast = broadcast};
    REFUSES(shm_wait_any(waitables, 2, 0), EPERM, "broadcast (id ", "wait: EPERM: this handle is not subscribed");
    shm_broadcast_close(broadcast);
    REFUSES_NULL(shm_broadcast_open_at(AT(id, 10240), 64, 0, SHMKEY_READ_ONLY), EACCES, "broadcast (id ", "the broadcast is lossless");
    /* None of these has taken a role. */
    REFUSES(shm_ring_recv(ring, bytes, 8, 0), EAGAIN, "ring (id ", "no process is the sender");
    REFUSES(shm_ring_send_batch(ring, &no_bytes, 1, 0), EFAULT, "ring (id ", "send: EFAULT: the buffer is NULL");
    shm_latest_close(latest);
    shm_mutex_close(mutex);
    shm_semaphore_close(semaphore);
    shm_ring_close(ring);
    WORKS(shm_remove(id));
}

/* What the handle does not hold any more is named, and so is the handle that has a role. */
static void held(void)
{
    struct shm_ring *ring, *other;
    struct shm_broadcast *broadcast;
    struct shm_slot slot;
    struct shm_message message;
    int id = shm_open_private(4096, 0600);

    OPENS(ring, shm_ring_open_at(AT(id, 0), 128, 0, MAKE));
    OPENS(other, shm_ring_open_at(AT(id, 0), 128, 0, 0));
    WORKS(shm_ring_reserve(ring, 8, &slot, 0));
    REFUSES(shm_ring_send(other, "x", 1, 0), EBUSY, "ring (id ", "another handle of this process is the sender");
    WORKS(shm_ring_commit(ring, &slot, 8));
    REFUSES(shm_ring_commit(ring, &slot, 8), EPERM, "ring (id ", "commit: EPERM: the slot is not reserved any more");
    REFUSES(shm_ring_abort(ring, &slot), EPERM, "ring (id ", "abort: EPERM: the slot is not reserved any more");
    GIVES(shm_ring_peek(ring, &message, 0), 8);
    REFUSES(shm_ring_peek(other, &message, 0), EBUSY, "ring (id ", "another handle of this process is the receiver");
    WORKS(shm_ring_release(ring, &message));
    REFUSES(shm_ring_release(ring, &message), EPERM, "ring (id ", "release: EPERM: the message is not peeked any more");
    REFUSES_NULL(shm_ring_open_at(AT(id, 0), 128, SHMKEY_MANY_SENDERS, 0), EPROTO, "ring (id ", "for many senders");
    LACKS("layout");
    shm_ring_close(other);
    shm_ring_close(ring);
    WORKS(shm_remove(id));

    /* A call that peeks or receives ends an earlier access, whatever is wrong with its arguments. */
    id = shm_open_private(16384, 0600);
    OPENS(ring, shm_ring_open_at(AT(id, 0), 128, SHMKEY_MANY_SENDERS, MAKE));
    OPENS(other, shm_ring_open_at(AT(id, 0), 128, SHMKEY_MANY_SENDERS, 0));
    WORKS(shm_ring_send(ring, "x", 1, 0));
    GIVES(shm_ring_peek(ring, &message, 0), 1);
    REFUSES(shm_ring_peek(ring, NULL, 0), EFAULT, "ring (id ", "the pointer to a message is NULL");
    REFUSES(shm_ring_release(ring, &message), EPERM, "ring (id ", "not peeked any more");
    WORKS(shm_ring_reserve(ring, 8, &slot, 0));
    REFUSES(shm_ring_send(other, "x", 1, 0), EDEADLK, "ring (id ", "this thread has a slot reserved with another handle");
    WORKS(shm_ring_abort(ring, &slot));
    shm_ring_close(other);
    shm_ring_close(ring);
    OPENS(broadcast, shm_broadcast_open_at(AT(id, 8192), 64, 0, MAKE));
    WORKS(shm_broadcast_subscribe(broadcast, 0));
    WORKS(shm_broadcast_publish(broadcast, "x", 1, 0));
    GIVES(shm_broadcast_peek(broadcast, &message, 0), 1);
    REFUSES(shm_broadcast_peek(broadcast, NULL, 0), EFAULT, "broadcast (id ", "the pointer to a message is NULL");
    REFUSES(shm_broadcast_release(broadcast, &message), EPERM, "broadcast (id ", "not peeked any more");
    shm_broadcast_close(broadcast);
    WORKS(shm_remove(id));
}

/* Who may not write says by which mode. */
static void read_only(void)
{
    struct shm_latest *latest;
    char bytes[8] = {0};
    int status, id = shm_open_private(4096, 0600);

    OPENS(latest, shm_latest_open_at(AT(id, 0), 8, NULL, MAKE));
    shm_latest_close(latest);
    OPENS(latest, shm_latest_open_at(AT(id, 0), 8, NULL, SHMKEY_READ_ONLY));
    REFUSES(shm_latest_publish(latest, bytes), EACCES, "latest value (id ", "opened for reading only");
    WORKS(shm_set_mode(id, 0444));
    fflush(stdout);
    if (fork() == 0) {
        if (geteuid() != 0 || (setgid(12345) == 0 && setuid(12345) == 0)) {
            OPENS(latest, shm_latest_open_at(AT(id, 0), 8, NULL, 0));
            REFUSES(shm_latest_publish(latest, bytes), EACCES, "latest value (id ", "has mode 0444: ");
            SAYS("shm_set_mode()");
            REFUSES_NULL(shm_mutex_open_at(AT(id, 1024), 8, NULL, 0), EACCES, "mutex (id ", "has mode 0444: ");
            fflush(stdout);
        }
        _exit(wrong);
    }
    CHECK(wait(&status) > 0 && status == 0);
    WORKS(shm_remove(id));
}

int main(int count, char **arguments_given)
{
    name = arguments_given[count - 1];
    opening();
    names();
    zeroes();
    arguments();
    held();
    read_only();
    return wrong;
}
