#include "console.h"

#include <stdio.h>

void say(const char *text) { fputs(text, stdout); }

void say_number(int32_t value) { printf("%ld", (long)value); }

void after_run(void) {}

uint32_t stack_used(void) { return 0; }
