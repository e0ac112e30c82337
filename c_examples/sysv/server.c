/* Leaves a message, waits until a client has read it, and removes the segment. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

int main(void)
{
    key_t key = ftok(".", 'C');
    int shmid = shmget(key, 1024, 0666 | IPC_CREAT);
    volatile char *shared = shmat(shmid, NULL, 0);

    strcpy((char *) shared, "Hello from the other side!");
    printf("Data written in memory: %s\n", (char *) shared);
    printf("Waiting for client...\n");
    fflush(stdout);
    while (*shared != '*') { /* the client's sign that it has read */
        sleep(1);
    }
    shmdt((char *) shared);
    shmctl(shmid, IPC_RMID, NULL);
    return 0;
}
