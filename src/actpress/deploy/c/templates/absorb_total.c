
/* Adds a row to the sums of its windows, which do not overlap. */
static void absorb_total(const struct stage *stage)
{
    const uint32_t channels = stage->outputs;
    accumulator *sum = window_sums(stage);
    for (uint32_t x = 0; x < stage->width; x++, sum += channels) {
        const number *from = slot(stage, 0) + (size_t)x * stage->stride_width * channels;
        for (uint32_t kx = 0; kx < stage->kernel_width; kx++)
            for (uint32_t c = 0; c < channels; c++) sum[c] += *from++ - ZERO(stage->source, c);
    }
}
