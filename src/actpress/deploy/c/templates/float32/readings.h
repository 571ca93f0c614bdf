/* Line values of a byte for every channel: values[start[channel] + byte]; start 0: one for all. */
struct line_table {
    const number *values;
    const place *start;
};

/* A linear map of the channels of a pixel. */
struct matrix {
    const number *weight; /* (outputs, inputs) */
    const struct channel *channels;
    uint16_t inputs, outputs;
};

/* How codes of a map become line values. */
struct reading {
    const struct map *map;
    const struct line_table *table; /* of codes; 0 where there is a decoder */
    const struct matrix *decoder;   /* from codes to channels */
    uint16_t channels;
};
