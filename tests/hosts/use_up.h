#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Takes all the memory that malloc and the kernel give. */
static inline void use_up(void)
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
