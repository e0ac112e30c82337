/* Prints the structure that write_struct left, and removes the segment: read_struct [KEY_FILE] */
#define _XOPEN_SOURCE 700
#include "record.h"
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char **argv)
{
    key_t key = ftok(argc > 1 ? argv[1] : "/tmp/shmfile", 'R');
    int shmid = shmget(key, sizeof(struct record), 0666 | IPC_CREAT);
    struct record *record = shmat(shmid, NULL, 0);

    printf("id: %d\n", record->id);
    printf("temperature: %.6f\n", record->temperature);
    printf("name: %s\n", record->name);
    shmdt(record);
    shmctl(shmid, IPC_RMID, NULL);
    return 0;
}
