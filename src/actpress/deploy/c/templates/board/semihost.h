#ifndef SEMIHOST_H
#define SEMIHOST_H
#include <stdint.h>

/* Ends the emulation with a status, 0 to 255. */
void semihost_exit(int status);

/* The words that the emulator was given, with spaces between; not 0 where they are longer. */
int semihost_command_line(char *line, uint32_t bytes);
#endif
