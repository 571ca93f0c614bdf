
/* Codes of a row -> line values. */
static void to_lines(const struct reading *reading, const uint8_t *codes, uint8_t *line)
{
    const struct map *map = reading->map;
@TO_LINES@}

/* A row of a stored map -> line values. */
static void read_row(const struct reading *reading, uint32_t y, uint32_t codes_at, uint8_t *line)
{
@READ_ROW@}
