/* Threads that have just begun make all calls, in a program with an allocator of its own: no call may allocate, also if the
 * program has so many keys of its own that glibc allocates the values of more. */
#define _GNU_SOURCE
#include "allocator.h"
#include CALLS /* of the library under test */
#include <pthread.h>
#include <stdlib.h>

static unsigned long asked;
static void *volatile kept;

static void *begin(void *count)
{
    unsigned long before = allocations();

    *(int *) count = calls();
    asked = allocations() - before;
    return NULL;
}

int main(void)
{
    pthread_t thread;
    pthread_key_t key;
    int i, count = 0;

    for (i = 0; i < 64; i++) {
        pthread_key_create(&key, NULL);
    }
    kept = malloc(1);
    free(kept);
    if (allocations() < 2) {
        printf("the allocator is not the program's\n");
        return 1;
    }
    if (pthread_create(&thread, NULL, begin, &count) != 0 || pthread_join(thread, NULL) != 0) {
        return 1;
    }
    print_results(count);
    printf("%lu allocations\n", asked);
    return asked != 0;
}
