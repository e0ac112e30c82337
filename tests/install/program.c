/* A private segment, written and read. */
#define _XOPEN_SOURCE 700
#include <shmkey.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>

int main(void)
{
    int id = shm_open_private(100, IPC_CREAT | 0600);
    char *text = id < 0 ? NULL : shm_attach(id, 0);

    if (text == NULL || shm_remove(id) != 0) {
        fprintf(stderr, "%s\n", shm_last_error());
        return 1;
    }
    strcpy(text, "hello from C");
    printf("%s, version %s\n", text, shm_version());
    return shm_detach(text) == 0 ? 0 : 1;
}
