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
