/* A parent writes for its child. */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <sys/shm.h>
#include <sys/wait.h>

int main(void)
{
    sigset_t signals;
    char *shared;
    int written[2]; /* a pipe: the child waits until the parent has written, however long that takes */
    pid_t child;
    char sign;
    int status;
    int id;

    /* Attached before the fork, nobody needs the key any more: removed, it goes with the last process, however that one ends. */
    notice_lost_output();
    hold_stop_signals(&signals);
    id = shm_open_key("shmfile", 65, 1024, IPC_CREAT | 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL || shm_remove(id) != 0) {
        fail("parent_child", id);
    }
    allow_stop_signals(&signals);

    if (pipe(written) != 0 || (child = fork()) < 0) {
        fail_with("parent_child", strerror(errno));
    }
    if (child == 0) {
        close(written[1]); /* else this process would wait for itself, should the parent die */
        if (read(written[0], &sign, 1) != 1) {
            return EXIT_FAILURE;
        }
        printf("Child reads: %s\n", shared);
        return output_arrived() && shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    printf("Parent writes message\n");
    if (!output_arrived()) {
        fail_with("parent_child", "what it says could not be printed");
    }
    strcpy(shared, "Hello from parent via shared memory");
    if (write(written[1], "", 1) != 1 || shm_detach(shared) != 0) {
        fail_with("parent_child", "the child could not be told");
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        fail_with("parent_child", "the child did not do its part");
    }
    return EXIT_SUCCESS;
}
