
/* Addends alone. */
static void add_up(const struct stage *stage, uint32_t row)
{
    (void)row;
    for (uint32_t x = 0; x < stage->width; x++)
        for (uint32_t c = 0; c < stage->outputs; c++) put(stage, &stage->channels[c], x, c, 0);
}
