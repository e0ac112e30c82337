/* Plain System V, which knows nothing of shmkey. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>

int main(void)
{
    int id = shmget(IPC_PRIVATE, 100, IPC_CREAT | 0600);
    char *text = shmat(id, NULL, 0);

    if (text == (void *) -1 || shmctl(id, IPC_RMID, NULL) != 0) {
        perror("shared memory");
        return 1;
    }
    strcpy(text, "hello from plain C");
    puts(text);
    return shmdt(text) == 0 ? 0 : 1;
}
