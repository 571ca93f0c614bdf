    uint8_t *const codes = reading->decoder ? arena(codes_at) : line;
    unpack_row(reading->map, y, NULL, codes);
    to_lines(reading, codes, line);
