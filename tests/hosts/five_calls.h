/* All five calls, those that work and those that fail. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

static int results[16];

/* Returns how many results there are. It calls nothing else, so that it may be called anywhere. */
static inline int calls(void)
{
    struct shmid_ds status;
    int i = 0, id;
    void *memory;

    errno = 0;
    results[i++] = ftok("/", 1) == -1 ? errno : 0;
    results[i++] = ftok("/no/such/file", 1) == -1 ? errno : 0;
    results[i++] = shmget(0x7b5a4321, 1, 0) == -1 ? errno : 0;
    results[i++] = (id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600)) == -1 ? errno : 0;
    results[i++] = (memory = shmat(id, NULL, 0)) == (void *) -1 ? errno : 0;
    results[i++] = shmat(-1, NULL, 0) == (void *) -1 ? errno : 0;
    results[i++] = shmctl(id, IPC_STAT, &status) == -1 ? errno : 0;
    results[i++] = shmctl(-1, IPC_STAT, &status) == -1 ? errno : 0;
    results[i++] = memory == (void *) -1 || shmdt(memory) == 0 ? 0 : errno;
    results[i++] = shmdt((void *) 4096) == -1 ? errno : 0;
    results[i++] = shmctl(id, IPC_RMID, NULL) == -1 ? errno : 0;
    return i;
}

static inline void print_results(int count)
{
    int i;

    for (i = 0; i < count; i++) {
        printf("%s%c", results[i] == 0 ? "-" : strerrorname_np(results[i]), i + 1 < count ? ' ' : '\n');
    }
}
