
/* One kernel for each channel. Weights: kernel row, kernel column, channel. */
static void depthwise(const struct stage *stage, uint32_t row)
{
    const uint32_t channels = stage->source->channels;
    const number *rows[TALLEST_KERNEL];
    window_rows(stage, row, rows);
    for (uint32_t x = 0; x < stage->width; x++) {
        const size_t first = (size_t)x * stage->stride_width * channels;
        for (uint32_t c = 0; c < channels; c++) {
            const number *weight = stage->weight + c;
            accumulator sum = stage->channels[c].bias;
            for (uint32_t ky = 0; ky < stage->kernel_height; ky++) {
                const number *from = rows[ky] + first + c;
                for (uint32_t kx = 0; kx < stage->kernel_width; kx++) {
                    sum += *from * *weight;
                    from += (size_t)stage->dilation_width * channels;
                    weight += channels;
                }
            }
            put(stage, &stage->channels[c], x, c, sum);
        }
    }
}
