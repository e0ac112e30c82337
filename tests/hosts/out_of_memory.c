/* A thread uses up the address space, and then makes all calls for the first time. */
#define _GNU_SOURCE
#include CALLS /* of the library under test */
#include "use_up.h"
#include <pthread.h>

static void *begin(void *count)
{
    use_up();
    *(int *) count = calls();
    return NULL;
}

int main(void)
{
    static char buffer[1024];
    pthread_t thread;
    int count = 0;

    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (pthread_create(&thread, NULL, begin, &count) != 0 || pthread_join(thread, NULL) != 0) {
        return 1;
    }
    print_results(count);
    return 0;
}
