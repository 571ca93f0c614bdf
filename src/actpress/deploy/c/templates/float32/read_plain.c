    (void)codes_at;
    unpack_row(reading->map, y, NULL, line);
    to_lines(reading, line, line);
