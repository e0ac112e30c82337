/* 200 threads that allocate, and a signal for each, whose handler makes a call: it must not wait for a lock of its own thread. */
#define _GNU_SOURCE
#include "five_calls.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS = 200 };

static atomic_int ready, handled;

static void handler(int number)
{
    int before = errno;

    (void) number;
    shmget(0x7b5a4321, 1, 0);
    errno = before;
    handled++;
}

static void *allocate(void *until)
{
    void *pieces[8] = {NULL};
    size_t i = 0;

    ready++;
    while (handled < *(int *) until) {
        free(pieces[i % 8]);
        pieces[i % 8] = malloc(100 + i % 5000);
        i++;
    }
    for (i = 0; i < 8; i++) {
        free(pieces[i]);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    int i, until;
    pthread_t thread;

    sigaction(SIGUSR1, &action, NULL);
    for (i = 0; i < THREADS; i++) {
        until = i + 1;
        if (pthread_create(&thread, NULL, allocate, &until) != 0) {
            return 1;
        }
        while (ready <= i) {
        }
        pthread_kill(thread, SIGUSR1);
        pthread_join(thread, NULL);
    }
    printf("%d handled\n", handled);
    return 0;
}
