/* Publishes a whole structure as the newest one: write_struct [ID TEMPERATURE NAME [KEY_FILE]] */
#define _XOPEN_SOURCE 700
#include "example.h"
#include "record.h"
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
    struct record record = {
        .serial = UINT64_C(18000000000000000000),
        .temperature = 21.5,
        .place = {52.520008, 13.404954},
        .id = 7,
        .pressure = 101325,
        .humidity = 0.625f,
        .altitude = -28,
        .wind = 315,
        .earlier = {2125, 1990, -40},
        .trend = -1,
        .battery = 200,
        .name = "thermometer",
    };
    const struct shm_place place = SHMKEY_PLACE_FILE(argc > 4 ? argv[4] : "/tmp/shmfile", 'R');
    struct shm_latest *latest;
    sigset_t signals;
    int published;
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
        record.id = (int32_t) number;
        memset(record.name, 0, sizeof record.name);
        strcpy(record.name, argv[3]);
    }
    record.taken = (int64_t) time(NULL);

    hold_stop_signals(&signals);
    latest = shm_latest_open_at(&place, sizeof record, RECORD_LAYOUT, SHMKEY_CREATE | 0600);
    if (latest == NULL) {
        fail("write_struct", -1);
    }
    id = shm_latest_id(latest);
    published = shm_latest_publish(latest, &record) == 0;
    shm_latest_close(latest);
    if (!published) {
        fail("write_struct", id);
    }
    return EXIT_SUCCESS;
}
