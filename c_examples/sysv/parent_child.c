/* A parent writes for its child. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    key_t key = ftok("shmfile", 65);
    int shmid = shmget(key, 1024, 0666 | IPC_CREAT);
    char *shared = shmat(shmid, NULL, 0);

    if (fork() == 0) {
        sleep(1); /* by then the parent will have written */
        printf("Child reads: %s\n", shared);
        shmdt(shared);
    } else {
        printf("Parent writes message\n");
        fflush(stdout);
        strcpy(shared, "Hello from parent via shared memory");
        shmdt(shared);
        wait(NULL);
        shmctl(shmid, IPC_RMID, NULL);
    }
    return 0;
}
