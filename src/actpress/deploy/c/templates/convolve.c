
#if defined(__ARM_FEATURE_SIMD32)
/* The second and the fourth of four int8; the first and the third are __sxtb16(x). */
static inline int16x2_t odd_bytes(uint32_t x) { return __sxtb16(x >> 8 | x << 24); }

static inline uint32_t word(const int8_t *from)
{
    uint32_t found;
    memcpy(&found, from, 4);
    return found;
}

static inline int32_t products(int16x2_t even, int16x2_t odd, uint32_t weights, int32_t sum)
{
    return __smlad(odd, odd_bytes(weights), __smlad(even, __sxtb16(weights), sum));
}
#endif

/* Four outputs, so that an input is loaded once for four products; inputs by fours, too. */
static inline void dot(const int8_t *from, const int8_t *weight, uint32_t quads, int32_t sums[4])
{
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
    for (; quads; quads--, from += 4, weight += 16) {
#if defined(__ARM_FEATURE_SIMD32)
        const uint32_t x = word(from);
        const int16x2_t even = __sxtb16(x), odd = odd_bytes(x);
        s0 = products(even, odd, word(weight), s0);
        s1 = products(even, odd, word(weight + 4), s1);
        s2 = products(even, odd, word(weight + 8), s2);
        s3 = products(even, odd, word(weight + 12), s3);
#else
        for (uint32_t i = 0; i < 4u; i++) {
            s0 += from[i] * weight[i];
            s1 += from[i] * weight[i + 4u];
            s2 += from[i] * weight[i + 8u];
            s3 += from[i] * weight[i + 12u];
        }
#endif
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

/* Weights: group, four outputs, kernel row, run, quad, output, input. A run is a stretch of inputs
   that lie one after the other. */
static void convolve(const struct stage *stage, uint32_t row)
{
    const uint32_t channels = stage->source->channels;
    const uint32_t inputs = channels / stage->groups;
    const int8_t *rows[TALLEST_KERNEL];
    window_rows(stage, row, rows);
    for (uint32_t x = 0; x < stage->width; x++) {
        const int8_t *weight = stage->weight;
        for (uint32_t g = 0; g < stage->groups; g++) {
            const size_t first = (size_t)x * stage->stride_width * channels + g * inputs;
            for (uint32_t o = 0; o < stage->group_outputs; o += 4u) {
                const uint32_t output = g * stage->group_outputs + o;
                const uint32_t left = stage->group_outputs - o, count = left < 4u ? left : 4u;
                int32_t sums[4] = {0, 0, 0, 0};
                for (uint32_t i = 0; i < count; i++) sums[i] = stage->channels[output + i].bias;
                for (uint32_t ky = 0; ky < stage->kernel_height; ky++) {
                    const int8_t *from = rows[ky] + first;
                    for (uint32_t run = 0; run < stage->runs; run++, from += stage->run_step) {
                        dot(from, weight, stage->quads, sums);
                        weight += 16u * stage->quads;
                    }
                }
                for (uint32_t i = 0; i < count; i++) put(stage, x, output + i, sums[i]);
            }
        }
    }
}
