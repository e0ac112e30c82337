/* What write_struct and read_struct share: a field of every kind. The Rust twins have the same structure in record.rs.
   */
#ifndef RECORD_H
#define RECORD_H

#include <stdint.h>

/* The name of the layout. Change it when the structure changes: then a program with another name cannot open the
   record. */
#define RECORD_LAYOUT "weather record 1"

struct place {
    double latitude;
    double longitude;
};

/* The widest fields come first, so there is no gap between fields on any machine. */
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

/* Does not compile if there is a gap. */
typedef char record_has_no_gap[sizeof(struct record) == 8 + 8 + 8 + 16 + 4 + 4 + 4 + 2 + 2 + 6 + 1 + 1 + 32 ? 1 : -1];

#endif
