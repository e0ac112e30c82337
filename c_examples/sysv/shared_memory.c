/* A parent and its child share an anonymous mapping. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (fork() == 0) {
        strcpy(shared, "Hello from child!");
        printf("Child wrote: %s\n", shared);
    } else {
        wait(NULL);
        printf("Parent read: %s\n", shared);
    }
    munmap(shared, 4096);
    return 0;
}
