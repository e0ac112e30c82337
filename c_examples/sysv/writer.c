/* Reads a line and leaves it in a segment for the reader. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(void)
{
    key_t key = ftok("shmfile", 115);
    int shmid = shmget(key, 1024, 0666 | IPC_CREAT);
    char *str = shmat(shmid, NULL, 0);

    printf("Write Data: ");
    fflush(stdout);
    fgets(str, 1024, stdin);
    str[strcspn(str, "\n")] = '\0';
    printf("Data written in memory: %s\n", str);
    shmdt(str);
    return 0;
}
