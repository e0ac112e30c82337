/*
 * The objects of the C API, well used: every function of each, and every errno that the header names, provoked. Prints what is wrong, and nothing
 * if all is right.
 *
 * It runs in a directory whose keys are its own, with a file "shmfile" in it. Its first argument is a name of its own: segments that other
 * processes must find are named "NAME WHAT" and removed at the end; all others are private. A second argument says that valgrind watches.
 */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/shm.h>
#include <sys/time.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#define MS SHMKEY_MILLISECONDS(1)

static const char *base;
static int watched;

/* A name of this run's own. */
static const char *own(const char *what)
{
    static char name[200];

    snprintf(name, sizeof name, "%s %s", base, what);
    return name;
}

/* Starts a child that does something and then waits to be killed. */
static pid_t start_child(void (*act)(void *), void *object)
{
    int done[2];
    char failed = 1;
    ssize_t got;
    pid_t child;

    CHECK(pipe(done) == 0);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        wrong = 0;
        act(object);
        fflush(stdout);
        failed = (char) wrong;
        while (write(done[1], &failed, 1) == 1) {
            pause();
        }
        _exit(1);
    }
    do {
        got = read(done[0], &failed, 1);
    } while (got == -1 && errno == EINTR);
    CHECK(child > 0 && got == 1);
    wrong |= failed;
    close(done[0]);
    close(done[1]);
    return child;
}

/* Waits until a child has ended. An alarm that was set for an earlier call may come now. */
static pid_t wait_for(pid_t child, int *status)
{
    pid_t ended;

    do {
        ended = waitpid(child, status, 0);
    } while (ended == -1 && errno == EINTR);
    return ended;
}

static void kill_child(pid_t child)
{
    int status = 0;

    CHECK(child > 0 && kill(child, SIGKILL) == 0 && wait_for(child, &status) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Does something in a child, which is then killed. */
static void in_child(void (*act)(void *), void *object)
{
    kill_child(start_child(act, object));
}

static int64_t monotonic(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return SHMKEY_SECONDS(time.tv_sec) + time.tv_nsec;
}

static void semaphores(void)
{
    struct shm_semaphore *one, *two, *in;
    char *memory;
    int64_t before;
    int id;

    FAILS_NULL(shm_semaphore_open(own("semaphore"), 0, 0), ENOENT);
    FAILS_NULL(shm_semaphore_open(own("semaphore"), 2147483648u, MAKE), EOVERFLOW);
    OPENS(one, shm_semaphore_open(own("semaphore"), 2, MAKE));
    OPENS(two, shm_semaphore_open(own("semaphore"), 7, 0));
    GIVES(shm_semaphore_value(two), 2);
    CHECK(shm_semaphore_id(one) >= 0 && shm_semaphore_id(one) == shm_semaphore_id(two));
    WORKS(shm_semaphore_post(one));
    WORKS(shm_semaphore_wait(two, 0));
    WORKS(shm_semaphore_wait(two, SOON));
    WORKS(shm_semaphore_wait(two, -1));
    FAILS(shm_semaphore_wait(two, 0), EAGAIN);
    before = monotonic();
    FAILS(shm_semaphore_wait(two, SOON), ETIMEDOUT);
    CHECK(monotonic() - before >= SOON);
    FAILS(shm_semaphore_wait(two, -2), EINVAL);
    FAILS(shm_semaphore_wait(two, INT64_MIN), EINVAL);
    WORKS(shm_semaphore_post(one));
    WORKS(shm_semaphore_wait(two, INT64_MAX));
    WORKS(shm_remove(shm_semaphore_id(one)));
    WORKS(shm_semaphore_post(one));
    WORKS(shm_semaphore_wait(two, 0)); /* processes that have it open continue */
    QUIET(shm_semaphore_close(one));
    QUIET(shm_semaphore_close(two));
    QUIET(shm_semaphore_close(NULL));

    OPENS(one, shm_semaphore_open_at(BY_FILE("shmfile", 115), 2147483646, MAKE));
    WORKS(shm_semaphore_post(one));
    FAILS(shm_semaphore_post(one), EOVERFLOW);
    GIVES(shm_semaphore_value(one), 2147483647);
    REMOVE(semaphore, one);
    FAILS_NULL(shm_semaphore_open_at(BY_FILE("no such file", 1), 0, MAKE), ENOENT);
    FAILS_NULL(shm_semaphore_open_at(BY_FILE("shmfile", 0), 0, MAKE), EINVAL);

    id = private_segment(4096, &memory);
    OPENS(in, shm_semaphore_open_at(AT(id, 3072), 1, MAKE));
    GIVES(shm_semaphore_id(in), id);
    WORKS(shm_semaphore_wait(in, 0));
    QUIET(shm_semaphore_close(in));
    OPENS(in, shm_semaphore_open_at(AT(id, 3072), 1, 0));
    GIVES(shm_semaphore_value(in), 0);
    QUIET(shm_semaphore_close(in));
    FAILS_NULL(shm_semaphore_open_at(AT(-1, 0), 1, MAKE), EINVAL);
    FAILS_NULL(shm_semaphore_open_at(AT(id, 8), 1, MAKE), EINVAL);
    CHECK(shm_semaphore_open_at(AT(id, 3136), 1, MAKE) == NULL);
    CHECK(shm_semaphore_open_at(AT(id, (size_t) -64), 1, MAKE) == NULL);
    WORKS(shm_detach(memory));
}

/* Arguments that no kind of object takes. */
static void bad_arguments(void)
{
    static char long_name[300], long_layout[130];
    const size_t too_large[] = {(size_t) -1, (size_t) LONG_MAX};
    const char *other = own("other");

    memset(long_name, 'x', sizeof long_name - 1);
    memset(long_layout, 'x', sizeof long_layout - 1);
    FAILS_NULL(shm_mutex_open("", 8, NULL, MAKE), EINVAL);
    FAILS_NULL(shm_mutex_open(long_name, 8, NULL, MAKE), EINVAL);
    FAILS_NULL(shm_mutex_open(other, 8, long_layout, MAKE), EINVAL);
    FAILS_NULL(shm_mutex_open(other, 8, "\xff\xff", MAKE), EINVAL);
    for (int i = 0; i < 2; i++) {
        FAILS_NULL(shm_mutex_open(other, too_large[i], NULL, MAKE), EINVAL);
        FAILS_NULL(shm_latest_open(other, too_large[i], NULL, MAKE), EINVAL);
        FAILS_NULL(shm_ring_open(other, too_large[i], 0, MAKE), EINVAL);
    }
    FAILS_NULL(shm_ring_open(other, 63, 0, MAKE), EINVAL);
    FAILS_NULL_SAYING(shm_ring_open(other, 0, 0, MAKE), ENOENT, "needs a capacity");
    CHECK(strstr(shm_last_error(), "IPC_CREAT") == NULL);
    FAILS_NULL(shm_semaphore_open(other, 0, -1), EINVAL);
    CHECK(shm_open_name(other, 0, 0) == -1); /* what is refused leaves nothing behind */
}

/* Modes and flags, and options in the place of flags. */
static void bad_flags(void)
{
    const char *other = own("other");

    FAILS_NULL(shm_mutex_open(other, 8, NULL, IPC_CREAT | 0400), EINVAL);
    FAILS_NULL_SAYING(shm_mutex_open(other, 8, NULL, IPC_CREAT | 666), EINVAL, "decimal number 666");
    FAILS_NULL_SAYING(shm_mutex_open(other, 8, NULL, IPC_CREAT), EINVAL, "SHMKEY_CREATE | 0600");
    FAILS_NULL(shm_mutex_open(other, 8, NULL, IPC_CREAT | IPC_EXCL | 0600), EINVAL);
    FAILS_NULL_SAYING(shm_mutex_open(other, 8, NULL, MAKE | SHMKEY_DROP_OLDEST), EINVAL, "the argument options of shm_ring_open()");
    FAILS_NULL_SAYING(shm_ring_open(other, 64, 0, MAKE | SHMKEY_MANY_SENDERS), EINVAL, "the argument options of shm_ring_open()");
    FAILS_NULL_SAYING(shm_ring_open(other, 64, SHMKEY_MANY_SENDERS | SHMKEY_CREATE | 0600, 0), EINVAL, "go into flags");
    FAILS_NULL_SAYING(shm_ring_open(other, 64, 0600, SHMKEY_CREATE), EINVAL, "go into flags");
    FAILS_NULL(shm_ring_open(other, 64, 0x40000, MAKE), EINVAL);
    FAILS_NULL(shm_ring_open(other, 64, 0, MAKE | 0x40000), EINVAL);
    CHECK(shm_open_name(other, 0, 0) == -1);
}

/* Objects of another kind, size, layout and options. */
static void other_objects(void)
{
    const char *other = own("other");
    struct shm_semaphore *semaphore;
    struct shm_mutex *mutex;
    struct shm_latest *latest;
    struct shm_ring *ring;

    OPENS(mutex, shm_mutex_open(other, 8, "a layout", MAKE));
    FAILS_NULL(shm_semaphore_open(other, 0, MAKE), EPROTOTYPE);
    FAILS_NULL(shm_latest_open(other, 8, "a layout", MAKE), EPROTOTYPE);
    FAILS_NULL(shm_ring_open(other, 64, 0, MAKE), EPROTOTYPE);
    FAILS_NULL(shm_ring_open(other, 0, 0, 0), EPROTOTYPE);
    FAILS_NULL(shm_mutex_open(other, 7, "a layout", MAKE), EPROTO);
    FAILS_NULL(shm_mutex_open(other, 9, "a layout", MAKE), EPROTO);
    FAILS_NULL(shm_mutex_open(other, 9000, "a layout", MAKE), EPROTO);
    FAILS_NULL(shm_mutex_open(other, 8, "A layout", MAKE), EPROTO);
    FAILS_NULL(shm_mutex_open(other, 8, NULL, MAKE), EPROTO);
    REMOVE(mutex, mutex);
    OPENS(ring, shm_ring_open(other, 1000, SHMKEY_MANY_SENDERS, MAKE));
    FAILS_NULL(shm_ring_open(other, 1000, 0, MAKE), EPROTO);
    FAILS_NULL(shm_ring_open(other, 1000, SHMKEY_MANY_SENDERS | SHMKEY_DROP_OLDEST, MAKE), EPROTO);
    FAILS_NULL(shm_ring_open(other, 2000, SHMKEY_MANY_SENDERS, MAKE), EPROTO);
    FAILS_NULL(shm_mutex_open(other, 8, NULL, MAKE), EPROTOTYPE);
    REMOVE(ring, ring);
    OPENS(latest, shm_latest_open(other, 8, NULL, MAKE));
    FAILS_NULL(shm_latest_open(other, 9, NULL, MAKE), EPROTO);
    FAILS_NULL(shm_semaphore_open(other, 8, MAKE), EPROTOTYPE);
    REMOVE(latest, latest);
    OPENS(semaphore, shm_semaphore_open(other, 1, MAKE));
    FAILS_NULL(shm_mutex_open(other, 0, NULL, MAKE), EPROTOTYPE);
    REMOVE(semaphore, semaphore);
}

/* A byte of a header that is wrong, and the error; the numbers are offsets in it. */
static void damaged_headers(void)
{
    static const struct {
        int offset, byte, number;
        const char *name;
    } damages[] = {
        {0, 'S', EMEDIUMTYPE, "EMEDIUMTYPE"},          {12, 32, ENOEXEC, "ENOEXEC"}, {20, 2, EPROTOTYPE, "EPROTOTYPE"},
        {16, 99, EPROTONOSUPPORT, "EPROTONOSUPPORT"}, {24, 9, EBADMSG, "EBADMSG"},  {128, 'X', ENOTUNIQ, "ENOTUNIQ"},
    };
    const char *other = own("other");
    struct shm_mutex *mutex;
    char *memory, right[512];
    int64_t before;

    OPENS(mutex, shm_mutex_open(other, 8, "a layout", MAKE));
    OPENS(memory, shm_attach(shm_mutex_id(mutex), 0));
    memcpy(right, memory, sizeof right);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        memory[damages[i].offset] = (char) damages[i].byte;
        errno = 0;
        CHECK(shm_mutex_open(other, 8, "a layout", MAKE) == NULL && errno == damages[i].number);
        CHECK(strstr(shm_last_error(), damages[i].name) != NULL);
        memcpy(memory, right, sizeof right);
    }
    /* Its creator, this thread, is live, and does not finish. */
    memory[24] = 1;
    before = monotonic();
    FAILS_NULL(shm_mutex_open(other, 8, "a layout", MAKE), ETIMEDOUT);
    CHECK(monotonic() - before >= 4900 * MS && monotonic() - before < 30000 * MS);
    memcpy(memory, right, sizeof right);
    QUIET(shm_mutex_close(mutex));
    OPENS(mutex, shm_mutex_open(other, 8, "a layout", 0));
    REMOVE(mutex, mutex);
    WORKS(shm_detach(memory));
}

/* Segments of another program. */
static void foreign_segments(void)
{
    const char *other = own("other");
    char *memory;
    int id = shm_open_name(other, 100, MAKE);

    FAILS_NULL(shm_mutex_open(other, 8, NULL, MAKE), ENODATA);
    WORKS(shm_remove(id));
    id = shm_open_name(other, 5000, MAKE);
    OPENS(memory, shm_attach(id, 0));
    strcpy(memory, "another program's");
    FAILS_NULL(shm_mutex_open(other, 8, NULL, MAKE), EMEDIUMTYPE);
    CHECK(strcmp(memory, "another program's") == 0);
    WORKS(shm_detach(memory));
    WORKS(shm_remove(id));
}

static void lock_and_die(void *mutex)
{
    char *data = shm_mutex_data(mutex);

    WORKS(shm_mutex_lock(mutex, AGES));
    data[0] = 'H';
}

static void find_it_locked(void *mutex)
{
    FAILS(shm_mutex_lock(mutex, 0), EAGAIN);
    FAILS(shm_mutex_lock(mutex, SOON), ETIMEDOUT);
    FAILS(shm_mutex_unlock(mutex), EPERM);
    FAILS(shm_mutex_consistent(mutex), EPERM);
    QUIET(shm_mutex_close(mutex)); /* its own copy */
}

static void mutexes(void)
{
    struct shm_mutex *one, *two, *in;
    char *data, *memory;
    int id;

    FAILS_NULL(shm_mutex_open(own("mutex"), 6, NULL, 0), ENOENT);
    OPENS(one, shm_mutex_open(own("mutex"), 6, "text", MAKE));
    OPENS(two, shm_mutex_open(own("mutex"), 6, "text", 0));
    CHECK(shm_mutex_id(one) >= 0 && shm_mutex_id(one) == shm_mutex_id(two));
    OPENS(data, shm_mutex_data(one));
    CHECK((uintptr_t) data % 64 == 0 && memcmp(data, "\0\0\0\0\0\0", 6) == 0);
    FAILS(shm_mutex_unlock(one), EPERM);
    FAILS(shm_mutex_consistent(one), EPERM);
    FAILS(shm_mutex_lock(one, -2), EINVAL);
    WORKS(shm_mutex_lock(one, 0));
    FAILS(shm_mutex_lock(one, -1), EDEADLK);
    FAILS(shm_mutex_lock(two, -1), EDEADLK);
    strcpy(data, "hello");
    in_child(find_it_locked, one);
    WORKS(shm_mutex_consistent(one)); /* does no harm */
    WORKS(shm_mutex_unlock(one));
    WORKS(shm_mutex_lock(two, -1));
    CHECK(strcmp(shm_mutex_data(two), "hello") == 0);
    WORKS(shm_mutex_unlock(two));

    in_child(lock_and_die, one);
    GIVES(shm_mutex_lock(one, SOON), EOWNERDEAD);
    CHECK(strcmp(data, "Hello") == 0);
    WORKS(shm_mutex_consistent(one));
    WORKS(shm_mutex_unlock(one));
    in_child(lock_and_die, one);
    GIVES(shm_mutex_lock(one, -1), EOWNERDEAD);
    WORKS(shm_mutex_unlock(one)); /* not put in order */
    FAILS(shm_mutex_lock(one, -1), ENOTRECOVERABLE);
    FAILS(shm_mutex_lock(two, 0), ENOTRECOVERABLE);
    REMOVE(mutex, one);
    QUIET(shm_mutex_close(two));
    QUIET(shm_mutex_close(NULL));

    OPENS(one, shm_mutex_open_at(BY_FILE("shmfile", 115), 0, NULL, MAKE)); /* nothing but a lock */
    WORKS(shm_mutex_lock(one, 0));
    WORKS(shm_mutex_unlock(one));
    REMOVE(mutex, one);

    id = private_segment(4096, &memory);
    OPENS(in, shm_mutex_open_at(AT(id, 1984), 1088, "", MAKE)); /* the same as NULL */
    QUIET(shm_mutex_close(in));
    OPENS(in, shm_mutex_open_at(AT(id, 1984), 1088, NULL, 0));
    GIVES(shm_mutex_id(in), id);
    WORKS(shm_mutex_lock(in, 0));
    memset(shm_mutex_data(in), 'x', 1088);
    WORKS(shm_mutex_unlock(in));
    QUIET(shm_mutex_close(in));
    CHECK(memory[4095] == 'x' && memory[1983] == 0);
    CHECK(shm_mutex_open_at(AT(id, 1984), 1089, NULL, 0) == NULL);
    WORKS(shm_detach(memory));
}

static void write_and_die(void *lock)
{
    char *data = shm_rwlock_data(lock);

    WORKS(shm_rwlock_write(lock, AGES));
    data[0] = 'H';
}

static void read_and_die(void *lock)
{
    WORKS(shm_rwlock_read(lock, AGES));
}

static void find_it_read(void *lock)
{
    FAILS(shm_rwlock_unlock(lock), EPERM);
    WORKS(shm_rwlock_read(lock, 0));
    WORKS(shm_rwlock_unlock(lock));
    FAILS(shm_rwlock_write(lock, 0), EAGAIN);
    FAILS(shm_rwlock_write(lock, SOON), ETIMEDOUT);
}

static void find_it_written(void *lock)
{
    FAILS(shm_rwlock_read(lock, 0), EAGAIN);
    FAILS(shm_rwlock_read(lock, SOON), ETIMEDOUT);
    FAILS(shm_rwlock_write(lock, 0), EAGAIN);
    FAILS(shm_rwlock_unlock(lock), EPERM);
    FAILS(shm_rwlock_consistent(lock), EPERM);
    QUIET(shm_rwlock_close(lock)); /* its own copy */
}

static void reader_writer_locks(void)
{
    struct shm_rwlock *lock, *two;
    char *data, *memory;
    int id;

    FAILS_NULL(shm_rwlock_open(own("rwlock"), 6, NULL, 0), ENOENT);
    OPENS(lock, shm_rwlock_open(own("rwlock"), 6, "text", MAKE));
    OPENS(two, shm_rwlock_open(own("rwlock"), 6, "text", 0));
    FAILS_NULL(shm_rwlock_open(own("rwlock"), 7, "text", 0), EPROTO);
    FAILS_NULL(shm_mutex_open(own("rwlock"), 6, "text", 0), EPROTOTYPE);
    FAILS_NULL(shm_rwlock_open(own("other"), SIZE_MAX, NULL, MAKE), EINVAL);
    OPENS(data, shm_rwlock_data(lock));
    CHECK((uintptr_t) data % 64 == 0 && memcmp(data, "\0\0\0\0\0\0", 6) == 0);
    FAILS(shm_rwlock_unlock(lock), EPERM);
    FAILS(shm_rwlock_consistent(lock), EPERM);
    FAILS(shm_rwlock_read(lock, -2), EINVAL);
    FAILS(shm_rwlock_write(lock, -2), EINVAL);
    FAILS(shm_rwlock_read(NULL, 0), EFAULT);
    FAILS(shm_rwlock_write(NULL, 0), EFAULT);
    FAILS(shm_rwlock_unlock(NULL), EFAULT);
    FAILS(shm_rwlock_consistent(NULL), EFAULT);
    FAILS(shm_rwlock_id(NULL), EFAULT);
    FAILS(shm_rwlock_removed(NULL), EFAULT);
    FAILS_NULL(shm_rwlock_data(NULL), EFAULT);

    WORKS(shm_rwlock_read(lock, 0));
    WORKS(shm_rwlock_read(two, -1)); /* again */
    FAILS(shm_rwlock_write(lock, -1), EDEADLK);
    WORKS(shm_rwlock_unlock(lock));
    in_child(find_it_read, lock);
    WORKS(shm_rwlock_unlock(lock));
    WORKS(shm_rwlock_write(lock, 0));
    strcpy(data, "hello");
    FAILS(shm_rwlock_read(lock, -1), EDEADLK);
    in_child(find_it_written, lock);
    WORKS(shm_rwlock_unlock(two));
    CHECK(strcmp(shm_rwlock_data(two), "hello") == 0);

    in_child(read_and_die, lock);
    WORKS(shm_rwlock_write(lock, AGES));
    WORKS(shm_rwlock_unlock(lock));
    in_child(write_and_die, lock);
    GIVES(shm_rwlock_read(lock, SOON), EOWNERDEAD);
    CHECK(strcmp(data, "Hello") == 0);
    FAILS(shm_rwlock_consistent(lock), EPERM);
    WORKS(shm_rwlock_unlock(lock));
    GIVES(shm_rwlock_write(lock, 0), EOWNERDEAD);
    WORKS(shm_rwlock_consistent(lock));
    WORKS(shm_rwlock_unlock(lock));
    WORKS(shm_rwlock_read(lock, 0));
    WORKS(shm_rwlock_unlock(lock));
    in_child(write_and_die, lock);
    GIVES(shm_rwlock_write(lock, -1), EOWNERDEAD);
    WORKS(shm_rwlock_unlock(lock)); /* not put in order */
    FAILS(shm_rwlock_read(lock, -1), ENOTRECOVERABLE);
    FAILS(shm_rwlock_write(two, 0), ENOTRECOVERABLE);
    GIVES(shm_rwlock_removed(two), 0);
    REMOVE(rwlock, lock);
    GIVES(shm_rwlock_removed(two), 1);
    QUIET(shm_rwlock_close(two));
    QUIET(shm_rwlock_close(NULL));

    id = private_segment(8192, &memory);
    OPENS(lock, shm_rwlock_open_at(AT(id, 64), 100, NULL, MAKE));
    GIVES(shm_rwlock_id(lock), id);
    WORKS(shm_rwlock_write(lock, 0));
    memset(shm_rwlock_data(lock), 'x', 100);
    WORKS(shm_rwlock_unlock(lock));
    QUIET(shm_rwlock_close(lock));
    CHECK(memory[64 + 5184] == 'x' && memory[64 + 5184 + 99] == 'x' && memory[64 + 5184 + 100] == 0);
    WORKS(shm_detach(memory));
}

/* A mutex around a number, and the condition variable of its changes. */
struct changes {
    struct shm_mutex *mutex;
    struct shm_condvar *changed;
};

static void change(void *changes)
{
    struct changes *of = changes;

    WORKS(shm_mutex_lock(of->mutex, AGES));
    ++*(char *) shm_mutex_data(of->mutex);
    WORKS(shm_mutex_unlock(of->mutex));
    WORKS(shm_condvar_notify_one(of->changed));
    WORKS(shm_condvar_notify_all(of->changed));
}

static void wait_without_the_mutex(void *changes)
{
    struct changes *of = changes;

    FAILS(shm_condvar_wait(of->changed, of->mutex, SOON), EPERM);
}

static void condition_variables(void)
{
    /* Where the memory checker of a child that ends finds the handles. */
    static struct changes of;
    static struct shm_condvar *two;
    char *number;
    pid_t child;

    FAILS_NULL(shm_condvar_open(own("condvar"), 0), ENOENT);
    OPENS(of.changed, shm_condvar_open(own("condvar"), MAKE));
    OPENS(two, shm_condvar_open(own("condvar"), 0));
    FAILS_NULL(shm_semaphore_open(own("condvar"), 0, 0), EPROTOTYPE);
    OPENS(of.mutex, shm_mutex_open(own("mutex"), 1, NULL, MAKE));
    OPENS(number, shm_mutex_data(of.mutex));
    FAILS(shm_condvar_wait(NULL, of.mutex, 0), EFAULT);
    FAILS(shm_condvar_wait(of.changed, NULL, 0), EFAULT);
    FAILS(shm_condvar_wait(of.changed, of.mutex, -2), EINVAL);
    FAILS(shm_condvar_wait(of.changed, of.mutex, 0), EPERM);
    FAILS(shm_condvar_notify_one(NULL), EFAULT);
    FAILS(shm_condvar_notify_all(NULL), EFAULT);
    FAILS(shm_condvar_id(NULL), EFAULT);
    FAILS(shm_condvar_removed(NULL), EFAULT);

    WORKS(shm_mutex_lock(of.mutex, 0));
    FAILS_SAYING(shm_condvar_wait(of.changed, of.mutex, 0), EAGAIN, "no thread has notified it");
    FAILS(shm_condvar_wait(two, of.mutex, SOON), ETIMEDOUT);
    in_child(wait_without_the_mutex, &of);
    child = fork();
    if (child == 0) {
        change(&of);
        _exit(wrong);
    }
    while (*number == 0) {
        WORKS(shm_condvar_wait(two, of.mutex, AGES));
    }
    GIVES(wait_for(child, NULL), child);
    WORKS(shm_mutex_unlock(of.mutex));
    in_child(lock_and_die, of.mutex);
    GIVES(shm_mutex_lock(of.mutex, AGES), EOWNERDEAD);
    FAILS(shm_condvar_wait(two, of.mutex, 0), ENOTRECOVERABLE); /* not put in order */
    FAILS(shm_mutex_unlock(of.mutex), EPERM);
    REMOVE(condvar, of.changed);
    GIVES(shm_condvar_removed(two), 1);
    QUIET(shm_condvar_close(two));
    QUIET(shm_condvar_close(NULL));
    REMOVE(mutex, of.mutex);
}

struct pair {
    int64_t a, b;
};

static void publish_once(void *latest)
{
    struct pair pair = {7, -7};

    WORKS(shm_latest_publish(latest, &pair));
}

static void fail_to_publish(void *latest)
{
    struct pair pair = {8, -8};

    FAILS(shm_latest_publish(latest, &pair), EBUSY);
    QUIET(shm_latest_close(latest));
}

static void latest_values(void)
{
    struct shm_latest *one, *two, *in;
    struct pair pair = {1, -1}, read = {0, 0};
    char *memory, byte;
    int id;

    FAILS_NULL(shm_latest_open(own("latest"), sizeof pair, NULL, 0), ENOENT);
    OPENS(one, shm_latest_open(own("latest"), sizeof pair, "pair", MAKE));
    OPENS(two, shm_latest_open(own("latest"), sizeof pair, "pair", 0));
    CHECK(shm_latest_id(one) >= 0 && shm_latest_id(one) == shm_latest_id(two));
    GIVES(shm_latest_version(one), 0);
    GIVES(shm_latest_read(one, &read), 0);
    FAILS(shm_latest_read_newer(one, 0, &read, 0), EAGAIN);
    FAILS(shm_latest_read_newer(one, 0, &read, SOON), ETIMEDOUT);
    FAILS(shm_latest_read_newer(one, 0, &read, -2), EINVAL);
    WORKS(shm_latest_publish(one, &pair));
    GIVES(shm_latest_version(two), 1);
    GIVES(shm_latest_read(two, &read), 1);
    CHECK(read.a == 1 && read.b == -1);
    GIVES(shm_latest_read_newer(two, 0, &read, -1), 1);
    FAILS(shm_latest_read_newer(two, 1, &read, SOON), ETIMEDOUT);
    GIVES(shm_latest_read_newer(two, -1, &read, -1), 1);
    GIVES(shm_latest_read_newer(two, 99, &read, 0), 1);
    FAILS(shm_latest_publish(two, &pair), EBUSY); /* another handle is another publisher */
    in_child(fail_to_publish, one);
    pair.a = 2;
    WORKS(shm_latest_publish(one, &pair));
    QUIET(shm_latest_close(one));
    pair.b = -2;
    WORKS(shm_latest_publish(two, &pair));
    GIVES(shm_latest_read(two, &read), 3);
    CHECK(read.a == 2 && read.b == -2);
    REMOVE(latest, two);
    QUIET(shm_latest_close(NULL));

    OPENS(one, shm_latest_open_at(BY_FILE("shmfile", 115), sizeof pair, NULL, MAKE));
    in_child(publish_once, one);
    GIVES(shm_latest_read(one, &read), 1);
    CHECK(read.a == 7 && read.b == -7);
    WORKS(shm_latest_publish(one, &pair)); /* its publisher is dead */
    REMOVE(latest, one);

    /* The sizes that the header says. */
    id = private_segment(4096, &memory);
    OPENS(in, shm_latest_open_at(AT(id, 4096 - 1024 - 256), 1, NULL, MAKE));
    WORKS(shm_latest_publish(in, "1"));
    GIVES(shm_latest_read(in, &byte), 1);
    CHECK(byte == '1');
    GIVES(shm_latest_id(in), id);
    QUIET(shm_latest_close(in));
    CHECK(shm_latest_open_at(AT(id, 4096 - 1024 - 192), 1, NULL, MAKE) == NULL);
    memset(memory, 0, 4096);
    OPENS(in, shm_latest_open_at(AT(id, 4096 - 1024 - 640), 257, NULL, MAKE));
    QUIET(shm_latest_close(in));
    memset(memory, 0, 4096);
    OPENS(in, shm_latest_open_at(AT(id, 0), 0, NULL, MAKE)); /* nothing but a version */
    WORKS(shm_latest_publish(in, NULL));
    GIVES(shm_latest_read(in, NULL), 1);
    GIVES(shm_latest_read_newer(in, 0, NULL, 0), 1);
    QUIET(shm_latest_close(in));
    WORKS(shm_detach(memory));
}

static void send_and_die(void *ring)
{
    struct shm_slot slot;

    WORKS(shm_ring_send(ring, "the last", 8, AGES));
    WORKS(shm_ring_reserve(ring, 8, &slot, AGES));
}

static void peek_and_die(void *ring)
{
    struct shm_message message;

    GIVES(shm_ring_peek(ring, &message, AGES), 8);
}

static void have_no_role(void *ring)
{
    char byte;
    struct shm_message message;
    struct shm_slot slot;

    FAILS(shm_ring_send(ring, "a", 1, 0), EBUSY);
    FAILS(shm_ring_reserve(ring, 1, &slot, 0), EBUSY);
    FAILS(shm_ring_begin_sending(ring), EBUSY);
    FAILS(shm_ring_recv(ring, &byte, 1, 0), EBUSY);
    FAILS(shm_ring_peek(ring, &message, 0), EBUSY);
    FAILS(shm_ring_begin_receiving(ring), EBUSY);
    WORKS(shm_ring_end_sending(ring));
    WORKS(shm_ring_end_receiving(ring));
    QUIET(shm_ring_close(ring));
}

static void fill(struct shm_ring *ring)
{
    int sent = 0;

    while (sent < 1000 && shm_ring_send(ring, "8 bytes.", 8, 0) == 0) {
        sent++;
    }
    CHECK(sent > 0 && sent < 1000);
}

/* Neither the slot nor the handle that it came from can do anything any more. */
static void is_gone(struct shm_ring *ring, const struct shm_slot *slot)
{
    FAILS(shm_ring_commit(ring, slot, slot->size), EPERM);
    FAILS(shm_ring_abort(ring, slot), EPERM);
}

static char buffer[1000];

static void one_after_the_other(struct shm_ring *one, struct shm_ring *two)
{
    struct shm_message message;
    size_t lengths[10];

    FAILS(shm_ring_recv(two, buffer, sizeof buffer, 0), EAGAIN);
    FAILS(shm_ring_recv(two, buffer, sizeof buffer, SOON), ETIMEDOUT);
    FAILS(shm_ring_peek(two, &message, SOON), ETIMEDOUT);
    FAILS(shm_ring_recv_batch(two, buffer, sizeof buffer, lengths, 10, 0), EAGAIN);
    FAILS(shm_ring_recv(two, buffer, sizeof buffer, -2), EINVAL);
    WORKS(shm_ring_send(one, "hello", 5, -1));
    WORKS(shm_ring_send(one, NULL, 0, 0));
    GIVES(shm_ring_used(two), 2 * 64);
    FAILS(shm_ring_recv(two, buffer, 4, -1), EMSGSIZE);
    GIVES(shm_ring_recv(two, buffer, 5, -1), 5);
    CHECK(memcmp(buffer, "hello", 5) == 0);
    GIVES(shm_ring_recv(two, NULL, 0, -1), 0);
    FAILS(shm_ring_send(one, buffer, 1002, -1), EMSGSIZE);
    FAILS(shm_ring_send(one, "a", 1, -2), EINVAL);
}

static void several_at_once(struct shm_ring *one, struct shm_ring *two)
{
    struct shm_bytes batch[3] = {{"one", 3}, {NULL, 0}, {"three", 5}};
    size_t lengths[10];

    GIVES(shm_ring_send_batch(one, batch, 3, -1), 3);
    GIVES(shm_ring_send_batch(one, batch, 0, -1), 0);
    GIVES(shm_ring_recv_batch(two, buffer, sizeof buffer, lengths, 10, -1), 3);
    CHECK(lengths[0] == 3 && lengths[1] == 0 && lengths[2] == 5 && memcmp(buffer, "onethree", 8) == 0);
    GIVES(shm_ring_send_batch(one, batch, 3, -1), 3);
    GIVES(shm_ring_recv_batch(two, buffer, 7, lengths, 10, -1), 2);
    FAILS(shm_ring_recv_batch(two, buffer, 4, lengths, 10, -1), EMSGSIZE);
    GIVES(shm_ring_recv_batch(two, buffer, sizeof buffer, lengths, 1, -1), 1);
    batch[1].data = buffer;
    batch[1].size = 1002;
    GIVES(shm_ring_send_batch(one, batch, 3, -1), 1);
    FAILS(shm_ring_send_batch(one, batch + 1, 2, -1), EMSGSIZE);
    GIVES(shm_ring_recv(two, buffer, sizeof buffer, -1), 3);
}

static void slots_in_place(struct shm_ring *one, struct shm_ring *two)
{
    struct shm_slot slot = {NULL, 0, 0}, other;
    struct shm_bytes batch = {"one", 3};

    is_gone(one, &slot);
    FAILS(shm_ring_reserve(one, 1002, &slot, 0), EMSGSIZE);
    WORKS(shm_ring_reserve(one, 10, &slot, -1));
    CHECK((uintptr_t) slot.data % 8 == 0 && slot.size == 10);
    FAILS(shm_ring_send(one, "a", 1, -1), EINVAL);
    FAILS(shm_ring_send_batch(one, &batch, 1, -1), EINVAL);
    FAILS(shm_ring_reserve(one, 1, &other, -1), EINVAL);
    FAILS(shm_ring_recv(two, buffer, sizeof buffer, 0), EAGAIN);
    memcpy(slot.data, "in place..", 10);
    FAILS(shm_ring_commit(one, &slot, 11), EINVAL);
    WORKS(shm_ring_commit(one, &slot, 8));
    is_gone(one, &slot);
    WORKS(shm_ring_reserve(one, 10, &slot, -1));
    WORKS(shm_ring_abort(one, &slot));
    is_gone(one, &slot);
    WORKS(shm_ring_reserve(one, 0, &other, -1)); /* at the same place */
    is_gone(one, &slot);
    WORKS(shm_ring_commit(one, &other, 0));
}

static void messages_in_place(struct shm_ring *two)
{
    struct shm_message message = {NULL, 0, 0}, old;

    FAILS(shm_ring_release(two, &message), EPERM);
    GIVES(shm_ring_peek(two, &message, -1), 8);
    CHECK((uintptr_t) message.data % 8 == 0 && message.size == 8 && memcmp(message.data, "in place", 8) == 0);
    old = message;
    GIVES(shm_ring_peek(two, &message, 0), 8); /* the same */
    FAILS(shm_ring_release(two, &old), EPERM); /* but another access to it */
    WORKS(shm_ring_begin_receiving(two)); /* changes nothing */
    WORKS(shm_ring_release(two, &message));
    FAILS(shm_ring_release(two, &message), EPERM);
    GIVES(shm_ring_peek(two, &message, 0), 0);
    GIVES(shm_ring_recv(two, buffer, sizeof buffer, 0), 0); /* the peeked message */
    FAILS(shm_ring_release(two, &message), EPERM);
    FAILS(shm_ring_peek(two, &message, 0), EAGAIN);
}

static void roles(struct shm_ring *one, struct shm_ring *two)
{
    FAILS(shm_ring_send(two, "a", 1, 0), EBUSY);
    FAILS(shm_ring_recv(one, buffer, sizeof buffer, 0), EBUSY);
    FAILS(shm_ring_begin_sending(two), EBUSY);
    FAILS(shm_ring_begin_receiving(one), EBUSY);
    WORKS(shm_ring_begin_sending(one));
    WORKS(shm_ring_begin_receiving(two));
    in_child(have_no_role, one);
    in_child(have_no_role, two);
}

static void ends_of_senders(struct shm_ring *one, struct shm_ring *two)
{
    struct shm_message message;

    WORKS(shm_ring_send(one, "left", 4, 0));
    WORKS(shm_ring_end_sending(one));
    WORKS(shm_ring_end_sending(one));
    GIVES(shm_ring_recv(two, buffer, sizeof buffer, -1), 4);
    FAILS(shm_ring_recv(two, buffer, sizeof buffer, -1), EPIPE);
    FAILS(shm_ring_peek(two, &message, -1), EPIPE);
    WORKS(shm_ring_send(one, "again", 5, 0));
    GIVES(shm_ring_recv(two, buffer, sizeof buffer, -1), 5);
    WORKS(shm_ring_end_sending(one));
    in_child(send_and_die, one);
    GIVES(shm_ring_recv(two, buffer, sizeof buffer, -1), 8);
    FAILS(shm_ring_recv(two, buffer, sizeof buffer, -1), EOWNERDEAD);
}

static void ends_of_receivers(struct shm_ring *one, struct shm_ring *two)
{
    struct shm_slot slot;
    struct shm_bytes batch = {"one", 3};

    WORKS(shm_ring_end_receiving(two));
    WORKS(shm_ring_end_receiving(two));
    fill(one);
    FAILS(shm_ring_send(one, "8 bytes.", 8, -1), EPIPE);
    FAILS(shm_ring_reserve(one, 8, &slot, -1), EPIPE);
    FAILS(shm_ring_send_batch(one, &batch, 1, -1), EPIPE);
    in_child(peek_and_die, two);
    FAILS(shm_ring_send(one, "8 bytes.", 8, -1), EOWNERDEAD);
    GIVES(shm_ring_recv(two, buffer, sizeof buffer, -1), 8); /* the message that the dead process has peeked at */
    CHECK(memcmp(buffer, "8 bytes.", 8) == 0);
    WORKS(shm_ring_send(one, "8 bytes.", 8, AGES)); /* there is room, and a receiver */
    FAILS(shm_ring_send(one, "8 bytes.", 8, SOON), ETIMEDOUT);
}

static void rings(void)
{
    struct shm_ring *one, *two;

    FAILS_NULL(shm_ring_open(own("ring"), 1000, 0, 0), ENOENT);
    OPENS(one, shm_ring_open(own("ring"), 1001, 0, MAKE));
    OPENS(two, shm_ring_open(own("ring"), 0, 0, 0));
    CHECK(shm_ring_id(one) >= 0 && shm_ring_id(one) == shm_ring_id(two));
    GIVES(shm_ring_capacity(one), 1001);
    GIVES(shm_ring_capacity(two), 1001);
    GIVES(shm_ring_used(one), 0);
    GIVES(shm_ring_dropped(one), 0);
    one_after_the_other(one, two);
    several_at_once(one, two);
    slots_in_place(one, two);
    messages_in_place(two);
    roles(one, two);
    ends_of_senders(one, two);
    ends_of_receivers(one, two);
    QUIET(shm_ring_close(two));
    REMOVE(ring, one);
    QUIET(shm_ring_close(NULL));
}

static void dropping_ring(void)
{
    struct shm_message message;
    struct shm_ring *ring;

    OPENS(ring, shm_ring_open_at(BY_FILE("shmfile", 115), 64, SHMKEY_DROP_OLDEST, MAKE));
    WORKS(shm_ring_send(ring, "first", 5, 0));
    GIVES(shm_ring_peek(ring, &message, 0), 5);
    for (int i = 0; i < 20; i++) {
        WORKS(shm_ring_send(ring, "second", 6, 0));
    }
    CHECK(shm_ring_dropped(ring) > 0);
    FAILS(shm_ring_release(ring, &message), ESTALE);
    GIVES(shm_ring_recv(ring, buffer, sizeof buffer, 0), 6);
    REMOVE(ring, ring);
}

static void overwritten_ring(void)
{
    struct shm_message message;
    struct shm_ring *ring;
    char *memory;
    int id = private_segment(8192, &memory);

    FAILS_NULL(shm_ring_open_at(AT(id, 2080), 64, 0, MAKE), EINVAL); /* no multiple of 64 */
    OPENS(ring, shm_ring_open_at(AT(id, 2048), 96, 0, MAKE));
    GIVES(shm_ring_id(ring), id);
    CHECK(shm_ring_open_at(AT(id, 2048), 97, 0, 0) == NULL);
    WORKS(shm_ring_send(ring, "hello", 5, 0));
    memset(memory + 2048 + 1024 + 1024, 0xee, 128);
    FAILS(shm_ring_recv(ring, buffer, sizeof buffer, 0), EBADMSG);
    FAILS(shm_ring_peek(ring, &message, 0), EBADMSG);
    QUIET(shm_ring_close(ring));
    WORKS(shm_detach(memory));
}

static void many(void)
{
    struct shm_ring *all[65];
    char *memory;
    struct shm_slot slot;
    int id = private_segment(8192, &memory);

    for (int i = 0; i < 65; i++) {
        OPENS(all[i], shm_ring_open_at(AT(id, 64), 1000, SHMKEY_MANY_SENDERS, MAKE));
    }
    for (int i = 0; i < 64; i++) {
        WORKS(shm_ring_begin_sending(all[i]));
    }
    FAILS(shm_ring_begin_sending(all[64]), ENOSPC);
    FAILS(shm_ring_send(all[64], "a", 1, 0), ENOSPC);
    WORKS(shm_ring_end_sending(all[0]));
    WORKS(shm_ring_send(all[64], "a", 1, 0));
    WORKS(shm_ring_reserve(all[1], 2, &slot, 0)); /* keeps the others out */
    CHECK(shm_ring_send(all[2], "b", 1, SOON) == -1);
    memcpy(slot.data, "bb", 2);
    WORKS(shm_ring_commit(all[1], &slot, 2));
    WORKS(shm_ring_send(all[2], "ccc", 3, SOON));
    for (int i = 1; i <= 3; i++) {
        GIVES(shm_ring_recv(all[5], buffer, sizeof buffer, 0), i);
    }
    WORKS(shm_ring_reserve(all[1], 2, &slot, 0));
    QUIET(shm_ring_close(all[1])); /* gives the slot up, and the lock back */
    WORKS(shm_ring_send(all[2], "d", 1, SOON));
    all[1] = NULL;
    in_child(send_and_die, all[3]);
    WORKS(shm_ring_send(all[2], "e", 1, AGES)); /* although the lock was the dead one's */
    GIVES(shm_ring_recv(all[5], buffer, sizeof buffer, 0), 1);
    GIVES(shm_ring_recv(all[5], buffer, sizeof buffer, 0), 8);
    GIVES(shm_ring_recv(all[5], buffer, sizeof buffer, 0), 1);
    FAILS(shm_ring_recv(all[5], buffer, sizeof buffer, 0), EAGAIN);
    for (int i = 0; i < 65; i++) {
        QUIET(shm_ring_close(all[i]));
    }
    WORKS(shm_detach(memory));
}

static void send_and_receive(struct shm_ring *ring, size_t size)
{
    memset(buffer, 0, size);
    WORKS(shm_ring_send(ring, buffer, size, 0));
    GIVES(shm_ring_recv(ring, buffer, sizeof buffer, 0), (ptrdiff_t) size);
}

/* Receives so many bytes, which are all the same. */
static void receive_all(struct shm_ring *ring, ptrdiff_t size, char byte)
{
    GIVES(shm_ring_recv(ring, buffer, sizeof buffer, 0), size);
    CHECK(buffer[0] == byte && buffer[size - 1] == byte);
}

/* A parent that has reserved a slot at the end of the ring, and a child that closes its copy late: nothing is lost. */
static void reserved_across_fork(void)
{
    char *memory;
    int id = private_segment(8192, &memory), ready[2];
    struct shm_slot slot;
    struct shm_ring *ring;

    OPENS(ring, shm_ring_open_at(AT(id, 0), 300, 0, MAKE));
    CHECK(pipe(ready) == 0);
    for (int i = 0; i < 9; i++) { /* 64 bytes each; the end of the ring is at 640 */
        send_and_receive(ring, 16);
    }
    WORKS(shm_ring_reserve(ring, 60, &slot, 0));
    CHILD {
        close(ready[1]);
        CHECK(read(ready[0], buffer, 1) == 0);
        is_gone(ring, &slot);
        QUIET(shm_ring_close(ring));
    }
    memset(slot.data, 'r', 60);
    WORKS(shm_ring_commit(ring, &slot, 60));
    receive_all(ring, 60, 'r');
    for (int i = 0; i < 4; i++) {
        WORKS(shm_ring_send(ring, "!!!!!!!!!!!!!!!!", 16, 0));
    }
    close(ready[1]);
    wait_for_child();
    close(ready[0]);
    for (int i = 0; i < 4; i++) {
        receive_all(ring, 16, '!');
    }
    WORKS(shm_ring_end_sending(ring));
    send_and_receive(ring, 16); /* looks again where the ring ends */
    FAILS(shm_ring_recv(ring, buffer, sizeof buffer, 0), EAGAIN);
    QUIET(shm_ring_close(ring));
    WORKS(shm_detach(memory));
}

/* A thread that reserves a slot, and ends with it or stays. */
struct reserver {
    struct shm_ring *ring;
    struct shm_slot slot;
    pthread_barrier_t barrier;
    pthread_t thread;
    int stays;
};

static void *reserve_it(void *argument)
{
    struct reserver *reserver = argument;

    WORKS(shm_ring_reserve(reserver->ring, 90, &reserver->slot, 0));
    if (reserver->stays) {
        pthread_barrier_wait(&reserver->barrier); /* it is reserved */
        pthread_barrier_wait(&reserver->barrier); /* it was tried */
        memset(reserver->slot.data, 's', 90);
        WORKS(shm_ring_commit(reserver->ring, &reserver->slot, 90));
    }
    return NULL;
}

static void reserve_and_end(struct reserver *reserver)
{
    reserver->stays = 0;
    CHECK(pthread_create(&reserver->thread, NULL, reserve_it, reserver) == 0);
    CHECK(pthread_join(reserver->thread, NULL) == 0);
}

static void reserve_and_stay(struct reserver *reserver)
{
    reserver->stays = 1;
    CHECK(pthread_create(&reserver->thread, NULL, reserve_it, reserver) == 0);
    pthread_barrier_wait(&reserver->barrier);
}

static void commit_at_last(struct reserver *reserver)
{
    pthread_barrier_wait(&reserver->barrier);
    CHECK(pthread_join(reserver->thread, NULL) == 0);
}

/* A thread may be writing into the slot: neither the sender's role nor the handle ends. */
static void is_in_use(struct shm_ring *ring)
{
    FAILS(shm_ring_send(ring, "x", 1, 0), EINVAL);
    FAILS(shm_ring_end_sending(ring), EPERM);
    errno = 0;
    shm_ring_close(ring);
    CHECK(errno == EPERM);
    SAYS("has a slot reserved");
}

/* The thread has ended, others send, and come round. */
static void others_wrap(struct reserver *reserver, struct shm_ring *other)
{
    struct shm_ring *ring = reserver->ring;

    reserve_and_end(reserver);
    is_gone(ring, &reserver->slot);
    WORKS(shm_ring_send(other, "A", 1, AGES));
    WORKS(shm_ring_send(other, "B", 1, 0));
    memset(buffer, 'c', 200);
    WORKS(shm_ring_send(other, buffer, 200, 0));
    is_gone(ring, &reserver->slot);
    receive_all(ring, 1, 'A');
    receive_all(ring, 1, 'B');
    receive_all(ring, 200, 'c');
    FAILS(shm_ring_recv(ring, buffer, sizeof buffer, 0), EAGAIN);
    WORKS(shm_ring_send(ring, "later", 5, 0));
    GIVES(shm_ring_recv(ring, buffer, sizeof buffer, 0), 5);
}

/* The thread has ended, and its handle continues; the kernel may take some time until the thread is gone. */
static void handle_continues(struct reserver *reserver, struct shm_ring *receiver)
{
    reserve_and_end(reserver);
    for (int tries = 0; tries < 10000 && shm_ring_send(reserver->ring, "alone", 5, 0) != 0; tries++) {
        usleep(1000);
    }
    FAILS(shm_ring_commit(reserver->ring, &reserver->slot, 90), EPERM);
    GIVES(shm_ring_recv(receiver, buffer, sizeof buffer, 0), 5);
}

/* A slot of a ring for many senders belongs to the thread that has reserved it. The ring continues when the thread has ended or its handle is
 * closed. */
static void slots_of_threads(struct shm_ring *ring, struct shm_ring *other, struct reserver *reserver)
{
    for (int i = 0; i < 5; i++) { /* 128 bytes each, so that the slot wraps at the end of the ring, at 704 */
        send_and_receive(ring, 100);
    }
    others_wrap(reserver, other);
    handle_continues(reserver, ring);

    /* The thread is live, so the slot is reserved: for both handles. */
    reserve_and_stay(reserver);
    is_gone(ring, &reserver->slot);
    FAILS(shm_ring_send(other, "x", 1, 0), EAGAIN);
    is_in_use(ring);
    FAILS(shm_ring_send(other, "x", 1, 0), EAGAIN);
    commit_at_last(reserver);
    receive_all(ring, 90, 's');

    /* Once it has ended, closing gives up the slot and the lock. */
    reserve_and_end(reserver);
    do { /* the kernel may take some time until the thread is gone */
        errno = 0;
    } while (shm_ring_end_sending(ring) != 0 && errno == EPERM);
    WORKS(shm_ring_send(other, "on", 2, 0));
    QUIET(shm_ring_close(ring));
    GIVES(shm_ring_recv(other, buffer, sizeof buffer, 0), 2);
    FAILS(shm_ring_recv(other, buffer, sizeof buffer, 0), EAGAIN);
}

/* A slot of a ring for one sender belongs to the handle: any thread commits it, but only the thread that has reserved it, as long as it is live,
 * ends the sender's role. */
static void slots_of_one_sender(struct shm_ring *ring, struct shm_ring *other, struct reserver *reserver)
{
    reserve_and_stay(reserver);
    FAILS(shm_ring_send(other, "x", 1, 0), EBUSY);
    is_in_use(ring);
    FAILS(shm_ring_send(other, "x", 1, 0), EBUSY);
    commit_at_last(reserver);
    receive_all(other, 90, 's');

    /* The thread has ended, and another one commits what it has written. */
    reserve_and_end(reserver);
    WORKS(shm_ring_commit(ring, &reserver->slot, 90));
    GIVES(shm_ring_recv(other, buffer, sizeof buffer, 0), 90);
    handle_continues(reserver, other);
    QUIET(shm_ring_close(ring));
}

static void slots(void)
{
    char *memory;
    int id = private_segment(8192, &memory);
    struct shm_ring *other;
    struct reserver reserver;

    pthread_barrier_init(&reserver.barrier, NULL, 2);
    for (int options = 0; options < 4 << 16; options += 1 << 16) {
        memset(memory, 0, 8192);
        OPENS(reserver.ring, shm_ring_open_at(AT(id, 0), 320, options, MAKE));
        OPENS(other, shm_ring_open_at(AT(id, 0), 320, options, 0));
        if (options & SHMKEY_MANY_SENDERS) {
            slots_of_threads(reserver.ring, other, &reserver);
        } else {
            slots_of_one_sender(reserver.ring, other, &reserver);
        }
        QUIET(shm_ring_close(other));
    }
    pthread_barrier_destroy(&reserver.barrier);
    WORKS(shm_detach(memory));
}

/* Waiting that sleeps, while signals come in and another thread does what is waited for: errno is left alone. */
struct waiting {
    struct objects all;
    struct shm_ring *full;
    pthread_barrier_t barrier;
};

static void subscribe_and_die(void *broadcast)
{
    WORKS(shm_broadcast_subscribe(broadcast, 0));
}

static void publish_and_die(void *broadcast)
{
    struct shm_slot slot;

    WORKS(shm_broadcast_publish(broadcast, "the last", 8, AGES));
    WORKS(shm_broadcast_reserve(broadcast, 8, &slot, AGES));
}

static void have_no_part_in_it(void *broadcast)
{
    char room[100];
    struct shm_message message;
    struct shm_slot slot;

    FAILS(shm_broadcast_publish(broadcast, "a", 1, 0), EBUSY);
    FAILS(shm_broadcast_reserve(broadcast, 1, &slot, 0), EBUSY);
    FAILS(shm_broadcast_begin_publishing(broadcast), EBUSY);
    FAILS(shm_broadcast_recv(broadcast, room, sizeof room, 0), EPERM);
    FAILS(shm_broadcast_peek(broadcast, &message, 0), EPERM);
    WORKS(shm_broadcast_end_publishing(broadcast));
    WORKS(shm_broadcast_unsubscribe(broadcast));
    QUIET(shm_broadcast_close(broadcast));
}

static void broadcast_roles(struct shm_broadcast *one, struct shm_broadcast *two)
{
    char room[100];
    struct shm_slot slot;

    FAILS(shm_broadcast_publish(two, "a", 1, 0), EBUSY);
    FAILS(shm_broadcast_recv(one, room, sizeof room, 0), EPERM);
    FAILS(shm_broadcast_missed(one), EPERM);
    FAILS(shm_broadcast_subscribe(one, 2), EINVAL);
    WORKS(shm_broadcast_subscribe(two, 0));
    WORKS(shm_broadcast_publish(one, "a", 1, 0));
    in_child(have_no_part_in_it, one);
    in_child(have_no_part_in_it, two);
    GIVES(shm_broadcast_recv(two, room, sizeof room, 0), 1);
    GIVES(shm_broadcast_missed(two), 0);
    in_child(subscribe_and_die, one);
    GIVES(shm_broadcast_subscribers(one), 2);
    for (int i = 0; i < 100; i++) { /* the dead one is dropped */
        WORKS(shm_broadcast_publish(one, "8 bytes.", 8, AGES));
        GIVES(shm_broadcast_recv(two, room, sizeof room, AGES), 8);
    }
    GIVES(shm_broadcast_subscribers(two), 1);
    WORKS(shm_broadcast_reserve(one, 8, &slot, 0));
    FAILS(shm_broadcast_publish(one, "a", 1, 0), EINVAL);
    FAILS(shm_broadcast_begin_publishing(one), EINVAL);
    WORKS(shm_broadcast_end_publishing(one));
    FAILS(shm_broadcast_commit(one, &slot, 8), EPERM);
    FAILS(shm_broadcast_recv(two, room, sizeof room, -1), EPIPE);
    in_child(publish_and_die, one);
    GIVES(shm_broadcast_recv(two, room, sizeof room, AGES), 8);
    FAILS(shm_broadcast_recv(two, room, sizeof room, AGES), EOWNERDEAD);
    WORKS(shm_broadcast_unsubscribe(two));
    FAILS(shm_broadcast_recv(two, room, sizeof room, 0), EPERM);
}

static void broadcasts(void)
{
    char room[2000];
    size_t lengths[5];
    struct shm_broadcast *one, *two, *many[64];
    struct shm_message message;
    struct shm_slot slot;
    struct shm_bytes batch[] = {{"one", 3}, {"", 0}, {"three", 5}};

    FAILS_NULL(shm_broadcast_open(own("broadcast"), 1000, 0, 0), ENOENT);
    FAILS_NULL(shm_broadcast_open(own("broadcast"), 63, 0, MAKE), EINVAL);
    FAILS_NULL(shm_broadcast_open(own("broadcast"), 1000, MAKE, 0), EINVAL);
    FAILS_NULL(shm_broadcast_open(own("broadcast"), 1000, 1 << 20, MAKE), EINVAL);
    FAILS_NULL(shm_broadcast_open(own("broadcast"), 1000, 0, MAKE | SHMKEY_LOSSY), EINVAL);
    OPENS(one, shm_broadcast_open(own("broadcast"), 1000, 0, MAKE));
    FAILS_NULL(shm_broadcast_open(own("broadcast"), 1000, SHMKEY_LOSSY, 0), EPROTO);
    FAILS_NULL(shm_broadcast_open(own("broadcast"), 1000, 0, SHMKEY_READ_ONLY), EACCES);
    FAILS_NULL(shm_ring_open(own("broadcast"), 1000, 0, 0), EPROTOTYPE);
    OPENS(two, shm_broadcast_open(own("broadcast"), 0, 0, 0));
    GIVES(shm_broadcast_capacity(two), 1000);
    WORKS(shm_broadcast_begin_publishing(one));
    broadcast_roles(one, two);

    WORKS(shm_broadcast_subscribe(two, 0));
    GIVES(shm_broadcast_publish_batch(one, batch, 3, 0), 3);
    FAILS(shm_broadcast_publish_batch(two, batch, 3, 0), EBUSY);
    GIVES(shm_broadcast_publish_batch(two, NULL, 0, 0), 0); /* no messages, which needs no role */
    FAILS(shm_broadcast_reserve(one, 1000, &slot, 0), EAGAIN); /* three lines are in use */
    FAILS(shm_broadcast_reserve(one, 1001, &slot, 0), EMSGSIZE);
    GIVES(shm_broadcast_recv_batch(two, room, sizeof room, lengths, 5, 0), 3);
    CHECK(memcmp(room, "onethree", 8) == 0 && lengths[0] == 3 && lengths[1] == 0 && lengths[2] == 5);
    for (int i = 0; i < 50; i++) { /* in place, and wrapped at the end */
        WORKS(shm_broadcast_reserve(one, 500, &slot, 0));
        CHECK(slot.size == 500 && (uintptr_t) slot.data % 8 == 0);
        memset(slot.data, i, 500);
        FAILS(shm_broadcast_commit(one, &slot, 501), EINVAL);
        WORKS(shm_broadcast_commit(one, &slot, 400));
        FAILS(shm_broadcast_commit(one, &slot, 400), EPERM);
        FAILS(shm_broadcast_abort(one, &slot), EPERM);
        WORKS(shm_broadcast_reserve(one, 500, &slot, 0));
        WORKS(shm_broadcast_abort(one, &slot));
        FAILS(shm_broadcast_recv(two, room, 399, 0), EMSGSIZE);
        GIVES(shm_broadcast_peek(two, &message, 0), 400);
        memset(room, i, 400);
        CHECK(message.size == 400 && memcmp(message.data, room, 400) == 0);
        WORKS(shm_broadcast_release(two, &message));
        FAILS(shm_broadcast_release(two, &message), EPERM);
    }
    FAILS(shm_broadcast_recv(two, room, sizeof room, 0), EAGAIN);
    FAILS(shm_broadcast_recv(two, room, sizeof room, SOON), ETIMEDOUT);
    while (shm_broadcast_publish(one, room, 100, 0) == 0) {
    }
    FAILS(shm_broadcast_publish(one, room, 100, 0), EAGAIN);
    CHECK(strstr(shm_last_error(), "this process is the slowest subscriber") != NULL);
    FAILS(shm_broadcast_publish(one, room, 100, SOON), ETIMEDOUT);
    CHECK(shm_broadcast_used(one) > 900);

    for (int i = 0; i < 63; i++) {
        OPENS(many[i], shm_broadcast_open(own("broadcast"), 0, 0, 0));
        WORKS(shm_broadcast_subscribe(many[i], SHMKEY_FROM_OLDEST));
    }
    GIVES(shm_broadcast_recv(many[7], room, sizeof room, 0), 100);
    FAILS(shm_broadcast_subscribe(one, 0), ENOSPC);
    for (int i = 0; i < 63; i++) {
        QUIET(shm_broadcast_close(many[i]));
    }
    GIVES(shm_broadcast_removed(one), 0);
    WORKS(shm_remove(shm_broadcast_id(one)));
    GIVES(shm_broadcast_removed(one), 1);
    QUIET(shm_broadcast_close(one));
    QUIET(shm_broadcast_close(two));
}

/* The publisher does not wait, and a reader that may not write knows what it has missed. */
static void lossy_broadcasts(void)
{
    char room[100];
    struct shm_message message;
    struct shm_broadcast *one, *two;

    OPENS(one, shm_broadcast_open(own("broadcast"), 640, SHMKEY_LOSSY, MAKE));
    OPENS(two, shm_broadcast_open(own("broadcast"), 640, SHMKEY_LOSSY, SHMKEY_READ_ONLY));
    WORKS(shm_broadcast_subscribe(two, SHMKEY_FROM_OLDEST));
    GIVES(shm_broadcast_subscribers(one), 0);
    for (int i = 0; i < 100; i++) {
        room[0] = (char) i;
        WORKS(shm_broadcast_publish(one, room, 40, 0));
    }
    GIVES(shm_broadcast_peek(two, &message, 0), 40);
    for (int i = 0; i < 100; i++) {
        WORKS(shm_broadcast_publish(one, "something else", 14, 0));
    }
    CHECK(*(const char *) message.data <= 90); /* a copy */
    WORKS(shm_broadcast_release(two, &message));
    GIVES(shm_broadcast_missed(two), *(const char *) message.data);
    FAILS(shm_broadcast_publish(two, "a", 1, 0), EACCES);
    WORKS(shm_remove(shm_broadcast_id(one)));
    QUIET(shm_broadcast_close(one));
    QUIET(shm_broadcast_close(two));
}

static void pause_for(int64_t time)
{
    int64_t end = monotonic() + time;

    while (monotonic() < end) {
        usleep(1000);
    }
}

static void *other_side(void *data)
{
    struct waiting *waiting = data;
    struct objects *all = &waiting->all;
    char message[100];
    int value = 42;

    WORKS(shm_mutex_lock(all->mutex, 0));
    pthread_barrier_wait(&waiting->barrier);
    pause_for(SOON);
    WORKS(shm_mutex_unlock(all->mutex));
    pause_for(SOON);
    WORKS(shm_semaphore_post(all->semaphore));
    pause_for(SOON);
    WORKS(shm_latest_publish(all->latest, &value));
    pause_for(SOON);
    WORKS(shm_ring_send(all->ring, "hello", 5, 0));
    pause_for(SOON);
    GIVES(shm_ring_recv(waiting->full, message, sizeof message, 0), 8);
    return NULL;
}

static void nothing(int signal)
{
    (void) signal;
}

static void slow_paths(void)
{
    struct waiting waiting;
    struct sigaction action;
    struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
    char *memory;
    int id = private_segment(16384, &memory), value = 0;
    pthread_t thread;

    waiting.all = open_objects(id, sizeof value, 64, 0);
    OPENS(waiting.full, shm_ring_open_at(AT(id, 12288), 64, 0, MAKE));
    fill(waiting.full);
    WORKS(shm_semaphore_wait(waiting.all.semaphore, 0));
    memset(&action, 0, sizeof action);
    action.sa_handler = nothing; /* and no SA_RESTART */
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    pthread_barrier_init(&waiting.barrier, NULL, 2);
    CHECK(pthread_create(&thread, NULL, other_side, &waiting) == 0);
    pthread_barrier_wait(&waiting.barrier);
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    WORKS(shm_mutex_lock(waiting.all.mutex, -1));
    WORKS(shm_mutex_unlock(waiting.all.mutex));
    WORKS(shm_semaphore_wait(waiting.all.semaphore, AGES));
    GIVES(shm_latest_read_newer(waiting.all.latest, 0, &value, AGES), 1);
    CHECK(value == 42);
    GIVES(shm_ring_recv(waiting.all.ring, buffer, sizeof buffer, -1), 5);
    WORKS(shm_ring_send(waiting.full, "8 bytes.", 8, -1));
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    pthread_barrier_destroy(&waiting.barrier);
    close_objects(waiting.all);
    QUIET(shm_ring_close(waiting.full));
    WORKS(shm_detach(memory));
}

/* How many mappings this process has of a segment, and how many of them it can write. */
static int mappings(int id, int *writable)
{
    char line[400], rights[5], file[300], name[20];
    unsigned long inode;
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");

    /* A segment of the kernel has its id as inode number; one of the user backend is a file with the id in its name. */
    snprintf(name, sizeof name, "/s.%d", id);
    *writable = 0;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%*s %4s %*s %*s %lu %299s", rights, &inode, file) == 3 &&
            ((inode == (unsigned long) id && strncmp(file, "/SYSV", 5) == 0) ||
             (strrchr(file, '/') != NULL && strcmp(strrchr(file, '/'), name) == 0))) {
            count++;
            *writable += rights[1] == 'w';
        }
    }
    CHECK(maps != NULL && fclose(maps) == 0);
    return count;
}

/* Opens one object of each kind by its name. */
static struct objects open_named(int flags)
{
    struct objects all;

    OPENS(all.mutex, shm_mutex_open(own("mutex"), 8, NULL, flags));
    OPENS(all.semaphore, shm_semaphore_open(own("semaphore"), 0, flags));
    OPENS(all.latest, shm_latest_open(own("latest"), sizeof(int), NULL, flags));
    OPENS(all.ring, shm_ring_open(own("ring"), 64, 0, flags));
    return all;
}

static void remove_objects(struct objects all)
{
    WORKS(shm_remove(shm_mutex_id(all.mutex)));
    WORKS(shm_remove(shm_semaphore_id(all.semaphore)));
    WORKS(shm_remove(shm_latest_id(all.latest)));
    WORKS(shm_remove(shm_ring_id(all.ring)));
}

static const int read_only_ways[] = {SHM_RDONLY, SHM_RDONLY | MAKE};

/* Opening a value to read it maps it once more, and not to write. The writer has published 42 as version 1. */
#define OPENS_TO_READ(reader, id, call)                                                                                \
    do {                                                                                                               \
        int writable_before, writable, before = mappings(id, &writable_before), found = 0;                             \
        OPENS(reader, call);                                                                                           \
        CHECK(mappings(id, &writable) == before + 1 && writable == writable_before);                                   \
        GIVES(shm_latest_read(reader, &found), 1);                                                                     \
        CHECK(found == 42);                                                                                            \
        FAILS_SAYING(shm_latest_publish(reader, &found), EACCES, "SHMKEY_READ_ONLY");                                        \
    } while (0)

/* A reader that has asked for it cannot write, and creates nothing. */
static void read_only_values(void)
{
    struct shm_latest *writer, *reader;
    char *memory;
    int id, in, value = 42;

    for (size_t i = 0; i < 2; i++) {
        FAILS_NULL(shm_latest_open(own("latest"), sizeof value, NULL, read_only_ways[i]), ENOENT);
        FAILS_NULL(shm_latest_open_at(BY_FILE("shmfile", 115), sizeof value, NULL, read_only_ways[i]), ENOENT);
    }
    OPENS(writer, shm_latest_open(own("latest"), sizeof value, NULL, MAKE));
    WORKS(shm_latest_publish(writer, &value));
    id = shm_latest_id(writer);
    for (size_t i = 0; i < 2; i++) {
        OPENS_TO_READ(reader, id, shm_latest_open(own("latest"), sizeof value, NULL, read_only_ways[i]));
        GIVES(shm_latest_read_newer(reader, 0, &value, 0), 1);
        FAILS(shm_latest_read_newer(reader, 1, &value, SOON), ETIMEDOUT);
        QUIET(shm_latest_close(reader));
    }
    WORKS(shm_latest_publish(writer, &value)); /* no other process has taken its role */
    REMOVE(latest, writer);

    OPENS(writer, shm_latest_open_at(BY_FILE("shmfile", 115), sizeof value, NULL, MAKE));
    WORKS(shm_latest_publish(writer, &value));
    OPENS_TO_READ(reader, shm_latest_id(writer), shm_latest_open_at(BY_FILE("shmfile", 115), sizeof value, NULL, SHM_RDONLY));
    QUIET(shm_latest_close(reader));
    REMOVE(latest, writer);

    in = private_segment(16384, &memory);
    OPENS(writer, shm_latest_open_at(AT(in, 4096), sizeof value, NULL, MAKE));
    WORKS(shm_latest_publish(writer, &value));
    OPENS_TO_READ(reader, in, shm_latest_open_at(AT(in, 4096), sizeof value, NULL, SHM_RDONLY));
    QUIET(shm_latest_close(reader));
    QUIET(shm_latest_close(writer));
    WORKS(shm_detach(memory));
}

/* Each use of the other kinds writes, so they cannot be opened to be read, and the call does not even look for them. */
static void read_only_others(void)
{
    char *memory;
    int in = private_segment(16384, &memory);

    for (size_t i = 0; i < 2; i++) {
        const int way = read_only_ways[i];

        FAILS_NULL_SAYING(shm_mutex_open(own("mutex"), 8, NULL, way), EACCES, "SHMKEY_READ_ONLY");
        FAILS_NULL(shm_mutex_open_at(BY_FILE("shmfile", 115), 8, NULL, way), EACCES);
        FAILS_NULL(shm_mutex_open_at(AT(in, 0), 8, NULL, way), EACCES);
        FAILS_NULL(shm_semaphore_open(own("semaphore"), 0, way), EACCES);
        FAILS_NULL(shm_semaphore_open_at(BY_FILE("shmfile", 115), 0, way), EACCES);
        FAILS_NULL(shm_semaphore_open_at(AT(in, 0), 0, way), EACCES);
        FAILS_NULL(shm_ring_open(own("ring"), 64, 0, way), EACCES);
        FAILS_NULL(shm_ring_open(own("ring"), 0, 0, way), EACCES);
        FAILS_NULL(shm_ring_open_at(BY_FILE("shmfile", 115), 64, 0, way), EACCES);
        FAILS_NULL(shm_ring_open_at(AT(in, 0), 64, 0, way), EACCES);
    }
    CHECK(memory[0] == 0 && shm_open_name(own("mutex"), 0, 0) == -1);
    WORKS(shm_detach(memory));
}

static void are_removed(struct objects all, struct shm_latest *reader, int removed)
{
    GIVES(shm_mutex_removed(all.mutex), removed);
    GIVES(shm_semaphore_removed(all.semaphore), removed);
    GIVES(shm_latest_removed(all.latest), removed);
    GIVES(shm_latest_removed(reader), removed);
    GIVES(shm_ring_removed(all.ring), removed);
}

/* A process that has an object open can ask whether it was removed, and opens another one under its name. */
static void removed(void)
{
    struct objects all = open_named(MAKE);
    struct shm_mutex *anew;
    struct shm_latest *reader;
    int value = 0;

    OPENS(reader, shm_latest_open(own("latest"), sizeof value, NULL, SHM_RDONLY));
    are_removed(all, reader, 0);
    FAILS(shm_semaphore_wait(all.semaphore, SOON), ETIMEDOUT);
    CHECK(strstr(shm_last_error(), "has been removed") == NULL);
    remove_objects(all);
    are_removed(all, reader, 1);
    OPENS(anew, shm_mutex_open(own("mutex"), 8, NULL, MAKE));
    CHECK(shm_mutex_id(anew) != shm_mutex_id(all.mutex));
    GIVES(shm_mutex_removed(anew), 0);
    GIVES(shm_mutex_removed(all.mutex), 1);
    REMOVE(mutex, anew);
    /* A process that waits for others in vain learns of the removal by the text. */
    FAILS_SAYING(shm_semaphore_wait(all.semaphore, SOON), ETIMEDOUT, "has been removed");
    FAILS_SAYING(shm_latest_read_newer(reader, 0, &value, SOON), ETIMEDOUT, "has been removed");
    FAILS_SAYING(shm_ring_recv(all.ring, buffer, sizeof buffer, SOON), ETIMEDOUT, "has been removed");
    WORKS(shm_ring_begin_sending(all.ring));
    WORKS(shm_ring_end_sending(all.ring));
    FAILS_SAYING(shm_ring_recv(all.ring, buffer, sizeof buffer, SOON), EPIPE, "has been removed");
    QUIET(shm_latest_close(reader));
    close_objects(all);
}

static void removed_segment(void)
{
    struct shm_semaphore *semaphore;
    char *memory;
    int id = shm_open_private(4096, 0600);

    OPENS(memory, shm_attach(id, 0));
    OPENS(semaphore, shm_semaphore_open_at(AT(id, 1024), 0, MAKE));
    GIVES(shm_semaphore_removed(semaphore), 0);
    WORKS(shm_remove(id));
    GIVES(shm_semaphore_removed(semaphore), 1);
    QUIET(shm_semaphore_close(semaphore));
    WORKS(shm_detach(memory));
}

/* Two files of one directory whose inode numbers agree in the 16 bits that a key has of them. */
static int two_files_of_one_key(char names[2][64])
{
    struct statfs system;
    struct stat first, other;
    int file;

    /* Only tmpfs is sure to give numbers one after the other, also to files that are gone again. */
    if (statfs("/dev/shm", &system) != 0 || system.f_type != 0x01021994) {
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        snprintf(names[i], 64, "/dev/shm/shmkey-test-%d-%d", (int) getpid(), i);
    }
    file = open(names[0], O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(file >= 0 && fstat(file, &first) == 0 && close(file) == 0);
    for (int tries = 0; tries < 4 * 65536; tries++) {
        file = open(names[1], O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(file >= 0 && fstat(file, &other) == 0 && close(file) == 0);
        if ((other.st_ino & 0xffff) == (first.st_ino & 0xffff)) {
            CHECK(other.st_ino != first.st_ino);
            return 1;
        }
        unlink(names[1]);
    }
    unlink(names[0]);
    return 0;
}

/* The keys of two files are the same: that is no object in common. */
static void collisions(void)
{
    char names[2][64];
    struct shm_mutex *mutex, *other;
    struct shm_semaphore *semaphore;
    struct shm_latest *latest;
    struct shm_ring *ring;

    if (watched || !two_files_of_one_key(names)) {
        return;
    }
    CHECK(ftok(names[0], 7) == ftok(names[1], 7));
    OPENS(mutex, shm_mutex_open_at(BY_FILE(names[0], 7), 8, NULL, MAKE));
    OPENS(other, shm_mutex_open_at(BY_FILE(names[0], 0x107), 8, NULL, 0)); /* 8 bits of it count */
    QUIET(shm_mutex_close(other));
    FAILS_NULL(shm_mutex_open_at(BY_FILE(names[1], 7), 8, NULL, MAKE), ENOTUNIQ);
    FAILS_NULL(shm_mutex_open_at(BY_FILE(names[1], 7), 8, NULL, 0), ENOTUNIQ);
    FAILS_NULL(shm_semaphore_open_at(BY_FILE(names[1], 7), 0, MAKE), ENOTUNIQ);
    FAILS_NULL(shm_ring_open_at(BY_FILE(names[1], 7), 100000, 0, MAKE), ENOTUNIQ); /* also where it is too small */
    OPENS(other, shm_mutex_open_at(AT(shm_mutex_id(mutex), 0), 8, NULL, 0));
    QUIET(shm_mutex_close(other));
    REMOVE(mutex, mutex);
    OPENS(semaphore, shm_semaphore_open_at(BY_FILE(names[1], 7), 0, MAKE));
    FAILS_NULL(shm_semaphore_open_at(BY_FILE(names[0], 7), 0, MAKE), ENOTUNIQ);
    REMOVE(semaphore, semaphore);
    OPENS(latest, shm_latest_open_at(BY_FILE(names[1], 7), 8, NULL, MAKE));
    FAILS_NULL(shm_latest_open_at(BY_FILE(names[0], 7), 8, NULL, MAKE), ENOTUNIQ);
    FAILS_NULL(shm_latest_open_at(BY_FILE(names[0], 7), 8, NULL, SHM_RDONLY), ENOTUNIQ);
    REMOVE(latest, latest);
    OPENS(ring, shm_ring_open_at(BY_FILE(names[1], 7), 64, 0, MAKE));
    FAILS_NULL(shm_ring_open_at(BY_FILE(names[0], 7), 64, 0, MAKE), ENOTUNIQ);
    FAILS_NULL(shm_ring_open_at(BY_FILE(names[0], 7), 0, 0, 0), ENOTUNIQ);
    REMOVE(ring, ring);
    CHECK(unlink(names[0]) == 0 && unlink(names[1]) == 0);
}

/* What others may only read, as a user other than root: the names are of objects with the mode 0644. */
static void as_a_reader(void *readable)
{
    struct shm_latest *latest;
    int value = 0, in = *(int *) readable;

    if (setgid(65534) != 0 || setuid(65534) != 0) {
        return; /* is unprivileged already; and it may write its own segments */
    }
    FAILS_NULL(shm_mutex_open(own("mutex"), 8, NULL, 0), EACCES);
    FAILS_NULL(shm_semaphore_open(own("semaphore"), 0, 0), EACCES);
    FAILS_NULL(shm_ring_open(own("ring"), 64, 0, 0), EACCES);
    FAILS_NULL(shm_ring_open(own("ring"), 0, 0, MAKE), EACCES);
    if (!watched) { /* valgrind's own shmat says EINVAL */
        FAILS_NULL(shm_mutex_open(own("other"), 8, NULL, 0), EACCES);
    }
    OPENS(latest, shm_latest_open(own("latest"), sizeof value, NULL, 0));
    GIVES(shm_latest_read(latest, &value), 1);
    CHECK(value == 42);
    FAILS(shm_latest_read_newer(latest, 1, &value, SOON), ETIMEDOUT);
    FAILS(shm_latest_publish(latest, &value), EACCES);
    FAILS(shm_remove(shm_latest_id(latest)), EPERM);
    QUIET(shm_latest_close(latest));
    if (!watched) {
        OPENS(latest, shm_latest_open_at(AT(in, 0), sizeof value, NULL, 0)); /* reading is enough here, too */
        GIVES(shm_latest_read(latest, &value), 1);
        FAILS(shm_latest_publish(latest, &value), EACCES);
        QUIET(shm_latest_close(latest));
        FAILS_NULL(shm_semaphore_open_at(AT(in, 2048), 0, 0), EACCES);
    }
}

static void permissions(void)
{
    struct shm_mutex *secret;
    struct shm_semaphore *semaphore;
    struct shm_latest *latest;
    struct objects all;
    char *memory;
    int value = 42, in = shm_open_private(4096, 0644);

    OPENS(memory, shm_attach(in, 0));
    OPENS(latest, shm_latest_open_at(AT(in, 0), sizeof value, NULL, MAKE));
    WORKS(shm_latest_publish(latest, &value));
    QUIET(shm_latest_close(latest));
    OPENS(semaphore, shm_semaphore_open_at(AT(in, 2048), 0, MAKE));
    QUIET(shm_semaphore_close(semaphore));
    all = open_named(IPC_CREAT | 0644);
    OPENS(secret, shm_mutex_open(own("other"), 8, NULL, MAKE));
    WORKS(shm_latest_publish(all.latest, &value));
    in_child(as_a_reader, &in);
    WORKS(shm_remove(in));
    WORKS(shm_detach(memory));
    REMOVE(mutex, secret);
    remove_objects(all);
    close_objects(all);
}

static struct shm_canceller *stop;

static void on_alarm(int signal)
{
    (void) signal;
    shm_cancel(stop);
}

/* From now on, SIGALRM calls a handler: in 20 ms, and again and again, or once. */
static void alarm_soon(void (*handler)(int), int again)
{
    struct itimerval soon = {{0, again ? 20000 : 0}, {0, 20000}};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &soon, NULL) == 0);
}

/* A wait, which a cancellation before it and a handler during it end. */
#define CANCELS(wait, canceller)       \
    do {                               \
        stop = (canceller);            \
        CHECK(stop != NULL);           \
        QUIET(shm_cancel(stop));       \
        FAILS((wait), ECANCELED);      \
        alarm_soon(on_alarm, 0);       \
        FAILS((wait), ECANCELED);      \
    } while (0)

/* Ctrl-C ends a wait: the handler has nothing to do. The first signal may come before the wait. */
#define IS_INTERRUPTED(wait, set)      \
    do {                               \
        GIVES((set), 0);               \
        alarm_soon(nothing, 1);        \
        FAILS((wait), EINTR);          \
        alarm_soon(nothing, 0);        \
    } while (0)

static void interrupted(void)
{
    char bytes[64] = "";
    long value;
    struct shm_ring *ring;
    struct objects all = open_named(MAKE);

    IS_INTERRUPTED(shm_semaphore_wait(all.semaphore, SHMKEY_FOREVER), shm_semaphore_set_interruptible(all.semaphore, 1));
    IS_INTERRUPTED(shm_latest_read_newer(all.latest, 0, &value, SHMKEY_FOREVER), shm_latest_set_interruptible(all.latest, 1));
    IS_INTERRUPTED(shm_ring_recv(all.ring, bytes, sizeof bytes, SHMKEY_FOREVER), shm_ring_set_interruptible(all.ring, 1));
    GIVES(shm_semaphore_set_interruptible(all.semaphore, 0), 0);
    CANCELS(shm_semaphore_wait(all.semaphore, SHMKEY_FOREVER), shm_semaphore_canceller(all.semaphore));
    CANCELS(shm_latest_read_newer(all.latest, 0, &value, SHMKEY_FOREVER), shm_latest_canceller(all.latest));
    CANCELS(shm_ring_recv(all.ring, bytes, sizeof bytes, SHMKEY_FOREVER), shm_ring_canceller(all.ring));
    OPENS(ring, shm_ring_open_at(AT(shm_open_private(4096, 0600), 0), 64, 0, MAKE));
    WORKS(shm_ring_send(ring, bytes, 64, 0));
    CANCELS(shm_ring_send(ring, bytes, 64, SHMKEY_FOREVER), shm_ring_canceller(ring));
    WORKS(shm_remove(shm_ring_id(ring)));
    QUIET(shm_ring_close(ring));
    remove_objects(all);
    close_objects(all);
}

/* The locks, while another process has them. */
static void interrupted_locks(void)
{
    struct shm_mutex *mutex;
    struct shm_rwlock *lock;
    char *memory;
    int id = private_segment(16384, &memory);
    pid_t child;

    OPENS(mutex, shm_mutex_open_at(AT(id, 0), 8, NULL, MAKE));
    child = start_child(lock_and_die, mutex);
    IS_INTERRUPTED(shm_mutex_lock(mutex, SHMKEY_FOREVER), shm_mutex_set_interruptible(mutex, 1));
    CANCELS(shm_mutex_lock(mutex, SHMKEY_FOREVER), shm_mutex_canceller(mutex));
    kill_child(child);
    GIVES(shm_mutex_lock(mutex, AGES), EOWNERDEAD);
    QUIET(shm_mutex_close(mutex));
    OPENS(lock, shm_rwlock_open_at(AT(id, 4096), 8, NULL, MAKE));
    child = start_child(read_and_die, lock);
    IS_INTERRUPTED(shm_rwlock_write(lock, SHMKEY_FOREVER), shm_rwlock_set_interruptible(lock, 1));
    CANCELS(shm_rwlock_write(lock, SHMKEY_FOREVER), shm_rwlock_canceller(lock));
    kill_child(child);
    GIVES(shm_rwlock_set_interruptible(lock, 0), 0);
    child = start_child(write_and_die, lock);
    CANCELS(shm_rwlock_read(lock, SHMKEY_FOREVER), shm_rwlock_canceller(lock));
    CANCELS(shm_rwlock_write(lock, SHMKEY_FOREVER), shm_rwlock_canceller(lock));
    kill_child(child);
    GIVES(shm_rwlock_read(lock, AGES), EOWNERDEAD);
    QUIET(shm_rwlock_close(lock));
    WORKS(shm_detach(memory));
}

/* The thread has the mutex after a wait that was ended. */
static void interrupted_condition_variable(void)
{
    static struct changes of; /* reachable in the child, for valgrind */
    char *memory;
    int id = private_segment(16384, &memory), waited;
    pid_t child;

    OPENS(of.mutex, shm_mutex_open_at(AT(id, 0), 8, NULL, MAKE));
    OPENS(of.changed, shm_condvar_open_at(AT(id, 4096), MAKE));
    WORKS(shm_mutex_lock(of.mutex, 0));
    IS_INTERRUPTED(shm_condvar_wait(of.changed, of.mutex, SHMKEY_FOREVER), shm_condvar_set_interruptible(of.changed, 1));
    GIVES(shm_condvar_set_interruptible(of.changed, 0), 0);
    CANCELS(shm_condvar_wait(of.changed, of.mutex, SHMKEY_FOREVER), shm_condvar_canceller(of.changed));
    /* If an owner has died, that is the result, and the cancellation is kept. */
    child = fork();
    if (child == 0) {
        lock_and_die(of.mutex);
        _exit(wrong);
    }
    do {
        alarm_soon(on_alarm, 0);
        waited = shm_condvar_wait(of.changed, of.mutex, SHMKEY_FOREVER);
    } while (waited == -1 && errno == ECANCELED);
    GIVES(waited, EOWNERDEAD);
    GIVES(wait_for(child, NULL), child);
    WORKS(shm_mutex_consistent(of.mutex));
    FAILS(shm_condvar_wait(of.changed, of.mutex, SHMKEY_NO_WAIT), EAGAIN);
    FAILS(shm_condvar_wait(of.changed, of.mutex, SHMKEY_FOREVER), ECANCELED);
    WORKS(shm_mutex_unlock(of.mutex));
    QUIET(shm_condvar_close(of.changed));
    QUIET(shm_mutex_close(of.mutex));
    WORKS(shm_detach(memory));
}

/* A receiver that goes on waiting does not notice that the senders have ended. */
static void kept_waiting(void)
{
    char bytes[64];
    struct shm_ring *ring;
    int in = shm_open_private(4096, 0600);

    OPENS(ring, shm_ring_open_at(AT(in, 0), 64, 0, MAKE));
    WORKS(shm_ring_begin_sending(ring));
    WORKS(shm_ring_end_sending(ring));
    FAILS(shm_ring_recv(ring, bytes, sizeof bytes, MS), EPIPE);
    GIVES(shm_ring_set_keep_waiting(ring, 1), 0);
    FAILS(shm_ring_recv(ring, bytes, sizeof bytes, MS), ETIMEDOUT);
    FAILS(shm_ring_recv(ring, bytes, sizeof bytes, 0), EAGAIN);
    WORKS(shm_ring_send(ring, "x", 1, 0));
    WORKS(shm_ring_end_sending(ring));
    GIVES(shm_ring_recv(ring, bytes, sizeof bytes, MS), 1);
    GIVES(shm_ring_set_keep_waiting(ring, 0), 0);
    FAILS(shm_ring_recv(ring, bytes, sizeof bytes, MS), EPIPE);
    WORKS(shm_remove(in));
    QUIET(shm_ring_close(ring));
}

int main(int count, char **arguments)
{
    if (count < 2) {
        return 2;
    }
    base = arguments[1];
    watched = count > 2;
    bad_arguments();
    bad_flags();
    other_objects();
    damaged_headers();
    foreign_segments();
    semaphores();
    mutexes();
    reader_writer_locks();
    condition_variables();
    latest_values();
    rings();
    dropping_ring();
    overwritten_ring();
    many();
    reserved_across_fork();
    slots();
    broadcasts();
    lossy_broadcasts();
    slow_paths();
    interrupted();
    interrupted_locks();
    interrupted_condition_variable();
    kept_waiting();
    permissions();
    read_only_values();
    read_only_others();
    removed();
    removed_segment();
    collisions();
    return wrong;
}
