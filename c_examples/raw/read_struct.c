/* Prints the structure that write_struct left, and removes the segment: read_struct [KEY_FILE] */
#define _XOPEN_SOURCE 700
#include "../example.h"
#include "../sysv/record.h"

int main(int argc, char **argv)
{
    struct record record;
    struct record *shared;
    int id;

    if (argc > 2) {
        fprintf(stderr, "usage: read_struct [KEY_FILE]\n");
        return 2;
    }
    /* With this size, a segment that is too small for the structure is an error and not a crash. */
    id = shm_open_key(argc > 1 ? argv[1] : "/tmp/shmfile", 'R', sizeof record, 0);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL) {
        fail("read_struct", -1);
    }
    notice_lost_output();
    record = *shared;
    printf("id: %d\n", record.id);
    printf("temperature: %.6f\n", record.temperature);
    printf("name: ");
    fwrite(record.name, 1, strnlen(record.name, sizeof record.name), stdout);
    printf("\n");
    if (!output_arrived()) {
        fail_with("read_struct", "the structure could not be printed; it is still in the segment");
    }
    if (shm_detach(shared) != 0 || shm_remove(id) != 0) {
        fail("read_struct", -1);
    }
    return EXIT_SUCCESS;
}
