
/* How far a stage is: rows of its result, and of its source with padding. */
struct progress {
    uint32_t made, seen;
};
@FILL@
static uint32_t width_of_line(const struct stage *stage)
{
    return stage->row_stride / (stage->source->channels * (uint32_t)sizeof(number));
}

static void prepare(const struct stage *stage)
{
    if (!stage->source) return;
    for (uint32_t row = 0; row < stage->slots; row++) fill(stage, slot(stage, row), width_of_line(stage));
@BEGIN@}

/* The line buffer that the next row of the source goes to. */
static uint8_t *next_line(const struct stage *stage, const struct progress *at)
{
    return (uint8_t *)(slot(stage, at->seen) + (size_t)stage->left * stage->source->channels);
}

static void took(const struct stage *stage, struct progress *at)
{
    if (stage->absorb && at->seen >= at->made * stage->stride_height) stage->absorb(stage);
    at->seen++;
}

/* Whether a stage can compute its next row. The first one of a chain reads what it needs. */
static int ready(const struct stage *stage, struct progress *at, int first)
{
    if (at->made == stage->height) return 0;
    if (!stage->source) return 1;
    const uint32_t begin = at->made * stage->stride_height;
    const uint32_t end = begin + (stage->kernel_height - 1u) * stage->dilation_height + 1u;
    if (first && at->seen < begin) at->seen = begin;
    while (at->seen < end) {
        const uint32_t y = at->seen - stage->top; /* wraps above the map */
        if (y >= stage->source->map->height) fill(stage, slot(stage, at->seen), width_of_line(stage));
        else if (first) read_row(stage->source, y, stage->codes_at, next_line(stage, at));
        else return 0;
        took(stage, at);
    }
    return 1;
}

/* Computes a row, at `to` where it has no place of its own; returns where its codes are. */
static uint8_t *compute(const struct stage *stage, uint32_t row, uint8_t *to)
{
    result = stage->row_at == IN_NEXT_LINE ? to : arena(stage->row_at);
    for (uint32_t j = 0; j < stage->join_count; j++) {
        const struct join *join = &stage->joins[j];
        read_row(join->reading, row, stage->codes_at, arena(join->line_at));
    }
    stage->compute(stage, row);
@FINISH@    return result;
}

/* Runs stages row by row; all but the last hand their rows to the next. */
NOT_INLINE static void run_chain(const struct stage *stages, uint32_t count)
{
    struct progress at[LONGEST_CHAIN];
    const uint32_t last = count - 1u;
    memset(at, 0, sizeof at);
    for (uint32_t i = 0; i < count; i++) prepare(&stages[i]);
    while (at[last].made < stages[last].height) {
        uint32_t i = last;
        while (!ready(&stages[i], &at[i], i == 0u)) i--;
        const struct stage *const next = &stages[i + 1u];
        uint8_t *const line = i < last ? next_line(next, &at[i + 1u]) : NULL;
        uint8_t *const codes = compute(&stages[i], at[i].made, line);
        if (i < last) {
            to_lines(next->source, codes, line);
            took(next, &at[i + 1u]);
        } else if (stages[i].target) {
            pack_row(stages[i].target, at[i].made, codes);
        }
        at[i].made++;
    }
}
