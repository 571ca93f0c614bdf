
/* Where the rows that a row of the result sees lie. */
static void window_rows(const struct stage *stage, uint32_t row, const number *rows[])
{
    for (uint32_t i = 0; i < stage->kernel_height; i++)
        rows[i] = slot(stage, row * stage->stride_height + i * stage->dilation_height);
}
