    if (reading->decoder) {
        decode(reading->decoder, map->width, codes, (number *)(void *)line);
        return;
    }
