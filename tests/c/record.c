/* Where the fields of `struct record` lie, for the Rust twin to compare. */
#include "../../c_examples/record.h"
#include <stddef.h>
#include <stdio.h>

#define FIELD(name) printf(#name " %zu %zu\n", offsetof(struct record, name), sizeof((struct record *) 0)->name)

int main(void)
{
    FIELD(taken);
    FIELD(serial);
    FIELD(temperature);
    FIELD(place);
    FIELD(place.latitude);
    FIELD(place.longitude);
    FIELD(id);
    FIELD(pressure);
    FIELD(humidity);
    FIELD(altitude);
    FIELD(wind);
    FIELD(earlier);
    FIELD(trend);
    FIELD(battery);
    FIELD(name);
    printf("%zu " RECORD_LAYOUT "\n", sizeof(struct record));
    return 0;
}
