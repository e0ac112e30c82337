/* The first thread of a process ends while it has a mutex locked, and the others continue: its /proc/self is that of
 * a process which has ended. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <shmkey.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <unistd.h>

static struct shm_mutex *mutex;

/* Waits until the first thread has ended. */
static void wait_for_end(void)
{
    char line[512], *name_end;

    do {
        FILE *stat = fopen("/proc/self/stat", "r");
        size_t len = fread(line, 1, sizeof line - 1, stat);

        fclose(stat);
        line[len] = '\0';
        name_end = strrchr(line, ')');
    } while (name_end[2] != 'Z');
}

static void *go_on(void *unused)
{
    size_t size = 0;
    struct shm_mutex *other;
    void *memory;
    int id;

    (void) unused;
    wait_for_end();
    printf("lock: %s\n", shm_mutex_lock(mutex, 60000000000) == EOWNERDEAD ? "EOWNERDEAD" : shm_last_error());
    id = shm_open_private(10000, 0600);
    memory = shm_attach(id, 0);
    shm_remove(id);
    printf("size: %s\n", shm_attached_size(memory, &size) == 0 && size == 10000 ? "10000" : shm_last_error());
    printf("prefault: %s\n", shm_prefault(memory) == 0 ? "0" : shm_last_error());
    other = shm_mutex_open("another mutex", 8, NULL, IPC_CREAT | 0600);
    printf("open: %s\n", other != NULL ? "0" : shm_last_error());
    if (other != NULL) {
        shm_remove(shm_mutex_id(other));
    }
    shm_remove(shm_mutex_id(mutex));
    exit(0);
}

int main(void)
{
    pthread_t thread;

    mutex = shm_mutex_open("a mutex of the first thread", 8, NULL, IPC_CREAT | 0600);
    if (mutex == NULL || shm_mutex_lock(mutex, 0) != 0) {
        printf("%s\n", shm_last_error());
        return 1;
    }
    pthread_create(&thread, NULL, go_on, NULL);
    pthread_exit(NULL);
}
