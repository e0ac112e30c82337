/* A child waits until its parent has written a text, and prints it. */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <sys/wait.h>

enum { WRITTEN = 1024, SIZE = 2048 }; /* the text, and behind it a semaphore */

int main(void)
{
    sigset_t signals;
    struct shm_place place = SHMKEY_PLACE_SEGMENT(-1, WRITTEN);
    struct shm_semaphore *written;
    pid_t parent = getpid();
    pid_t child;
    char *shared;
    int status;
    int id;

    /* A child inherits what its parent has attached and opened, so no key is needed. The segment is removed at once, so
       the kernel destroys it when the last process ends, even if that is killed. */
    notice_lost_output();
    hold_stop_signals(&signals);
    id = shm_open_private(SIZE, 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    place.id = id;
    written = shared == NULL ? NULL : shm_semaphore_open_at(&place, 0, SHMKEY_CREATE);
    if (written == NULL || shm_remove(id) != 0) {
        if (shared != NULL) {
            shm_detach(shared);
        }
        fail("parent_child", id);
    }
    allow_stop_signals(&signals);

    child = fork();
    if (child < 0) {
        fail_with("parent_child", strerror(errno));
    }
    if (child == 0) {
        /* Waits without limit, as long as the parent is live. */
        while (shm_semaphore_wait(written, SLICE) != 0) {
            if (errno != ETIMEDOUT) {
                fail("parent_child", -1);
            }
            if (getppid() != parent) {
                fail_with("parent_child", "the parent died before it had written");
            }
        }
        printf("Child reads: %s\n", shared);
        shm_semaphore_close(written);
        return output_arrived() && shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    printf("Parent writes message\n");
    if (!output_arrived()) {
        fail_with("parent_child", "the output could not be written");
    }
    strcpy(shared, "Hello from parent via shared memory");
    if (shm_semaphore_post(written) != 0 || shm_detach(shared) != 0) {
        fail("parent_child", -1);
    }
    shm_semaphore_close(written);
    if (waitpid(child, &status, 0) != child || status != 0) {
        fail_with("parent_child", "the child failed");
    }
    return EXIT_SUCCESS;
}
