/* Start of a Cortex-M without an operating system: memory is set up, the stack is painted. */
#include <stdint.h>

#include "board/semihost.h"
#include "console.h"

#define PAINT 0xA5A5A5A5u
#define FAULT_STATUS 99

extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[];
extern uint32_t stack_limit[], stack_top[];
int main(void);
void reset(void);

static void fault(void) { semihost_exit(FAULT_STATUS); }

void reset(void)
{
    uint32_t *here;
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the FPU is off after reset */
    __asm volatile("dsb\n\tisb" ::: "memory");
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;) *to++ = 0;
    __asm volatile("mov %0, sp" : "=r"(here));
    for (uint32_t *to = stack_limit; to < here - 16;) *to++ = PAINT;
    semihost_exit(main());
}

uint32_t stack_used(void)
{
    const uint32_t *at = stack_limit;
    while (at < stack_top && *at == PAINT) at++;
    return (uint32_t)((const char *)stack_top - (const char *)at);
}

struct vectors {
    const void *stack;
    void (*handlers[15])(void);
};

__attribute__((section(".vectors"), used)) static const struct vectors table = {
    stack_top,
    { reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault },
};
