/* Stores CIEPLO and ZIMNO in turn, one a second, without end: sender [COUNT [INTERVAL]] */
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
        strcpy(shared, i % 2 == 0 ? "CIEPLO" : "ZIMNO");
        nanosleep(&pause, NULL);
    }
    shmdt(shared);
    return 0;
}
