/* A thread uses up the address space, and then makes all calls for the first time. */
#define _GNU_SOURCE
#include CALLS /* of the library under test */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Takes all the memory that malloc and the kernel give. */
static void use_up(void)
{
    struct rlimit limit = {64 << 20, RLIM_INFINITY}; /* beyond this, no mapping is made */
    size_t size;

    setrlimit(RLIMIT_AS, &limit);
    for (size = 1 << 30; size >= 4096; size /= 2) {
        while (mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED) {
        }
    }
    for (size = 1 << 20; size > 0; size /= 2) {
        while (malloc(size) != NULL) {
        }
    }
}

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
