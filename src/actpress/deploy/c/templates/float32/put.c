
/* A sum of a pixel becomes a byte of the row, or a value for an encoder, or a logit; addends join it
   first. */
static inline void put(const struct stage *stage, const struct channel *channel, uint32_t x,
                       uint32_t output, float sum)
{
    const uint32_t at = x * stage->outputs + output;
    float total = sum * channel->multiplier;
    if (stage->join_count) total = joined(stage, x, output, total);
    const float value = clip(total + channel->offset, channel->low, channel->high);
    if (stage->target && !stage->encoder) result[at] = (uint8_t)value;
    else ((float *)(void *)result)[at] = value;
}
