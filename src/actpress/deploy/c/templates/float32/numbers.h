typedef float number;      /* of a line, and a weight */
typedef float accumulator; /* of their products */
typedef float factor;      /* of accumulators */
typedef float wide;        /* of accumulators and factors */
typedef number border;     /* of all channels */
#define LEAST (-3.4028235e+38f)
#define ZERO(reading, channel) 0.0f

/* One output channel: where its sum starts, and how the sum becomes a byte without its fraction (or
   a value): clip(sum * multiplier + offset, low, high). */
struct channel {
    float bias, multiplier, offset, low, high;
};
