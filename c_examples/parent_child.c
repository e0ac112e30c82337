/* A parent writes for its child. */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <string.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    int id = shm_open_key("shmfile", 65, 1024, IPC_CREAT | 0600);
    char *shared = id < 0 ? NULL : shm_attach(id, 0);
    int written[2]; /* a pipe: the child waits until the parent has written, however long that takes */
    pid_t child;
    char sign;
    int status;

    if (id < 0) {
        fail("parent_child");
    }
    /* Attached before the fork, nobody needs the key any more: it goes with the last process, however that one ends. */
    if (shm_remove(id) != 0 || shared == NULL) {
        fail("parent_child");
    }
    if (pipe(written) != 0 || (child = fork()) < 0) {
        fail_with("parent_child", strerror(errno));
    }
    if (child == 0) {
        close(written[1]); /* else this process would wait for itself, should the parent die */
        if (read(written[0], &sign, 1) != 1) {
            return EXIT_FAILURE;
        }
        printf("Child reads: %s\n", shared);
        return shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    printf("Parent writes message\n");
    fflush(stdout);
    strcpy(shared, "Hello from parent via shared memory");
    if (write(written[1], "", 1) != 1 || shm_detach(shared) != 0) {
        fail_with("parent_child", "the child could not be told");
    }
    return waitpid(child, &status, 0) == child && status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
