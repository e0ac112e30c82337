/* A thread that has locked a mutex before uses objects when no memory is left. */
#define _GNU_SOURCE
#include "use_up.h"
#include <errno.h>
#include <pthread.h>
#include <shmkey.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <unistd.h>

static struct shm_mutex *mutex;
static struct shm_ring *ring;
static int results[6];

static void *begin(void *unused)
{
    char message[8];
    ssize_t len;
    int i = 0;

    results[i++] = shm_mutex_lock(mutex, -1) == 0 && shm_mutex_unlock(mutex) == 0 ? 0 : errno;
    use_up();
    results[i++] = shm_mutex_lock(mutex, -1) == 0 ? 0 : errno;
    results[i++] = shm_mutex_lock(mutex, -1) == 0 ? 0 : errno;
    results[i++] = shm_mutex_unlock(mutex) == 0 ? 0 : errno;
    results[i++] = shm_ring_begin_receiving(ring) == 0 ? 0 : errno;
    len = shm_ring_recv(ring, message, sizeof message, 0);
    results[i++] = len >= 0 ? 0 : errno;
    return unused;
}

int main(void)
{
    static char buffer[1024];
    char name[64];
    pthread_t thread;
    size_t i;

    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    snprintf(name, sizeof name, "shmkey-hosts-%d", (int) getpid());
    mutex = shm_mutex_open(name, 8, NULL, IPC_CREAT | 0600);
    name[0] = 'r';
    ring = shm_ring_open(name, 64, 0, IPC_CREAT | 0600);
    if (mutex == NULL || ring == NULL) {
        printf("%s\n", shm_last_error());
        return 1;
    }
    if (pthread_create(&thread, NULL, begin, NULL) != 0 || pthread_join(thread, NULL) != 0) {
        return 1;
    }
    shm_remove(shm_mutex_id(mutex));
    shm_remove(shm_ring_id(ring));
    for (i = 0; i < sizeof results / sizeof results[0]; i++) {
        printf("%s ", results[i] == 0 ? "-" : strerrorname_np(results[i]));
    }
    printf("\n");
    return 0;
}
