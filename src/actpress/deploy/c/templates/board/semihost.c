/* Text and exit status through the emulator's semihosting. */
#include "board/semihost.h"

#include <stdint.h>

#include "console.h"

enum { WRITE_TEXT = 4, COMMAND_LINE = 0x15, EXIT_EXTENDED = 0x20 };
#define STOPPED_BY_APPLICATION 0x20026u

static int call(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory", "cc");
    return (int)r0;
}

void semihost_exit(int status)
{
    const uint32_t block[2] = {STOPPED_BY_APPLICATION, (uint32_t)status};
    for (;;) call(EXIT_EXTENDED, block);
}

int semihost_command_line(char *line, uint32_t bytes)
{
    const uint32_t block[2] = {(uint32_t)(uintptr_t)line, bytes};
    return call(COMMAND_LINE, block);
}

void say(const char *text) { call(WRITE_TEXT, text); }

void say_number(int32_t value)
{
    char text[12], *at = text + sizeof text;
    uint32_t left = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    *--at = 0;
    do *--at = (char)('0' + left % 10u);
    while (left /= 10u);
    if (value < 0) *--at = '-';
    say(at);
}

void after_run(void) { __asm volatile("" ::: "memory"); }
