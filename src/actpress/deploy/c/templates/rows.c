
/* A row of a map, through a table of codes; table 0 leaves codes as they are. */
static void unpack_row(const struct map *map, uint32_t y, const struct table *table, uint8_t *to)
{
    unpack_groups(map, stored(map, y), table, to);
}

static void pack_row(const struct map *map, uint32_t y, const uint8_t *codes)
{
    pack_groups(map, codes, stored(map, y));
}
