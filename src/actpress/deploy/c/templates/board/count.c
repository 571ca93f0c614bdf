/* A plugin for qemu-system-arm 7.2 (plugin interface 1): instructions of an inference, and bytes
   loaded and stored: in all, in the arena, and of these in maps. An inference begins with `net_run`
   and ends with `after_run`; the figures are of the first one. In the arena, all that is not a line
   buffer of the chain that runs is a map: board/chains.txt says where those lie, and every call of
   `run_chain` is the next chain. Neither the header nor plugins are packaged by Debian, so the few
   declarations that are needed are repeated here. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
typedef uint32_t memory_info;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { NO_REGISTERS = 0, READ_AND_WRITE = 3 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(
    plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);
extern void qemu_plugin_register_vcpu_insn_exec_cb(
    struct qemu_plugin_insn *, void (*)(unsigned, void *), int, void *);
extern void qemu_plugin_register_vcpu_insn_exec_inline(
    struct qemu_plugin_insn *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_mem_cb(
    struct qemu_plugin_insn *, void (*)(unsigned, memory_info, uint64_t, void *), int, int, void *);
extern unsigned qemu_plugin_mem_size_shift(memory_info);
extern int qemu_plugin_mem_is_store(memory_info); /* a bool: only its lowest byte counts */
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

struct counts {
    uint64_t instructions, loaded, stored, arena_loaded, arena_stored, map_loaded, map_stored;
};
static struct counts now, begun, found;
static int running, complete;
static const char *out_name = "counts.txt";
static uint64_t base, size;
static uint64_t net_run; /* its address */

enum { MOST_CHAINS = 4096, MOST_COPIES = 8 };
static struct {
    uint64_t offset, bytes;
} buffers[MOST_CHAINS]; /* of every chain */
static size_t chains, chain; /* how many there are, and have begun */
static uint64_t entries[MOST_COPIES]; /* of run_chain, which the compiler may have copied */
static size_t copies;

static void begin(unsigned cpu, void *data)
{
    (void)cpu, (void)data;
    if (!complete && !running) begun = now, running = 1, chain = 0;
}

static void begin_chain(unsigned cpu, void *data)
{
    (void)cpu, (void)data;
    if (running) chain++;
}

static void end(unsigned cpu, void *data)
{
    (void)cpu, (void)data;
    if (running) {
        found.instructions = now.instructions - begun.instructions;
        found.loaded = now.loaded - begun.loaded;
        found.stored = now.stored - begun.stored;
        found.arena_loaded = now.arena_loaded - begun.arena_loaded;
        found.arena_stored = now.arena_stored - begun.arena_stored;
        found.map_loaded = now.map_loaded - begun.map_loaded;
        found.map_stored = now.map_stored - begun.map_stored;
        running = 0, complete = 1;
    }
}

/* Whether an offset in the arena is in the line buffers of the chain that runs. */
static int is_buffer(uint64_t offset)
{
    if (chain == 0 || chain > chains) return 0;
    return offset - buffers[chain - 1].offset < buffers[chain - 1].bytes; /* wraps below */
}

static void on_memory(unsigned cpu, memory_info info, uint64_t address, void *data)
{
    const uint64_t bytes = 1u << qemu_plugin_mem_size_shift(info);
    const uint64_t in_arena = address - base < size ? bytes : 0; /* wraps below */
    const uint64_t in_map = is_buffer(address - base) ? 0 : in_arena;
    (void)cpu, (void)data;
    if (qemu_plugin_mem_is_store(info) & 0xff)
        now.stored += bytes, now.arena_stored += in_arena, now.map_stored += in_map;
    else
        now.loaded += bytes, now.arena_loaded += in_arena, now.map_loaded += in_map;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        const char *symbol = qemu_plugin_insn_symbol(insn);
        const uint64_t address = qemu_plugin_insn_vaddr(insn);
        /* The first block of a function that is translated begins where the function begins. */
        if (symbol && !strcmp(symbol, "net_run")) {
            if (!net_run) net_run = address;
            if (address == net_run)
                qemu_plugin_register_vcpu_insn_exec_cb(insn, begin, NO_REGISTERS, 0);
        }
        if (symbol && !strcmp(symbol, "after_run"))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, end, NO_REGISTERS, 0);
        for (size_t copy = 0; copy < copies; copy++)
            if (address == entries[copy])
                qemu_plugin_register_vcpu_insn_exec_cb(insn, begin_chain, NO_REGISTERS, 0);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, 0, &now.instructions, 1);
        qemu_plugin_register_vcpu_mem_cb(insn, on_memory, NO_REGISTERS, READ_AND_WRITE, 0);
    }
}

static void at_end(plugin_id id, void *data)
{
    FILE *out = fopen(out_name, "w");
    (void)id, (void)data;
    if (!out) return;
    fprintf(out, "instructions %" PRIu64 "\n", found.instructions);
    fprintf(out, "loaded %" PRIu64 " bytes, of the arena %" PRIu64 "\n", found.loaded,
            found.arena_loaded);
    fprintf(out, "stored %" PRIu64 " bytes, in the arena %" PRIu64 "\n", found.stored,
            found.arena_stored);
    if (chain == chains)
        fprintf(out, "maps: loaded %" PRIu64 " bytes, stored %" PRIu64 "\n", found.map_loaded,
                found.map_stored);
    fclose(out);
}

static int read_chains(const char *name)
{
    FILE *in = fopen(name, "r");
    if (!in) return 0;
    while (chains < MOST_CHAINS && fscanf(in, "%" SCNu64 " %" SCNu64, &buffers[chains].offset,
                                          &buffers[chains].bytes) == 2)
        chains++;
    fclose(in);
    return 1;
}

__attribute__((visibility("default")))
int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++) {
        if (!strncmp(arguments[i], "out=", 4)) out_name = strdup(arguments[i] + 4);
        else if (!strncmp(arguments[i], "base=", 5)) base = strtoull(arguments[i] + 5, 0, 0);
        else if (!strncmp(arguments[i], "size=", 5)) size = strtoull(arguments[i] + 5, 0, 0);
        else if (!strncmp(arguments[i], "entry=", 6) && copies < MOST_COPIES)
            entries[copies++] = strtoull(arguments[i] + 6, 0, 0) & ~UINT64_C(1); /* bit 0: Thumb */
        else if (!strncmp(arguments[i], "chains=", 7) && read_chains(arguments[i] + 7)) continue;
        else return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, at_end, 0);
    return 0;
}
