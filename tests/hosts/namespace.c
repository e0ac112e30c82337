/* Loads a library into a linker namespace of its own, as the dynamic linker does with an audit library, and makes a call there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stddef.h>

int main(int argc, char **argv)
{
    void *library = dlmopen(LM_ID_NEWLM, argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
    int (*get)(int, size_t, int);

    if (library == NULL) {
        printf("%s\n", dlerror());
        return 1;
    }
    *(void **) &get = dlsym(library, argv[1]);
    if (get == NULL) {
        return 1;
    }
    /* A key, or as shm_remove takes it an id, that no segment has. */
    printf("%d\n", get(0x7b5a4321, 1, 0));
    return 0;
}
