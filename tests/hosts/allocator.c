/* The allocator of a program that has one of its own: it counts what each thread asks for. */
#include "allocator.h"
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

static _Alignas(16) char memory[64 << 20];
static atomic_size_t used;
/* In the executable, so that it takes no allocation. */
static _Thread_local unsigned long asked;

unsigned long allocations(void)
{
    return asked;
}

/* Its size stands before each piece. */
void *malloc(size_t size)
{
    size_t whole = (size + 16 + 15) / 16 * 16;
    char *piece = memory + atomic_fetch_add(&used, whole);

    asked++;
    if (piece + whole > memory + sizeof memory) {
        return NULL;
    }
    *(size_t *) piece = size;
    return piece + 16;
}

void free(void *piece)
{
    asked++;
    (void) piece;
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size); /* never used before, so it is 0 */
}

void *realloc(void *piece, size_t size)
{
    void *other = malloc(size);

    if (piece != NULL && other != NULL) {
        size_t before = ((size_t *) piece)[-2];
        memcpy(other, piece, before < size ? before : size);
    }
    return other;
}
