
/* The sum of line values minus their zeros over a window, for each channel. */
static void total(const struct stage *stage, uint32_t row)
{
    const uint32_t channels = stage->source->channels;
    const number *rows[TALLEST_KERNEL];
    window_rows(stage, row, rows);
    for (uint32_t x = 0; x < stage->width; x++)
        for (uint32_t c = 0; c < channels; c++) {
            accumulator sum = 0;
            for (uint32_t ky = 0; ky < stage->kernel_height; ky++)
                for (uint32_t kx = 0; kx < stage->kernel_width; kx++) {
                    const size_t at = (size_t)x * stage->stride_width + kx * stage->dilation_width;
                    sum += rows[ky][at * channels + c] - ZERO(stage->source, c);
                }
            put(stage, &stage->channels[c], x, c, sum);
        }
}
