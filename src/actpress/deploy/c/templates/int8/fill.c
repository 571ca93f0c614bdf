
static void fill(const struct stage *stage, number *to, uint32_t pixels)
{
    const uint32_t channels = stage->source->channels;
    for (; pixels; pixels--, to += channels) {
        if (stage->padding) memcpy(to, stage->padding, channels);
        else memset(to, INT8_MIN, channels);
    }
}
