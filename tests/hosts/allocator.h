#include <stddef.h>

/* How often this thread has called the program's malloc, calloc, realloc and free. */
unsigned long allocations(void);
