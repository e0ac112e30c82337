/* Reads the server's message, and notifies the server that it has. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void)
{
    key_t key = ftok(".", 'C');
    int shmid = shmget(key, 1024, 0666);
    char *shared = shmat(shmid, NULL, 0);

    printf("Data read from memory: %s\n", shared);
    *shared = '*';
    shmdt(shared);
    return 0;
}
