    if (reading->decoder) {
        multiply(reading->decoder, map->width, codes, line);
        if (reading->decoder->table)
            look_up(reading->decoder->table, map->width, reading->channels, line, line);
        return;
    }
