
static void fill(const struct stage *stage, number *to, uint32_t pixels)
{
    for (uint32_t left = pixels * stage->source->channels; left; left--) *to++ = stage->padding;
}
