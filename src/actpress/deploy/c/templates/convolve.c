
/* Sums of four outputs of a pixel, so that an input is loaded once for four products; inputs by
   @INPUTS@, too. Weights: group, four outputs, kernel row, run, quad, output, input. A run is a stretch
   of inputs that lie one after the other. Returns where the next weights are. */
NOT_INLINE static const number *four_sums(const struct stage *stage, const number *const *rows,
                                          size_t first, const number *weight,
                                          const struct channel *channels, accumulator sums[4])
{
    accumulator s0 = channels[0].bias, s1 = channels[1].bias;
    accumulator s2 = channels[2].bias, s3 = channels[3].bias;
    const number *const *const last = rows + stage->kernel_height;
    for (; rows != last; rows++) {
        const number *from = *rows + first;
        for (uint32_t runs = stage->runs; runs; runs--) {
            const number *const end = from + @INPUTS@u * stage->quads;
            for (; from != end; from += @INPUTS@, weight += @WEIGHTS@) {
@PRODUCTS@            }
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
    const number *rows[TALLEST_KERNEL];
    window_rows(stage, row, rows);
    for (uint32_t x = 0; x < stage->width; x++) {
        const struct channel *channels = stage->channels; /* by fours, too */
        const number *weight = stage->weight;
        size_t first = (size_t)x * stage->stride_width * inputs;
        uint32_t output = 0;
        for (uint32_t g = 0; g < stage->groups; g++, first += group_inputs)
            for (uint32_t left = group_outputs; left;) {
                const uint32_t count = left < 4u ? left : 4u;
                accumulator sums[4];
                weight = four_sums(stage, rows, first, weight, channels, sums);
                for (uint32_t i = 0; i < count; i++)
                    put(stage, &channels[i], x, output + i, sums[i]);
                channels += 4;
                output += count;
                left -= count;
            }
    }
}
