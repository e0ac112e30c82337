/* Prints every headline that is published from now on, until the publisher ends: news_reader [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include "example.h"

enum { CAPACITY = 1024 }; /* the same as in the publisher; no headline is longer */

int main(int argc, char **argv)
{
    sigset_t signals;
    const struct shm_place place = SHMKEY_PLACE_FILE(".", 'N');
    struct shm_broadcast *news;
    double interval = 0; /* by default it waits only for the publisher */
    unsigned long long count;
    ptrdiff_t length = 0;
    int stopped = 0;
    int printed = 1;
    int failed;
    int error;
    int id;

    repeat_arguments("news_reader", argc, argv, &count, &interval);
    notice_lost_output();
    hold_stop_signals(&signals);
    news = shm_broadcast_open_at(&place, CAPACITY, 0, SHMKEY_CREATE | 0600);
    if (news == NULL) {
        fail("news_reader", -1);
    }
    id = shm_broadcast_id(news);
    if (shm_broadcast_subscribe(news, 0) != 0) {
        fail("news_reader", id);
    }

    for (unsigned long long i = 0; i != count && !stopped && printed; i++) {
        struct shm_message headline;

        do {
            length = shm_broadcast_peek(news, &headline, SLICE);
        } while (length < 0 && wait_on(&signals));
        if (length < 0) {
            break;
        }
        printf("Read: %.*s\n", (int) headline.size, (const char *) headline.data);
        length = shm_broadcast_release(news, &headline);
        if (length < 0) {
            break;
        }
        printed = output_arrived();
        stopped = printed && pause_or_stop(&signals, interval);
    }

    error = length < 0 ? errno : 0;
    failed = error != 0 && error != EPIPE && error != EOWNERDEAD && error != ETIMEDOUT;
    if (failed) {
        complain("news_reader");
    }
    shm_broadcast_close(news);
    remove_if_last(id);
    if (!printed) {
        fail_with("news_reader", "the output could not be written");
    }
    if (error == EOWNERDEAD) {
        fail_with("news_reader", "the publisher was killed; all that it had published was received");
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
