
#define RANS_BITS 10u     /* of a slot */
#define RANS_LOW 65536u   /* states between symbols are RANS_LOW to 256 * RANS_LOW - 1 */
#define RANS_FULL 14u     /* a state of frequency << RANS_FULL gives off a byte before a symbol */
#define RANS_HEADER 2u    /* bytes of a stream; 0: a packed row follows */
#define RANS_STATE 3u     /* bytes of a state */
#define FIRST_SLOT(share) ((0u - (share)) & 0xffffu)

struct rans {
    uint32_t state;
    const uint8_t *from, *end;
};

/* A state without its last symbol. */
static inline uint32_t before(uint32_t state, uint32_t slot, uint32_t share)
{
#if defined(__ARM_FEATURE_SIMD32)
    int16x2_t factors; /* state >> RANS_BITS, and 1 */
    __asm("pkhbt %0, %1, %2, lsl #6" : "=r"(factors) : "r"(1u), "r"(state));
    return (uint32_t)__smlad((int16x2_t)share, factors, (int32_t)slot);
#else
    return (share >> 16) * (state >> RANS_BITS) + slot - FIRST_SLOT(share);
#endif
}

/* Decodes symbols through a table of bytes. Whatever the bytes are, symbols are those of the code,
   and nothing beyond `end` is read. */
NOT_INLINE static void decode_run(struct rans *rans, const struct code *code, uint32_t count,
                                  const uint8_t *table, uint8_t *to)
{
    const uint8_t *const symbol_at = code->symbol_at, *from = rans->from, *const end = rans->end;
    const uint32_t *const shares = code->shares;
    uint32_t state = rans->state;
    for (const uint8_t *const last = to + count; to != last;) {
        const uint32_t slot = state & ((1u << RANS_BITS) - 1u), symbol = symbol_at[slot];
        state = before(state, slot, shares[symbol]);
        *to++ = table[symbol];
        while (state < RANS_LOW) {
            if (RARE(from == end)) break; /* the row was damaged */
            state = state << 8 | *from++;
        }
    }
    rans->state = state;
    rans->from = from;
}

/* Some channels of a row of pixels. */
static void decode_members(struct rans *rans, const struct map *map,
                           const struct coded_group *group, const uint8_t *values, uint8_t *to)
{
    for (uint32_t x = 0; x < map->width; x++, to += map->channels)
        for (uint32_t r = 0; r < group->run_count; r++) {
            const uint32_t first = first_of(group->runs, r);
            const uint32_t count = end_of(group->runs, r, group->count) - first;
            uint8_t *const at = to + first;
            if (group->code) decode_run(rans, group->code, count, values, at);
            else memset(at, values[0], count);
        }
}

static void decode_row(const struct map *map, const uint8_t *from, const uint8_t *end,
                       const struct table *table, uint8_t *to)
{
    const uint8_t *const values = table && !table->spans ? table->values : same;
    struct rans rans = {0, from, end};
    for (uint32_t i = 0; i < RANS_STATE; i++)
        rans.state = rans.state << 8 | (rans.from != end ? *rans.from++ : 0u);
    for (uint32_t g = 0; g < map->coding->group_count; g++) {
        const struct coded_group *group = &map->coding->groups[g];
        if (!group->runs && group->code)
            decode_run(&rans, group->code, (uint32_t)map->width * group->count, values, to);
        else
            decode_members(&rans, map, group, values, to);
    }
    if (table && table->spans) look_up(table, map->width, map->channels, to, to);
}

/* Codes from the last to the first, so that they are decoded from the first on; the stream ends
   where the row ends. Returns its bytes; 0 if it is too long. */
NOT_INLINE static uint32_t encode_row(const struct map *map, const uint8_t *codes, uint8_t *row)
{
    uint8_t *const begin = row + RANS_HEADER, *const end = row + map->row_bytes, *to = end;
    uint32_t state = RANS_LOW;
    for (uint32_t g = map->coding->group_count; g--;) {
        const struct coded_group *group = &map->coding->groups[g];
        if (!group->code) continue;
        const uint32_t *const shares = group->code->shares;
        const uint8_t *pixel = codes + (size_t)map->width * map->channels;
        while (pixel != codes) {
            pixel -= map->channels;
            for (uint32_t r = group->run_count; r--;) {
                const uint8_t *const first = pixel + first_of(group->runs, r);
                for (const uint8_t *code = pixel + end_of(group->runs, r, group->count); code != first;) {
                    const uint32_t share = shares[*--code];
                    const uint32_t frequency = share >> 16, whole = frequency << RANS_FULL;
                    while (state >= whole) {
                        if (to == begin) return 0;
                        *--to = (uint8_t)state;
                        state >>= 8;
                    }
                    const uint32_t turns = state / frequency;
                    state = (turns << RANS_BITS) + (state - turns * frequency) + FIRST_SLOT(share);
                }
            }
        }
    }
    for (uint32_t i = 0; i < RANS_STATE; i++, state >>= 8) {
        if (to == begin) return 0;
        *--to = (uint8_t)state;
    }
    return (uint32_t)(end - to);
}

/* A packed row whose codes lack their lowest bits. */
NOT_INLINE static void unpack_dropped(const struct map *map, const uint8_t *from, const struct table *table,
                           uint8_t *to)
{
    unpack_groups(map, from, NULL, to);
    for (uint32_t i = 0; i < (uint32_t)map->width * map->channels; i++)
        to[i] = (uint8_t)(to[i] << map->coding->dropped);
    if (table) look_up(table, map->width, map->channels, to, to);
}

/* A row of a map, through a table of codes; table 0 leaves codes as they are. */
static void unpack_row(const struct map *map, uint32_t y, const struct table *table, uint8_t *to)
{
    const uint8_t *row = stored(map, y);
    if (!map->coding) {
        unpack_groups(map, row, table, to);
        return;
    }
    const uint8_t *const end = row + map->row_bytes;
    const uint32_t room = map->row_bytes - RANS_HEADER, said = row[0] | (uint32_t)row[1] << 8;
    if (said) decode_row(map, end - (said < room ? said : room), end, table, to);
    else if (map->coding->dropped) unpack_dropped(map, row + RANS_HEADER, table, to);
    else unpack_groups(map, row + RANS_HEADER, table, to);
}

/* Stores the codes of a row, which are no longer needed then. */
NOT_INLINE static void pack_row(const struct map *map, uint32_t y, uint8_t *codes)
{
    uint8_t *const row = stored(map, y);
    if (!map->coding) {
        pack_groups(map, codes, row);
        return;
    }
#ifdef NET_WATCH
    memset(row, 0, map->row_bytes);
#endif
    const uint32_t said = encode_row(map, codes, row);
    row[0] = (uint8_t)said;
    row[1] = (uint8_t)(said >> 8);
    if (said) return;
#ifdef NET_WATCH
    memset(row, 0, map->row_bytes);
#endif
    if (map->coding->dropped)
        for (uint32_t i = 0; i < (uint32_t)map->width * map->channels; i++)
            codes[i] = (uint8_t)(codes[i] >> map->coding->dropped);
    pack_groups(map, codes, row + RANS_HEADER);
}
