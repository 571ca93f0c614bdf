    if (reading->table) {
        unpack_row(reading->map, y, reading->table, line);
        return;
    }
    unpack_row(reading->map, y, NULL, arena(codes_at));
    to_lines(reading, arena(codes_at), line);
