/* main.c on an emulated board: its arguments, files and text go through semihosting. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "board/semihost.h"

#define HEAP_BYTES 16384u /* for the C library's files */
#define LONGEST_LINE 1024u
#define MOST_ARGUMENTS 8

void initialise_monitor_handles(void); /* of newlib's librdimon */
void *_sbrk(ptrdiff_t more);
int program(int count, char **arguments); /* main of main.c */
int main(void);

void *_sbrk(ptrdiff_t more)
{
    static uint64_t heap[HEAP_BYTES / sizeof(uint64_t)];
    static size_t used;
    if (used + (size_t)more > sizeof heap) return (void *)-1;
    used += (size_t)more;
    return (char *)heap + used - (size_t)more;
}

int main(void)
{
    static char line[LONGEST_LINE];
    char *arguments[MOST_ARGUMENTS + 1] = {0};
    int count = 0;
    if (semihost_command_line(line, sizeof line)) return 2;
    for (char *at = line; *at && count < MOST_ARGUMENTS;) {
        arguments[count++] = at;
        while (*at && *at != ' ') at++;
        if (*at) *at++ = 0;
    }
    initialise_monitor_handles();
    const int status = program(count, arguments);
    fflush(NULL);
    return status;
}
