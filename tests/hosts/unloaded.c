/* A thread in which a call has failed ends after the library was unloaded: unloaded FILE */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

static pthread_barrier_t barrier;
static int (*shm_remove)(int);

static void *fail(void *unused)
{
    (void) unused;
    if (shm_remove(-1) != -1) {
        printf("the call works\n");
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* the library is gone */
    return NULL;
}

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    pthread_t thread;

    if (library == NULL) {
        printf("%s\n", dlerror());
        return 1;
    }
    *(void **) &shm_remove = dlsym(library, "shm_remove");
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, fail, NULL);
    pthread_barrier_wait(&barrier);
    dlclose(library);
    printf("%s\n", dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL ? "unloaded" : "still loaded");
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    return 0;
}
