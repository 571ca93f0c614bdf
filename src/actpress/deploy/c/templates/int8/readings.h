/* A linear map of the channels of a pixel: bytes from 0 to bytes. */
struct matrix {
    const number *weight; /* (outputs, inputs) */
    const struct channel *channels;
    const struct table *table; /* of what comes out, where there is one */
    uint16_t inputs, outputs;
};

/* How codes of a map become line values. */
struct reading {
    const struct map *map;
    const struct table *table;    /* of codes; 0 where there is a decoder */
    const struct matrix *decoder; /* from codes to channels */
    const number *zero;           /* line value of zero, for every channel */
    uint16_t channels;
};
