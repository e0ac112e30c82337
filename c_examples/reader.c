/* Prints the line that the writer left, and removes the segment. */
#define _XOPEN_SOURCE 700
#include "example.h"
#include <string.h>
#include <sys/shm.h>

int main(void)
{
    int id = shm_open_key("shmfile", 115, 0, 0); /* it must exist; of whatever size */
    char *shared = id < 0 ? NULL : shm_attach(id, 0);
    size_t size;

    if (shared == NULL || shm_attached_size(shared, &size) != 0) {
        fail("reader");
    }
    /* Nobody promises a NUL at the end. */
    printf("Data read from memory: ");
    fwrite(shared, 1, strnlen(shared, size), stdout);
    printf("\n");
    if (shm_detach(shared) != 0 || shm_remove(id) != 0) {
        fail("reader");
    }
    return EXIT_SUCCESS;
}
