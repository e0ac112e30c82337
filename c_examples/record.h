/* What write_struct and read_struct share: a field of every kind. The Rust twins have the same structure in record.rs. */
#ifndef RECORD_H
#define RECORD_H

#include <stdint.h>

/* Who opens a record by another name finds that it is not his. Change it with the structure. */
#define RECORD_LAYOUT "weather record 1"

struct place {
    double latitude;
    double longitude;
};

/* The widest fields first: so there is no gap between any two of them, on any machine. */
struct record {
    int64_t taken;       /* in seconds since 1970 */
    uint64_t serial;     /* of the instrument */
    double temperature;  /* in degrees Celsius */
    struct place place;
    int32_t id;
    uint32_t pressure;   /* in pascals */
    float humidity;      /* 0 to 1 */
    int16_t altitude;    /* in metres */
    uint16_t wind;       /* where it comes from, in degrees */
    int16_t earlier[3];  /* the last hours' temperatures, in hundredths of a degree */
    int8_t trend;
    uint8_t battery;     /* of 255 */
    char name[32];       /* ends with a NUL */
};

/* Does not compile if there is a gap all the same. */
typedef char record_has_no_gap[sizeof(struct record) == 8 + 8 + 8 + 16 + 4 + 4 + 4 + 2 + 2 + 6 + 1 + 1 + 32 ? 1 : -1];

#endif
