
static inline int32_t clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Divides by 2^shift and rounds half up. */
static inline int32_t scaled(int64_t sum, uint32_t shift)
{
    if (shift > 32u) /* the lower word does not matter */
        return ((int32_t)(sum >> 32) + ((int32_t)1 << (shift - 33u))) >> (shift - 32u);
    sum = (sum + ((int64_t)1 << (shift - 1u))) >> shift;
    return sum < INT32_MIN ? INT32_MIN : sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
}

/* What addends give to a sum. */
static int64_t joined(const struct stage *stage, uint32_t x, uint32_t output)
{
    int64_t total = 0;
    for (uint32_t j = 0; j < stage->join_count; j++) {
        const struct join *join = &stage->joins[j];
        const uint32_t at = output - join->first; /* wraps below the first channel */
        if (at < join->reading->channels) {
            const int8_t *line = lines(join->line_at) + x * (uint32_t)join->reading->channels;
            total += (int64_t)(line[at] - join->reading->zero[at]) * join->multiplier[at];
        }
    }
    return total;
}

/* A sum of a pixel becomes a byte of the row, or a logit; addends join it first. */
static inline void put(const struct stage *stage, const struct channel *channel, uint32_t x,
                       uint32_t output, int32_t sum)
{
    int64_t total = (int64_t)sum * channel->multiplier;
    if (stage->join_count) total += joined(stage, x, output);
    const int32_t value = scaled(total, channel->shift);
    if (stage->target)
        result[x * stage->outputs + output] =
            (uint8_t)clip(value + channel->offset, channel->low, channel->high);
    else
        ((int32_t *)(void *)result)[output] = value;
}
