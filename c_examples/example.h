/* What several of these programs share: explaining a failure, reading arguments and a line, stopping at a signal. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <shmkey.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Prints why a call of the library failed. It must come before another call can fail. */
static inline void complain(const char *program)
{
    fprintf(stderr, "%s: %s\n", program, shm_last_error());
}

/* Ends the program because a call of the library failed, and prints the reason. If this process has created the
   segment, and no process has it attached, removes it. id: -1 if there is no segment. */
static inline void fail(const char *program, int id)
{
    struct shm_status status;

    complain(program);
    if (id >= 0 && shm_get_status(id, &status) == 0 && status.cpid == getpid() && status.nattch == 0) {
        shm_remove(id);
    }
    exit(EXIT_FAILURE);
}

/* Ends the program for another reason. */
static inline void fail_with(const char *program, const char *reason)
{
    fprintf(stderr, "%s: %s\n", program, reason);
    exit(EXIT_FAILURE);
}

/* From now on SIGINT, SIGTERM and SIGHUP wait until pause_or_stop() takes them or allow_stop_signals() lets them
   through, so that they interrupt no operation. A child inherits this. */
static inline void hold_stop_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGHUP);
    sigprocmask(SIG_BLOCK, signals, NULL);
}

static inline void allow_stop_signals(const sigset_t *signals)
{
    sigprocmask(SIG_UNBLOCK, signals, NULL);
}

/* Sleeps. Returns 1 as soon as one of the signals has come; 0 when the time is over. */
static inline int pause_or_stop(const sigset_t *signals, double seconds)
{
    struct timespec time;

    time.tv_sec = (time_t) seconds;
    time.tv_nsec = (long) ((seconds - (double) time.tv_sec) * 1e9);
    return sigtimedwait(signals, NULL, &time) > 0;
}

/* Signals do not end a wait, unless its handle allows that, as in collector.c. So these programs wait at most this long
   at a time, and check in between whether a stop signal has come. */
#define SLICE SHMKEY_MILLISECONDS(200)

/* Returns whether to wait again after a failed wait: its slice is over, and no signal has come. If not, errno is that
   of the wait, and ETIMEDOUT means that a signal has come. */
static inline int wait_on(const sigset_t *signals)
{
    int error = errno;
    int go_on = error == ETIMEDOUT && !pause_or_stop(signals, 0);

    errno = error;
    return go_on;
}

/* From now on, output to a closed pipe, as in `program | head`, is an error instead of a signal that kills the program. */
static inline void notice_lost_output(void)
{
    signal(SIGPIPE, SIG_IGN);
}

/* Returns whether all output so far was written. */
static inline int output_arrived(void)
{
    return fflush(stdout) == 0 && !ferror(stdout);
}

/* Returns whether a text consists of these digits only. */
static inline int is_number(const char *text, const char *digits)
{
    return *text != '\0' && text[strspn(text, digits)] == '\0';
}

/* Reads the arguments [COUNT [INTERVAL]] of the programs that repeat something: by default without end, at the interval
   that the caller has set. */
static inline void repeat_arguments(const char *program, int argc, char **argv, unsigned long long *count, double *interval)
{
    char *end = "";
    int valid = argc <= 3;

    *count = (unsigned long long) -1;
    if (argc > 1) {
        errno = 0;
        *count = strtoull(argv[1], NULL, 10);
        valid = valid && is_number(argv[1], "0123456789") && errno == 0;
    }
    if (argc > 2) {
        valid = valid && is_number(argv[2], "0123456789.");
        *interval = strtod(argv[2], &end);
    }
    if (!valid || *end != '\0' || *interval > 1e6) {
        fprintf(stderr, "usage: %s [COUNT [INTERVAL_IN_SECONDS]]\n", program);
        exit(2);
    }
}

/* The arguments [ID TEMPERATURE NAME [KEY_FILE]] of the programs that write a record. */
struct record_arguments {
    int id;
    double temperature;
    char name[32]; /* ends with a NUL */
    const char *key_file;
};

static inline struct record_arguments record_arguments(int argc, char **argv)
{
    struct record_arguments given = {7, 21.5, "thermometer", argc > 4 ? argv[4] : "/tmp/shmfile"};
    int valid = argc == 1 || argc == 4 || argc == 5;

    if (argc > 3) {
        char *end = "";
        long number;

        errno = 0;
        number = strtol(argv[1], NULL, 10);
        valid = valid && is_number(argv[1] + (*argv[1] == '-'), "0123456789") && errno == 0
            && number >= INT_MIN && number <= INT_MAX;
        given.id = (int) number;
        given.temperature = strtod(argv[2], &end);
        valid = valid && is_number(argv[2] + (*argv[2] == '-'), "0123456789.") && *end == '\0' && end != argv[2]
            && given.temperature <= DBL_MAX && given.temperature >= -DBL_MAX && strlen(argv[3]) < sizeof given.name;
        memset(given.name, 0, sizeof given.name);
        strncpy(given.name, argv[3], sizeof given.name - 1);
    }
    if (!valid) {
        fprintf(stderr, "usage: write_struct [ID TEMPERATURE NAME [KEY_FILE]]\n"
                        "  ID           a whole number of 32 bits\n"
                        "  TEMPERATURE  a number\n"
                        "  NAME         at most 31 bytes\n"
                        "  KEY_FILE     a file that exists, /tmp/shmfile by default\n");
        exit(2);
    }
    return given;
}

/* Asks for a line, and reads it. The caller frees it. */
static inline char *ask_for_line(size_t *length)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t read;

    notice_lost_output();
    printf("Write Data: ");
    if (!output_arrived()) {
        fail_with("writer", "the prompt could not be printed");
    }
    read = getline(&line, &room, stdin);
    if (read < 0) {
        fail_with("writer", "there is no line to read");
    }
    if (read > 0 && line[read - 1] == '\n') {
        line[--read] = '\0';
    }
    *length = (size_t) read;
    return line;
}

/* Removes the segment if no process has it attached any more. If two processes detach it at once, both try, and one
   succeeds. */
static inline void remove_if_last(int id)
{
    struct shm_status status;

    if (shm_get_status(id, &status) == 0 && status.nattch == 0) {
        shm_remove(id);
    }
}

#endif
