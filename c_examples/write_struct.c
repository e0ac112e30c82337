/* Leaves a whole structure in a segment: write_struct [ID TEMPERATURE NAME [KEY_FILE]] */
#define _XOPEN_SOURCE 700
#include "example.h"
#include "record.h"
#include <limits.h>
#include <string.h>
#include <sys/shm.h>

static int usage(void)
{
    fprintf(stderr, "usage: write_struct [ID TEMPERATURE NAME [KEY_FILE]]\n"
                    "  ID           a whole number of 32 bits\n"
                    "  TEMPERATURE  a number\n"
                    "  NAME         at most 31 bytes\n"
                    "  KEY_FILE     a file that exists, /tmp/shmfile by default\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct record record = {7, 21.5, "thermometer"};
    struct record *shared;
    int id;

    if (argc != 1 && argc != 4 && argc != 5) {
        return usage();
    }
    if (argc > 3) {
        char *end_of_id;
        char *end_of_temperature;
        long number;

        errno = 0;
        number = strtol(argv[1], &end_of_id, 10);
        record.temperature = strtod(argv[2], &end_of_temperature);
        if (errno != 0 || end_of_id == argv[1] || *end_of_id != '\0' || number < INT_MIN || number > INT_MAX
            || end_of_temperature == argv[2] || *end_of_temperature != '\0' || strlen(argv[3]) >= sizeof record.name) {
            return usage();
        }
        record.id = (int) number;
        memset(record.name, 0, sizeof record.name);
        strcpy(record.name, argv[3]);
    }

    id = shm_open_key(argc > 4 ? argv[4] : "/tmp/shmfile", 'R', sizeof record, IPC_CREAT | 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL) {
        fail("write_struct");
    }
    *shared = record;
    return shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
