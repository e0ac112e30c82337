/* Prints the newest structure of write_struct, or COUNT of them as they come, and removes the segment:
   read_struct [KEY_FILE [COUNT]] */
#define _XOPEN_SOURCE 700
#include "example.h"
#include "record.h"
#include <inttypes.h>

static void print(const struct record *record)
{
    printf("id: %" PRId32 "\n", record->id);
    printf("temperature: %.6f\n", record->temperature);
    printf("name: ");
    fwrite(record->name, 1, strnlen(record->name, sizeof record->name), stdout);
    printf("\n");
    printf("taken: %" PRId64 "\n", record->taken);
    printf("serial: %" PRIu64 "\n", record->serial);
    printf("place: %.6f, %.6f\n", record->place.latitude, record->place.longitude);
    printf("pressure: %" PRIu32 "\n", record->pressure);
    printf("humidity: %.6f\n", (double) record->humidity);
    printf("altitude: %" PRId16 "\n", record->altitude);
    printf("wind: %" PRIu16 "\n", record->wind);
    printf("earlier: %" PRId16 ", %" PRId16 ", %" PRId16 "\n", record->earlier[0], record->earlier[1], record->earlier[2]);
    printf("trend: %" PRId8 "\n", record->trend);
    printf("battery: %" PRIu8 "\n", record->battery);
}

int main(int argc, char **argv)
{
    unsigned long long count = 1;
    const struct shm_place place = SHMKEY_PLACE_FILE(argc > 1 ? argv[1] : "/tmp/shmfile", 'R');
    struct shm_latest *latest;
    sigset_t signals;
    int64_t seen = 0;
    int error = 0;
    int id;

    errno = 0;
    if (argc > 2) {
        count = strtoull(argv[2], NULL, 10);
    }
    if (argc > 3 || errno != 0 || (argc > 2 && !is_number(argv[2], "0123456789"))) {
        fprintf(stderr, "usage: read_struct [KEY_FILE [COUNT]]\n");
        return 2;
    }

    notice_lost_output();
    hold_stop_signals(&signals);
    /* An object of another size or layout is an error before any of it is read. */
    latest = shm_latest_open_at(&place, sizeof(struct record), RECORD_LAYOUT, 0);
    if (latest == NULL) {
        fail("read_struct", -1);
    }
    id = shm_latest_id(latest);

    for (unsigned long long i = 0; i != count && error == 0; i++) {
        struct record record;
        int64_t version;

        do {
            version = shm_latest_read_newer(latest, seen, &record, SLICE);
        } while (version < 0 && wait_on(&signals));
        if (version < 0) {
            error = errno;
            break;
        }
        seen = version;
        print(&record);
        if (!output_arrived()) {
            fail_with("read_struct", "the structure could not be printed; it is still in the segment");
        }
    }

    shm_latest_close(latest);
    if (error != 0 && error != ETIMEDOUT) {
        fail("read_struct", -1);
    }
    if (shm_remove(id) != 0) {
        fail("read_struct", -1);
    }
    if (error == ETIMEDOUT) {
        fail_with("read_struct", "stopped by a signal before there were as many structures as asked for");
    }
    return EXIT_SUCCESS;
}
