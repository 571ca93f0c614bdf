    look_up(reading->table, map->width, map->channels, codes, line);
