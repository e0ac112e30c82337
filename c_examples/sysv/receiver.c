/* Reads once a second what the sender stored, without end: receiver [COUNT [INTERVAL]] */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <time.h>

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : -1;
    double interval = argc > 2 ? atof(argv[2]) : 1;
    struct timespec pause = {(time_t) interval, (long) ((interval - (double) (time_t) interval) * 1e9)};
    key_t key = ftok(".", 'S');
    int shmid = shmget(key, 1024, IPC_CREAT | 0666);
    char *shared = shmat(shmid, NULL, 0);

    for (long i = 0; i != count; i++) {
        char message[1024];

        strncpy(message, shared, sizeof message - 1);
        message[sizeof message - 1] = '\0';
        if (strcmp(message, "CIEPLO") == 0) {
            printf("Received: CIEPLO\n");
        } else if (strcmp(message, "ZIMNO") == 0) {
            printf("Received: ZIMNO\n");
        } else {
            printf("Error: Invalid message\n");
        }
        fflush(stdout);
        nanosleep(&pause, NULL);
    }
    shmdt(shared);
    shmctl(shmid, IPC_RMID, NULL);
    return 0;
}
