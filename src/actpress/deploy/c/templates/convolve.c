
#if defined(__ARM_FEATURE_SIMD32)
/* The second and the fourth of four int8; the first and the third are __sxtb16(x). */
static inline int16x2_t odd_bytes(uint32_t x)
{
    int16x2_t found;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(found) : "r"(x));
    return found;
}

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

/* Sums of four outputs of a pixel, so that an input is loaded once for four products; inputs by
   fours, too. Weights: group, four outputs, kernel row, run, quad, output, input. A run is a stretch
   of inputs that lie one after the other. Returns where the next weights are. */
NOT_INLINE static const int8_t *four_sums(const struct stage *stage, const int8_t *const *rows,
                                          size_t first, const int8_t *weight,
                                          const struct channel *channels, int32_t sums[4])
{
    int32_t s0 = channels[0].bias, s1 = channels[1].bias;
    int32_t s2 = channels[2].bias, s3 = channels[3].bias;
    const int8_t *const *const last = rows + stage->kernel_height;
    for (; rows != last; rows++) {
        const int8_t *from = *rows + first;
        for (uint32_t runs = stage->runs; runs; runs--) {
            const int8_t *const end = from + 4u * stage->quads;
            for (; from != end; from += 4, weight += 16) {
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
            from += stage->run_skip;
        }
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
    return weight;
}

static void convolve(const struct stage *stage, uint32_t row)
{
    const uint32_t inputs = stage->source->channels, group_inputs = inputs / stage->groups;
    const uint32_t group_outputs = stage->group_outputs;
    const int8_t *rows[TALLEST_KERNEL];
    window_rows(stage, row, rows);
    for (uint32_t x = 0; x < stage->width; x++) {
        const struct channel *channels = stage->channels; /* by fours, too */
        const int8_t *weight = stage->weight;
        size_t first = (size_t)x * stage->stride_width * inputs;
        uint32_t output = 0;
        for (uint32_t g = 0; g < stage->groups; g++, first += group_inputs)
            for (uint32_t left = group_outputs; left;) {
                const uint32_t count = left < 4u ? left : 4u;
                int32_t sums[4];
                weight = four_sums(stage, rows, first, weight, channels, sums);
                for (uint32_t i = 0; i < count; i++)
                    put(stage, &channels[i], x, output + i, sums[i]);
                channels += 4;
                output += count;
                left -= count;
            }
    }
}
