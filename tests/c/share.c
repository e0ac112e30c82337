/* One of two programs of different builds that share a segment and its status. The first one creates the segment and
 * writes, the second one answers, and both count the attachments.
 *
 *     share first|second    in a directory with the file "shmfile" */
#define _XOPEN_SOURCE 700
#include <shmkey.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SIZE = 5000, ANSWER = 1000 };

static const char question[] = "from the first";
static const char answer[] = "from the second";

/* Waits until a condition holds, and ends the program if it does not within half a minute. */
#define AWAIT(condition)                                                        \
    for (int attempt = 0; !(condition); attempt++) {                            \
        struct timespec pause = {0, 10000000};                                  \
        nanosleep(&pause, NULL);                                                \
        if (attempt == 3000) {                                                  \
            fprintf(stderr, "share %s: never: %s\n", arguments[1], #condition); \
            return 1;                                                           \
        }                                                                       \
    }

/* Returns how often the segment is attached; -1 if it does not exist. */
static long attached(int id)
{
    struct shm_status status;

    return shm_get_status(id, &status) == 0 ? (long) status.nattch : -1;
}

int main(int count, char **arguments)
{
    int is_first = count == 2 && strcmp(arguments[1], "first") == 0;
    int id = -1;
    char *shared;

    AWAIT((id = shm_open_key("shmfile", 's', SIZE, is_first ? SHMKEY_CREATE | 0600 : 0)) >= 0);
    shared = shm_attach(id, 0);
    if (shared == NULL) {
        fprintf(stderr, "share %s: %s\n", arguments[1], shm_last_error());
        return 1;
    }
    AWAIT(attached(id) == 2);
    if (!is_first) {
        AWAIT(strcmp(shared, question) == 0);
        memcpy(shared + ANSWER, answer, sizeof answer);
        return 0; /* without detaching it */
    }
    memcpy(shared, question, sizeof question);
    AWAIT(strcmp(shared + ANSWER, answer) == 0);
    AWAIT(attached(id) == 1);
    return shm_remove(id) != 0 || shm_detach(shared) != 0 || attached(id) != -1;
}
