
/* Sums of the windows of a row, which do not overlap: rows are absorbed one by one. */
static accumulator *window_sums(const struct stage *stage)
{
    return (accumulator *)(void *)arena(stage->sums_at);
}

static void begin_sums(const struct stage *stage)
{
    accumulator *sums = window_sums(stage);
    for (uint32_t i = 0; i < (uint32_t)stage->width * stage->outputs; i++) sums[i] = stage->begin;
}

static void hand_over(const struct stage *stage, uint32_t row)
{
    const accumulator *sum = window_sums(stage);
    (void)row;
    for (uint32_t x = 0; x < stage->width; x++)
        for (uint32_t c = 0; c < stage->outputs; c++) put(stage, &stage->channels[c], x, c, *sum++);
    begin_sums(stage);
}
