    const struct line_table *table = reading->table;
    number *const to = (number *)(void *)line;
    for (uint32_t x = map->width; x--;)
        for (uint32_t c = map->channels; c--;) {
            const uint32_t at = x * map->channels + c; /* codes may lie in the line */
            to[at] = table->values[(table->start ? table->start[c] : 0u) + codes[at]];
        }
