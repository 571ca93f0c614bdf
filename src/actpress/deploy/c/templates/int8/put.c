
/* A sum of a pixel becomes a byte of the row, or a logit; addends join it first. */
static inline void put(const struct stage *stage, const struct channel *channel, uint32_t x,
                       uint32_t output, int32_t sum)
{
    int64_t total = (int64_t)sum * channel->multiplier;
    if (stage->join_count) total = joined(stage, x, output, total);
    const int32_t value = scaled(total, channel->shift);
    if (stage->target)
        result[x * stage->outputs + output] =
            (uint8_t)clip(value + channel->offset, channel->low, channel->high);
    else
        ((int32_t *)(void *)result)[output] = value;
}
