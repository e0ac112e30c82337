/* What write_struct and read_struct share. The Rust twins have the same structure in raw/record.rs. */
#ifndef RECORD_H
#define RECORD_H

struct record {
    int id;
    double temperature;
    char name[32]; /* ends with a NUL */
};

#endif
