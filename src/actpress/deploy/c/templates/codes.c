
/* The last symbols of a run, fewer than eight. */
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
static void unpack_run(const uint8_t *from, uint32_t bits, uint32_t count,
                       const uint8_t *table, uint8_t *to)
{
    switch (bits) {
@UNPACK_CASES@    default: unpack_rest(from, bits, count, table, to);
    }
}

static void pack_run(const uint8_t *from, uint32_t bits, uint32_t count, uint8_t *to)
{
    switch (bits) {
@PACK_CASES@    default: pack_rest(from, bits, count, to);
    }
}

/* Some channels of a row of pixels; table 0 leaves codes as they are. */
static void unpack_members(const uint8_t *from, const struct map *map, const struct group *group,
                           const struct table *table, uint8_t *to)
{
    const uint32_t bits = group->bits, mask = (1u << bits) - 1u;
    uint32_t word = 0, held = 0;
    for (uint32_t x = 0; x < map->width; x++, to += map->channels)
        for (uint32_t j = 0; j < group->count; j++) {
            const uint32_t channel = group->members ? group->members[j] : j;
            if (held < bits) {
                word |= (uint32_t)*from++ << held;
                held += 8u;
            }
            const uint32_t code = word & mask;
            word >>= bits;
            held -= bits;
            if (!table) to[channel] = (uint8_t)code;
            else to[channel] = table->values[(table->start ? table->start[channel] : 0u) + code];
        }
}

static void pack_members(const uint8_t *from, const struct map *map, const struct group *group,
                         uint8_t *to)
{
    uint32_t word = 0, held = 0;
    for (uint32_t x = 0; x < map->width; x++, from += map->channels)
        for (uint32_t j = 0; j < group->count; j++) {
            word |= (uint32_t)from[group->members[j]] << held;
            for (held += group->bits; held >= 8u; held -= 8u) {
                *to++ = (uint8_t)word;
                word >>= 8;
            }
        }
    if (held) *to = (uint8_t)word;
}

static const uint8_t *stored(const struct map *map, uint32_t y)
{
    return arena(map->offset + y * map->row_bytes);
}

/* A row of a map, through a table of codes; table 0 leaves codes as they are. */
static void unpack_row(const struct map *map, uint32_t y, const struct table *table, uint8_t *to)
{
    const uint8_t *from = stored(map, y);
    for (uint32_t g = 0; g < map->group_count; g++) {
        const struct group *group = &map->groups[g];
        if (!group->members && table && !table->start)
            unpack_run(from, group->bits, (uint32_t)map->width * group->count, table->values, to);
        else
            unpack_members(from, map, group, table, to);
        from += group->row_bytes;
    }
}

static void pack_row(const struct map *map, uint32_t y, const uint8_t *codes)
{
    uint8_t *to = arena(map->offset + y * map->row_bytes);
    for (uint32_t g = 0; g < map->group_count; g++) {
        const struct group *group = &map->groups[g];
        if (!group->bits) continue;
        if (!group->members)
            pack_run(codes, group->bits, (uint32_t)map->width * group->count, to);
        else
            pack_members(codes, map, group, to);
        to += group->row_bytes;
    }
}
