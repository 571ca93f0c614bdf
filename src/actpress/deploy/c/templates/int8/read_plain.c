    (void)codes_at;
    unpack_row(reading->map, y, reading->table, line);
