/* Leaves a whole structure in a segment: write_struct [ID TEMPERATURE NAME [KEY_FILE]] */
#define _XOPEN_SOURCE 700
#include "../example.h"
#include "../sysv/record.h"
#include <float.h>
#include <limits.h>

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
    sigset_t signals;
    int id;

    if (argc != 1 && argc != 4 && argc != 5) {
        return usage();
    }
    if (argc > 3) {
        const char *digits = argv[1] + (*argv[1] == '-');
        const char *fraction = argv[2] + (*argv[2] == '-');
        char *end;
        long number;

        errno = 0;
        number = strtol(argv[1], NULL, 10);
        if (!is_number(digits, "0123456789") || errno != 0 || number < INT_MIN || number > INT_MAX) {
            return usage();
        }
        record.temperature = strtod(argv[2], &end);
        if (!is_number(fraction, "0123456789.") || *end != '\0' || end == argv[2]
            || record.temperature > DBL_MAX || record.temperature < -DBL_MAX || strlen(argv[3]) >= sizeof record.name) {
            return usage();
        }
        record.id = (int) number;
        memset(record.name, 0, sizeof record.name);
        strcpy(record.name, argv[3]);
    }

    hold_stop_signals(&signals);
    id = shm_open_key(argc > 4 ? argv[4] : "/tmp/shmfile", 'R', sizeof record, SHMKEY_CREATE | 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL) {
        fail("write_struct", id);
    }
    *shared = record;
    allow_stop_signals(&signals);
    return shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
