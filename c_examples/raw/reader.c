/* Prints the line that the writer left, and removes the segment. */
#define _XOPEN_SOURCE 700
#include "../example.h"

int main(void)
{
    int id = shm_open_key("shmfile", 115, 0, 0); /* it must exist; any size will do */
    char *shared = id < 0 ? NULL : shm_attach(id, 0);
    size_t size;

    notice_lost_output();
    if (shared == NULL || shm_attached_size(shared, &size) != 0) {
        fail("reader", -1);
    }
    /* There may be no NUL at the end. */
    printf("Data read from memory: ");
    fwrite(shared, 1, strnlen(shared, size), stdout);
    printf("\n");
    if (!output_arrived()) {
        fail_with("reader", "the line could not be printed; it is still in the segment");
    }
    if (shm_detach(shared) != 0 || shm_remove(id) != 0) {
        fail("reader", -1);
    }
    return EXIT_SUCCESS;
}
