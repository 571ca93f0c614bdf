
/* A sum with what addends give to it. */
static wide joined(const struct stage *stage, uint32_t x, uint32_t output, wide total)
{
    for (uint32_t j = 0; j < stage->join_count; j++) {
        const struct join *join = &stage->joins[j];
        const uint32_t at = output - join->first; /* wraps below the first channel */
        if (at < join->reading->channels) {
            const number *line = lines(join->line_at) + x * (uint32_t)join->reading->channels;
            total += (wide)(line[at] - ZERO(join->reading, at)) * join->multiplier[at];
        }
    }
    return total;
}
