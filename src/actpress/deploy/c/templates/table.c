
/* Bytes of pixels; they may stay where they are. */
NOT_INLINE static void look_up(const struct table *table, uint32_t pixels, uint32_t channels,
                               const uint8_t *from, uint8_t *to)
{
    const struct span *const spans = table->spans;
    for (; pixels; pixels--)
        for (uint32_t c = 0, s = 0; c < channels; s++) {
            const uint8_t *const values = table->values + (spans ? spans[s].start : 0u);
            const uint32_t end = spans ? spans[s].last + 1u : channels;
            for (; c < end; c++) *to++ = values[*from++];
        }
}
