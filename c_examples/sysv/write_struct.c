/* Leaves a whole structure in a segment: write_struct [ID TEMPERATURE NAME [KEY_FILE]] */
#define _XOPEN_SOURCE 700
#include "record.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char **argv)
{
    key_t key = ftok(argc > 4 ? argv[4] : "/tmp/shmfile", 'R');
    int shmid = shmget(key, sizeof(struct record), 0666 | IPC_CREAT);
    struct record *record = shmat(shmid, NULL, 0);

    record->id = argc > 1 ? atoi(argv[1]) : 7;
    record->temperature = argc > 2 ? atof(argv[2]) : 21.5;
    strncpy(record->name, argc > 3 ? argv[3] : "thermometer", sizeof record->name - 1);
    record->name[sizeof record->name - 1] = '\0';
    shmdt(record);
    return 0;
}
