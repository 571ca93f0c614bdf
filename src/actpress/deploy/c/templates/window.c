
/* A line buffer by the number of its row, rows of padding counted. */
static number *slot(const struct stage *stage, uint32_t row)
{
    return lines(stage->rows_at + row % stage->slots * stage->row_stride);
}
