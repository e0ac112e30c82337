/* Publishes a whole structure as the newest one: write_struct [ID TEMPERATURE NAME [KEY_FILE]] */
#define _XOPEN_SOURCE 700
#include "example.h"
#include "record.h"

int main(int argc, char **argv)
{
    const struct record_arguments given = record_arguments(argc, argv);
    struct record record = {
        .serial = UINT64_C(18000000000000000000),
        .temperature = given.temperature,
        .place = {52.520008, 13.404954},
        .id = given.id,
        .pressure = 101325,
        .humidity = 0.625f,
        .altitude = -28,
        .wind = 315,
        .earlier = {2125, 1990, -40},
        .trend = -1,
        .battery = 200,
    };
    const struct shm_place place = SHMKEY_PLACE_FILE(given.key_file, 'R');
    struct shm_latest *latest;
    sigset_t signals;
    int published;
    int id;

    record.taken = (int64_t) time(NULL);
    memcpy(record.name, given.name, sizeof record.name);

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
