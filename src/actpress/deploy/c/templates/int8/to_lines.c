    for (uint32_t x = 0; x < map->width; x++)
        for (uint32_t c = 0; c < map->channels; c++) {
            const struct table *table = reading->table;
            *line++ = table->values[(table->start ? table->start[c] : 0u) + *codes++];
        }
