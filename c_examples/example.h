/* What several of these programs need: an end with an explanation, arguments, and being told to stop. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <errno.h>
#include <shmkey.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Ends the program because a call of the library failed, with the reason. */
static inline void fail(const char *program)
{
    fprintf(stderr, "%s: %s\n", program, shm_last_error());
    exit(EXIT_FAILURE);
}

/* Ends the program because of something else. */
static inline void fail_with(const char *program, const char *reason)
{
    fprintf(stderr, "%s: %s\n", program, reason);
    exit(EXIT_FAILURE);
}

/* From now on SIGINT and SIGTERM wait until pause_or_stop() takes them, so that nothing is cut short. A child inherits this. */
static inline void hold_stop_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    sigprocmask(SIG_BLOCK, signals, NULL);
}

/* Sleeps. Returns 1, at once, when SIGINT or SIGTERM has come; 0 when the time is over. */
static inline int pause_or_stop(const sigset_t *signals, double seconds)
{
    struct timespec time;

    time.tv_sec = (time_t) seconds;
    time.tv_nsec = (long) ((seconds - (double) time.tv_sec) * 1e9);
    return sigtimedwait(signals, NULL, &time) > 0;
}

/* The arguments [COUNT [INTERVAL]] of the programs that repeat themselves: for ever, once a second, unless told otherwise. */
static inline void repeat_arguments(int argc, char **argv, long *count, double *interval)
{
    char *count_end = "";
    char *interval_end = "";

    errno = 0;
    *count = argc > 1 ? strtol(argv[1], &count_end, 10) : -1;
    *interval = argc > 2 ? strtod(argv[2], &interval_end) : 1;
    if (argc > 3 || errno != 0 || *count_end != '\0' || *interval_end != '\0'
        || (argc > 1 && (count_end == argv[1] || *count < 0))
        || (argc > 2 && (interval_end == argv[2] || !(*interval >= 0 && *interval <= 1e6)))) {
        fprintf(stderr, "usage: %s [COUNT [INTERVAL_IN_SECONDS]]\n", argv[0]);
        exit(2);
    }
}

/* The last one out removes the segment. If two leave at the same moment, both try, and one of them succeeds. */
static inline void remove_if_last(int id)
{
    struct shm_status status;

    if (shm_get_status(id, &status) == 0 && status.nattch == 0) {
        shm_remove(id);
    }
}

#endif
