/* Prints the line that the writer left, and removes the segment. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void)
{
    key_t key = ftok("shmfile", 115);
    int shmid = shmget(key, 1024, 0666 | IPC_CREAT);
    char *str = shmat(shmid, NULL, 0);

    printf("Data read from memory: %s\n", str);
    shmdt(str);
    shmctl(shmid, IPC_RMID, NULL);
    return 0;
}
