/*
 * Waiting by descriptors and for several objects: poll, select, epoll, and shm_wait_any().
 */
#define _GNU_SOURCE
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

static const char *base;

static char *named(const char *word)
{
    static char name[300];

    snprintf(name, sizeof name, "%s %s", base, word);
    return name;
}

static int by_poll(int fd)
{
    struct pollfd one = {fd, POLLIN, 0};

    return poll(&one, 1, 0);
}

static int by_select(int fd)
{
    struct timeval none = {0, 0};
    fd_set set;

    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, &none);
}

static int watch(int fd, unsigned int events)
{
    struct epoll_event event = {.events = events};
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    return epoll;
}

static int by_epoll(int fd)
{
    struct epoll_event event;
    int epoll = watch(fd, EPOLLIN), ready = epoll_wait(epoll, &event, 1, 0);

    close(epoll);
    return ready;
}

/* The objects, and what adds one and takes one. */
static struct shm_ring *ring;
static struct shm_semaphore *semaphore;
static struct shm_latest *latest;
static struct shm_broadcast *broadcast;
static int64_t seen;

static void add_message(void)
{
    WORKS(shm_ring_send(ring, "one", 3, SHMKEY_NO_WAIT));
}

static int take_message(void)
{
    char buffer[8];

    return shm_ring_recv(ring, buffer, sizeof buffer, SHMKEY_NO_WAIT) == 3;
}

static int take_in_place(void)
{
    struct shm_message message;

    if (shm_ring_peek(ring, &message, SHMKEY_NO_WAIT) != 3) {
        return 0;
    }
    WORKS(shm_ring_release(ring, &message));
    return 1;
}

static int take_batch(void)
{
    char buffer[8];
    size_t length;

    return shm_ring_recv_batch(ring, buffer, sizeof buffer, &length, 1, SHMKEY_NO_WAIT) == 1;
}

static void add_count(void)
{
    WORKS(shm_semaphore_post(semaphore));
}

static int take_count(void)
{
    return shm_semaphore_wait(semaphore, SHMKEY_NO_WAIT) == 0;
}

static void add_value(void)
{
    WORKS(shm_latest_publish(latest, "one"));
}

static int take_value(void)
{
    char value[4];
    int64_t version = shm_latest_read_newer(latest, seen, value, SHMKEY_NO_WAIT);

    if (version < 0) {
        return 0;
    }
    seen = version;
    return 1;
}

static void add_news(void)
{
    WORKS(shm_broadcast_publish(broadcast, "one", 3, SHMKEY_NO_WAIT));
}

static int take_news(void)
{
    char buffer[8];

    return shm_broadcast_recv(broadcast, buffer, sizeof buffer, SHMKEY_NO_WAIT) == 3;
}

/* A try makes the descriptor unreadable; its timer may make it readable again. */
static int becomes_unreadable(int fd, int (*way)(int), int (*take)(void))
{
    for (int i = 0; i < 20; i++) {
        if (!take() && errno == EAGAIN && way(fd) == 0) {
            return 1;
        }
    }
    return 0;
}

static void follows_the_rule(int fd, void (*add)(void), int (*take)(void))
{
    int (*const ways[])(int) = {by_poll, by_select, by_epoll};
    struct epoll_event event;
    int epoll, once = 0;

    CHECK(fd >= 0);
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        while (take()) {
        }
        CHECK(becomes_unreadable(fd, ways[way], take));
        add();
        CHECK(ways[way](fd) == 1);
        CHECK(take() && ways[way](fd) == 1);
        CHECK(becomes_unreadable(fd, ways[way], take));
    }
    epoll = watch(fd, EPOLLIN | EPOLLET);
    for (int round = 0; round < 20; round++) {
        add();
        CHECK(epoll_wait(epoll, &event, 1, 0) == 1);
        once += epoll_wait(epoll, &event, 1, 0) == 0; /* unless the timer is an edge */
        CHECK(take() && !take());
    }
    CHECK(once > 0);
    close(epoll);
}

static void descriptors(void)
{
    follows_the_rule(shm_ring_fd(ring), add_message, take_message);
    follows_the_rule(shm_ring_fd(ring), add_message, take_in_place);
    follows_the_rule(shm_ring_fd(ring), add_message, take_batch);
    follows_the_rule(shm_semaphore_fd(semaphore), add_count, take_count);
    follows_the_rule(shm_latest_fd(latest), add_value, take_value);
    follows_the_rule(shm_broadcast_fd(broadcast), add_news, take_news);
    GIVES(shm_ring_fd(ring), shm_ring_fd(ring));
    GIVES(shm_semaphore_fd(semaphore), shm_semaphore_fd(semaphore));
    GIVES(shm_latest_fd(latest), shm_latest_fd(latest));
    GIVES(shm_broadcast_fd(broadcast), shm_broadcast_fd(broadcast));
    FAILS(shm_ring_fd(NULL), EFAULT);
    FAILS(shm_semaphore_fd(NULL), EFAULT);
    FAILS(shm_latest_fd(NULL), EFAULT);
    FAILS(shm_broadcast_fd(NULL), EFAULT);
    {
        CHILD
        {
            FAILS(shm_ring_fd(ring), EBUSY);
            FAILS(shm_broadcast_fd(broadcast), EPERM);
            CHECK(shm_semaphore_fd(semaphore) >= 0);
            CHECK(shm_latest_fd(latest) >= 0);
            add_count();
            CHECK(by_poll(shm_semaphore_fd(semaphore)) == 1 && take_count() && !take_count());
        }
        wait_for_child();
    }
}

/* A cancellation makes a descriptor readable, and ends one try that would block. */
static void is_cancelled(int fd, struct shm_canceller *stop, void (*add)(void), int (*take)(void))
{
    CHECK(stop != NULL && becomes_unreadable(fd, by_poll, take));
    QUIET(shm_cancel(stop));
    CHECK(by_poll(fd) == 1);
    add();
    CHECK(take() && !take() && errno == ECANCELED);
    CHECK(becomes_unreadable(fd, by_poll, take));
}

static void cancelled(void)
{
    struct shm_waitable objects[] = {{.ring = ring}, {.semaphore = semaphore}};

    is_cancelled(shm_ring_fd(ring), shm_ring_canceller(ring), add_message, take_message);
    is_cancelled(shm_ring_fd(ring), shm_ring_canceller(ring), add_message, take_batch);
    is_cancelled(shm_semaphore_fd(semaphore), shm_semaphore_canceller(semaphore), add_count, take_count);
    is_cancelled(shm_latest_fd(latest), shm_latest_canceller(latest), add_value, take_value);
    is_cancelled(shm_broadcast_fd(broadcast), shm_broadcast_canceller(broadcast), add_news, take_news);
    QUIET(shm_cancel(shm_semaphore_canceller(semaphore)));
    FAILS(shm_wait_any(objects, 2, SHMKEY_NO_WAIT), EAGAIN);
    FAILS(shm_wait_any(objects, 2, AGES), ECANCELED);
    FAILS(shm_wait_any(objects, 2, SOON), ETIMEDOUT);
}

/* A descriptor goes with the role. */
static void ended_roles(void)
{
    int fd = shm_ring_fd(ring);

    WORKS(shm_ring_end_receiving(ring));
    CHECK(by_poll(fd) == 1); /* POLLNVAL */
    CHECK(!take_message() && errno == EAGAIN);
    CHECK(shm_ring_fd(ring) >= 0);
    WORKS(shm_broadcast_unsubscribe(broadcast));
    FAILS(shm_broadcast_fd(broadcast), EPERM);
    WORKS(shm_broadcast_subscribe(broadcast, 0));
}

static void several(void)
{
    struct shm_waitable objects[129] = {{.ring = ring}, {.semaphore = semaphore}, {.broadcast = broadcast}};
    struct shm_waitable none = {0}, two = {.ring = ring, .semaphore = semaphore};
    struct shm_waitable reserved = {.semaphore = semaphore, .reserved = {&none}};

    for (int i = 4; i < 129; i++) {
        objects[i].semaphore = semaphore;
    }
    objects[3] = (struct shm_waitable) {.latest = latest, .seen = seen};
    FAILS(shm_wait_any(objects, 4, SHMKEY_NO_WAIT), EAGAIN);
    FAILS(shm_wait_any(objects, 4, SOON), ETIMEDOUT);
    FAILS(shm_wait_any(objects, 128, SOON), ETIMEDOUT);
    add_message();
    GIVES(shm_wait_any(objects, 4, AGES), 0);
    CHECK(take_message());
    add_news();
    GIVES(shm_wait_any(objects, 4, AGES), 2);
    CHECK(take_news());
    add_value();
    GIVES(shm_wait_any(objects, 4, AGES), 3);
    CHECK(take_value());
    objects[3].seen = seen;
    {
        CHILD
        {
            usleep(20000);
            add_count();
        }
        GIVES(shm_wait_any(objects, 4, AGES), 1);
        wait_for_child();
    }
    CHECK(take_count());
    FAILS(shm_wait_any(objects, 129, AGES), EINVAL);
    FAILS(shm_wait_any(objects, 0, AGES), EINVAL);
    FAILS(shm_wait_any(objects, 1, -2), EINVAL);
    FAILS(shm_wait_any(&none, 1, AGES), EINVAL);
    FAILS(shm_wait_any(&two, 1, AGES), EINVAL);
    FAILS(shm_wait_any(&reserved, 1, AGES), EINVAL);
    FAILS(shm_wait_any(NULL, 1, AGES), EFAULT);
}

/* A program that has closed all its descriptors keeps those that it opens afterwards, also if it then closes the handle. */
static void closed_descriptors(void)
{
    int others[8], fd = shm_semaphore_fd(semaphore);

    CHECK(fd > 2);
    for (int other = fd - 5; other < fd + 5; other++) {
        if (other > 2) {
            close(other);
        }
    }
    for (int i = 0; i < 8; i++) {
        others[i] = dup(0);
    }
    REMOVE(semaphore, semaphore);
    for (int i = 0; i < 8; i++) {
        CHECK(close(others[i]) == 0);
    }
}

int main(int count, char **arguments)
{
    if (count < 2) {
        return 2;
    }
    base = arguments[1];
    OPENS(ring, shm_ring_open(named("ring"), 4096, 0, MAKE));
    OPENS(semaphore, shm_semaphore_open(named("semaphore"), 0, MAKE));
    OPENS(latest, shm_latest_open(named("latest"), 4, NULL, MAKE));
    OPENS(broadcast, shm_broadcast_open(named("broadcast"), 4096, 0, MAKE));
    WORKS(shm_broadcast_subscribe(broadcast, 0));
    descriptors();
    several();
    cancelled();
    ended_roles();
    REMOVE(ring, ring);
    REMOVE(latest, latest);
    REMOVE(broadcast, broadcast);
    closed_descriptors();
    return wrong;
}
