
/* Bytes of pixels, in place. */
static void look_up(const struct table *table, uint32_t pixels, uint32_t channels, uint8_t *bytes)
{
    for (; pixels; pixels--, bytes += channels)
        for (uint32_t c = 0; c < channels; c++)
            bytes[c] = table->values[(table->start ? table->start[c] : 0u) + bytes[c]];
}
