
/* The last symbols of a run, too few for a whole step. */
static void unpack_rest(const uint8_t *from, uint32_t bits, uint32_t count,
                        const uint8_t *table, uint8_t *to)
{
    uint32_t word = 0, held = 0;
    for (; count; count--) {
        if (held < bits) {
            word |= (uint32_t)*from++ << held;
            held += 8u;
        }
        *to++ = table[word & ((1u << bits) - 1u)];
        word >>= bits;
        held -= bits;
    }
}

static void pack_rest(const uint8_t *from, uint32_t bits, uint32_t count, uint8_t *to)
{
    uint32_t word = 0, held = 0;
    for (; count; count--) {
        word |= (uint32_t)*from++ << held;
        for (held += bits; held >= 8u; held -= 8u) {
            *to++ = (uint8_t)word;
            word >>= 8;
        }
    }
    if (held) *to = (uint8_t)word;
}
@RUNS@
NOT_INLINE static void unpack_run(const uint8_t *from, uint32_t bits, uint32_t count,
                                  const uint8_t *table, uint8_t *to)
{
    switch (bits) {
@UNPACK_CASES@    default: unpack_rest(from, bits, count, table, to);
    }
}

NOT_INLINE static void pack_run(const uint8_t *from, uint32_t bits, uint32_t count, uint8_t *to)
{
    switch (bits) {
@PACK_CASES@    default: pack_rest(from, bits, count, to);
    }
}

#define BLOCK 32u /* symbols: a whole number of bytes at every width */

static const uint8_t same[256] = {
@SAME@};

/* A run of channels of a group of `count`. */
static inline uint32_t first_of(const struct run *runs, uint32_t r) { return runs ? runs[r].first : 0u; }

static inline uint32_t end_of(const struct run *runs, uint32_t r, uint32_t count)
{
    return runs ? (uint32_t)runs[r].first + runs[r].count : count;
}

/* Some channels of a row of pixels. */
static void unpack_members(const uint8_t *from, const struct map *map, const struct group *group,
                           const uint8_t *values, uint8_t *to)
{
    uint8_t bytes[BLOCK];
    const uint8_t *byte = bytes, *end = bytes;
    uint32_t left = (uint32_t)map->width * group->count;
    for (uint32_t x = 0; x < map->width; x++, to += map->channels)
        for (uint32_t r = 0; r < group->run_count; r++) {
            const uint32_t last = end_of(group->runs, r, group->count);
            for (uint32_t channel = first_of(group->runs, r); channel < last; channel++, byte++) {
                if (byte == end) {
                    const uint32_t count = left < BLOCK ? left : BLOCK;
                    unpack_run(from, group->bits, count, values, bytes);
                    from += BLOCK / 8u * group->bits;
                    left -= count;
                    byte = bytes, end = bytes + count;
                }
                to[channel] = *byte;
            }
        }
}

static void pack_members(const uint8_t *from, const struct map *map, const struct group *group,
                         uint8_t *to)
{
    uint8_t codes[BLOCK];
    uint32_t count = 0;
    for (uint32_t x = 0; x < map->width; x++, from += map->channels)
        for (uint32_t r = 0; r < group->run_count; r++) {
            const uint32_t last = end_of(group->runs, r, group->count);
            for (uint32_t channel = first_of(group->runs, r); channel < last; channel++) {
                codes[count++] = from[channel];
                if (count < BLOCK) continue;
                pack_run(codes, group->bits, BLOCK, to);
                to += BLOCK / 8u * group->bits;
                count = 0;
            }
        }
    pack_run(codes, group->bits, count, to);
}

static uint8_t *stored(const struct map *map, uint32_t y)
{
    return arena(map->offset + y * map->row_bytes);
}

/* A packed row of a map, through a table of codes; table 0 leaves codes as they are. */
static void unpack_groups(const struct map *map, const uint8_t *from, const struct table *table,
                          uint8_t *to)
{
    const uint8_t *const values = table && !table->spans ? table->values : same;
    for (uint32_t g = 0; g < map->group_count; g++) {
        const struct group *group = &map->groups[g];
        const uint8_t *const own = values + (table && table->group_start ? table->group_start[g] : 0u);
        if (!group->runs)
            unpack_run(from, group->bits, (uint32_t)map->width * group->count, own, to);
        else
            unpack_members(from, map, group, own, to);
        from += group->row_bytes;
    }
    if (table && table->spans) look_up(table, map->width, map->channels, to, to);
}

static void pack_groups(const struct map *map, const uint8_t *codes, uint8_t *to)
{
    for (uint32_t g = 0; g < map->group_count; g++) {
        const struct group *group = &map->groups[g];
        if (!group->bits) continue;
        if (!group->runs)
            pack_run(codes, group->bits, (uint32_t)map->width * group->count, to);
        else
            pack_members(codes, map, group, to);
        to += group->row_bytes;
    }
}
