/*
 * What the peers in C, C++ and Rust agree on: numbers that look random and follow from a seed.
 */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* splitmix64, as in tests/support/values.rs. */
static inline uint64_t peer_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number that goes with another. */
static inline uint64_t peer_mix(uint64_t seed, uint64_t number)
{
    uint64_t state = seed + number * 0x632be59bd9b4e019u;

    return peer_next(&state);
}

/* The longest message. */
#define PEER_LONGEST (16 + 16384 + 32)

/* Message `number` of a sender: both numbers, and bytes whose how many and which follow from them. */
static inline size_t peer_message(uint64_t seed, uint64_t sender, uint64_t number, unsigned char *message)
{
    uint64_t state = peer_mix(seed ^ sender << 48, number), length = peer_next(&state), word = 0;
    size_t size = length % 16 == 0 ? 0 : length % 16 < 13 ? (length >> 8) % 200 : (length >> 8) % 3000;

    if (length % 16 == 15 && (length >> 40) % 4 == 0) {
        size = 16384 - 32 + (length >> 8) % 64;
    }
    memcpy(message, &sender, 8);
    memcpy(message + 8, &number, 8);
    for (size_t i = 0; i < size; i++) {
        if (i % 8 == 0) {
            word = peer_next(&state);
        }
        message[16 + i] = word >> i % 8 * 8 & 0xff;
    }
    return 16 + size;
}

/* A value of which a part and a part of another one do not go together. */
struct peer_value {
    uint64_t words[25];
};

static inline struct peer_value peer_value_of(uint64_t seed, uint64_t number)
{
    struct peer_value value;

    value.words[0] = number;
    for (size_t i = 1; i < 25; i++) {
        value.words[i] = peer_mix(seed + i, number);
    }
    return value;
}

static inline int peer_is_whole(uint64_t seed, const struct peer_value *value)
{
    const struct peer_value whole = peer_value_of(seed, value->words[0]);

    return memcmp(&whole, value, sizeof whole) == 0;
}

#endif
