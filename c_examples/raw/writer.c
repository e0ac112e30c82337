/* Reads a line and leaves it in a segment for the reader. */
#define _XOPEN_SOURCE 700
#include "../example.h"

enum { SIZE = 1024 };

int main(void)
{
    sigset_t signals;
    size_t length;
    char *line = ask_for_line(&length);
    char *shared;
    int id;

    if (memchr(line, '\0', length) != NULL) {
        fail_with("writer", "the line has a NUL byte in it, which would end it for the reader");
    }
    if (length > SIZE) {
        fprintf(stderr, "writer: the line has %zu bytes, and the segment holds %d\n", length, SIZE);
        return EXIT_FAILURE;
    }

    /* Created only now, with the stop signals blocked: a program that is stopped at the prompt leaves no segment, and
       one that is stopped later leaves no partial text. */
    hold_stop_signals(&signals);
    id = shm_open_key("shmfile", 115, SIZE, SHMKEY_CREATE | 0600);
    shared = id < 0 ? NULL : shm_attach(id, 0);
    if (shared == NULL) {
        fail("writer", id);
    }
    /* With its NUL, unless the line fills the segment to the last byte. */
    memcpy(shared, line, length < SIZE ? length + 1 : SIZE);
    allow_stop_signals(&signals);
    printf("Data written in memory: %s\n", line);
    free(line);
    if (!output_arrived()) {
        fail_with("writer", "the line is in the segment, but the output could not be written");
    }
    return shm_detach(shared) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
