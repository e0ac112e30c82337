/* A parent and its child share a private segment. */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    int id = shm_open_private(4096, 0600);
    char *shared = id < 0 ? NULL : shm_attach(id, 0);
    pid_t child;
    int status;

    if (id < 0) {
        fail("shared_memory");
    }
    /* Removed now, it goes with the last process that has it attached, however that one ends. */
    if (shm_remove(id) != 0 || shared == NULL) {
        fail("shared_memory");
    }
    child = fork();
    if (child < 0) {
        fail_with("shared_memory", strerror(errno));
    }
    if (child == 0) {
        strcpy(shared, "Hello from child!");
        printf("Child wrote: %s\n", shared);
        return EXIT_SUCCESS;
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        fail_with("shared_memory", "the child did not write");
    }
    printf("Parent read: %s\n", shared);
    return shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
