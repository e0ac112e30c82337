/* What the library allows in a signal handler: calls that work and calls that fail. */
#include <errno.h>
#include <shmkey.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

static int results[10];
static char text[1024];

/* Returns how many results there are. Where there is no memory, nothing is attached. */
static inline int calls(void)
{
    int i = 0;
    int id;
    void *memory;

    errno = 0;
    results[i++] = shm_open_key("/no/such/file", 1, 1, 0) == -1 ? errno : 0;
    results[i++] = shm_open_key("/", 0x43, 1, 0) == -1 ? errno : 0;
    id = shm_open_private(4096, 0600);
    results[i++] = id == -1 ? errno : 0;
    memory = shm_attach(id, 0);
    results[i++] = memory == NULL ? errno : 0;
    results[i++] = memory == NULL || shm_detach(memory) == 0 ? 0 : errno;
    results[i++] = shm_remove(id) == -1 ? errno : 0;
    results[i++] = shm_attach(-1, 0) == NULL ? errno : 0;
    results[i++] = shm_detach((void *) 4096) == -1 ? errno : 0;
    results[i++] = shm_remove(-1) == -1 ? errno : 0;
    strncpy(text, shm_last_error(), sizeof text - 1);
    return i;
}

static inline void print_results(int count)
{
    int i;

    for (i = 0; i < count; i++) {
        printf("%s ", results[i] == 0 ? "-" : strerrorname_np(results[i]));
    }
    printf("%s\n", text);
}
