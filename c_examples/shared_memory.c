/* A parent and its child share a private segment. */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <sys/wait.h>

int main(void)
{
    sigset_t signals;
    char *shared;
    pid_t child;
    int status;
    int id;

    /* The segment is removed as soon as it is attached, so the kernel destroys it when the last process ends, even if
       that is killed. */
    hold_stop_signals(&signals);
    id = shm_open_private(4096, 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL || shm_remove(id) != 0) {
        fail("shared_memory", id);
    }
    allow_stop_signals(&signals);

    child = fork();
    if (child < 0) {
        fail_with("shared_memory", strerror(errno));
    }
    if (child == 0) {
        strcpy(shared, "Hello from child!");
        printf("Child wrote: %s\n", shared);
        return output_arrived() ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        fail_with("shared_memory", "the child failed");
    }
    printf("Parent read: %s\n", shared);
    return output_arrived() && shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
