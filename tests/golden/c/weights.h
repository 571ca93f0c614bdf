#ifndef WEIGHTS_H
#define WEIGHTS_H
#include <stdint.h>

typedef uint8_t member; /* a position among the channels of a map */
typedef uint8_t place;   /* where the values of a channel begin in a table */

typedef int8_t number;        /* of a line, and a weight */
typedef int32_t accumulator;  /* of their products */
typedef int32_t factor;       /* of accumulators */
typedef int64_t wide;         /* of accumulators and factors */
typedef const number *border; /* for every channel; 0: the least one */
#define LEAST INT8_MIN
#define ZERO(reading, channel) ((reading)->zero[channel])

/* One output channel: where its sum starts, and how the sum becomes a byte (or a logit):
   clip(((sum * multiplier + 2^(shift - 1)) >> shift) + offset, low, high). */
struct channel {
    int32_t bias, multiplier;
    int16_t offset, low, high;
    uint8_t shift;
};

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

/* A linear map of the channels of a pixel: bytes from 0 to bytes. */
struct matrix {
    const number *weight; /* (outputs, inputs) */
    const struct channel *channels;
    const struct table *table; /* of what comes out, where there is one */
    uint16_t inputs, outputs;
};

/* How codes of a map become line values. */
struct reading {
    const struct map *map;
    const struct table *table;    /* of codes; 0 where there is a decoder */
    const struct matrix *decoder; /* from codes to channels */
    const number *zero;           /* line value of zero, for every channel */
    uint16_t channels;
};

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

extern const uint8_t image_lines_values[256];
extern const int8_t image_zero[1];
extern const struct channel first_channels[4];
extern const uint8_t code_symbol_at[1024];
extern const uint32_t code_shares[8];
extern const struct run first_coded[1];
extern const struct run first_coded_2[1];
extern const struct run first_of_1_bits[1];
extern const struct run first_of_2_bits[1];
extern const int8_t first_weight[48];
extern const uint8_t first_lines_values[8];
extern const int8_t first_zero[4];
extern const struct channel second_channels[4];
extern const int8_t second_weight[144];
extern const struct channel add_channels[4];
extern const int32_t add_join_first[4];
extern const uint8_t joined_lines_values[16];
extern const struct channel pool_channels[4];
extern const int8_t pooled_zero[4];
extern const struct channel head_channels[4];
extern const int8_t head_weight[16];
#endif
