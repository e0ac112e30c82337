/* Publishes a headline every second, without end. It begins when there are three readers; each of them receives every
   headline: news [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { CAPACITY = 1024, READERS = 3 }; /* the same as in the readers */

int main(int argc, char **argv)
{
    sigset_t signals;
    const struct shm_place place = SHMKEY_PLACE_FILE(".", 'N');
    struct shm_broadcast *news;
    double interval = 1;
    unsigned long long count;
    int stopped = 0;
    int failed;
    int id;

    repeat_arguments("news", argc, argv, &count, &interval);
    hold_stop_signals(&signals);
    news = shm_broadcast_open_at(&place, CAPACITY, 0, SHMKEY_CREATE | 0600);
    if (news == NULL) {
        fail("news", -1);
    }
    id = shm_broadcast_id(news);

    /* A reader receives what is published after it has subscribed. */
    failed = shm_broadcast_begin_publishing(news) != 0;
    while (!failed && !stopped && shm_broadcast_subscribers(news) < READERS) {
        stopped = pause_or_stop(&signals, 0.01);
    }
    for (unsigned long long i = 1; i <= count && !stopped && !failed; i++) {
        char headline[50];
        size_t length = (size_t) snprintf(headline, sizeof headline, "Headline %llu", i);
        int published;

        /* When there is no room, this waits for the slowest reader, and drops it if it has died. */
        do {
            published = shm_broadcast_publish(news, headline, length, SLICE);
        } while (published != 0 && wait_on(&signals));
        stopped = published != 0 && errno == ETIMEDOUT;
        failed = published != 0 && !stopped;
        stopped = stopped || (!failed && pause_or_stop(&signals, interval));
    }

    if (failed) {
        complain("news");
    }
    shm_broadcast_close(news);
    remove_if_last(id);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
