/* Leaves a whole structure in a segment: write_struct [ID TEMPERATURE NAME [KEY_FILE]] */
#define _XOPEN_SOURCE 700
#include "../example.h"
#include "../sysv/record.h"

int main(int argc, char **argv)
{
    const struct record_arguments given = record_arguments(argc, argv);
    struct record record;
    struct record *shared;
    sigset_t signals;
    int id;

    record.id = given.id;
    record.temperature = given.temperature;
    memcpy(record.name, given.name, sizeof record.name);

    hold_stop_signals(&signals);
    id = shm_open_key(given.key_file, 'R', sizeof record, SHMKEY_CREATE | 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL) {
        fail("write_struct", id);
    }
    *shared = record;
    allow_stop_signals(&signals);
    return shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
