
/* Compares a row with the largest values of its windows, which do not overlap. */
static void absorb_largest(const struct stage *stage)
{
    const uint32_t channels = stage->outputs;
    accumulator *found = window_sums(stage);
    for (uint32_t x = 0; x < stage->width; x++, found += channels) {
        const number *from = slot(stage, 0) + (size_t)x * stage->stride_width * channels;
        for (uint32_t kx = 0; kx < stage->kernel_width; kx++)
            for (uint32_t c = 0; c < channels; c++, from++) {
                const accumulator value = *from - ZERO(stage->source, c);
                if (value > found[c]) found[c] = value;
            }
    }
}
