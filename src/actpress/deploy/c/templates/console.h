#ifndef CONSOLE_H
#define CONSOLE_H
#include <stdint.h>

void say(const char *text);
void say_number(int32_t value);

/* Follows every inference, so that an emulator can tell where it ends. */
void after_run(void);

/* Deepest stack so far in bytes; 0 where that is not known. */
uint32_t stack_used(void);
#endif
