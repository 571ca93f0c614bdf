#ifndef WEIGHTS_H
#define WEIGHTS_H
#include <stdint.h>

typedef @MEMBER@ member; /* a position among the channels of a map */
typedef @START@ place;   /* where the values of a channel begin in a table */

@NUMBERS@
/* Channels whose values begin alike: from the one after the span before to the last. */
struct span {
    member last;
    place start;
};

/* A function of a byte for every channel: values[start + byte]; spans 0: one for all, or one for each
   group of channels of a packed map. */
struct table {
    const uint8_t *values;
    const struct span *spans;
    const place *group_start;
};

/* Channels that lie side by side. */
struct run {
    member first, count;
};

/* Channels of a map whose codes have one width; runs 0: all of them. */
struct group {
    const struct run *runs;
    uint16_t count;
    uint16_t run_count;
    uint16_t row_bytes;
    uint8_t bits;
};

/* A code: the symbol of every slot, and of every symbol its frequency in the upper half of a word, and
   its first slot, negated, in the lower half. */
struct code {
    const uint8_t *symbol_at;
    const uint32_t *shares;
};

/* Channels of a map that have one code; code 0: of one symbol. */
struct coded_group {
    const struct code *code;
    const struct run *runs;
    uint16_t count;
    uint16_t run_count;
};

/* Of rows that are rANS streams. Those that do not fit in row_bytes are packed, without the
   lowest bits. */
struct coding {
    const struct coded_group *groups;
    uint16_t group_count;
    uint8_t dropped;
};

/* A map in the arena: rows, and in a packed row the groups one after the other. */
struct map {
    const struct group *groups;
    const struct coding *coding; /* 0: all rows are packed */
    uint32_t offset, row_bytes;
    uint16_t group_count, channels, height, width;
};

@READINGS@
/* Line values that join the sums: (line - zero) * multiplier. */
struct join {
    const struct reading *reading;
    const factor *multiplier;
    uint32_t line_at;
    uint16_t first; /* channel of the sums that the first one joins */
};

#define IN_NEXT_LINE UINT32_MAX /* the row lies in the line buffer of the next stage */

/* What computes one map, row by row. Offsets are in the arena. The row may overwrite the line of an
   addend, which is read just before. */
struct stage {
    void (*compute)(const struct stage *stage, uint32_t row);
    void (*absorb)(const struct stage *stage); /* takes rows in that are not kept */
    const struct reading *source;
    const number *weight;
    const struct channel *channels;
    const struct join *joins;
    const struct table *table;    /* of bytes before they are codes, or before the encoder */
    const struct matrix *encoder;
    const struct map *target;     /* 0: logits */
    border padding;               /* line values beyond borders */
    accumulator begin;            /* of sums that rows are absorbed by */
    uint32_t rows_at, sums_at, row_at, codes_at, row_stride;
    uint16_t join_count, outputs, height, width;
    int32_t run_skip; /* from the end of a run to the next */
    uint16_t groups, group_outputs, runs, quads;
    uint8_t kernel_height, kernel_width, stride_height, stride_width;
    uint8_t dilation_height, dilation_width, top, left, right, slots;
};

@DECLARATIONS@
#endif
