
static uint8_t finished(int32_t sum, const struct channel *channel)
{
    const int32_t value = scaled((int64_t)sum * channel->multiplier, channel->shift);
    return (uint8_t)clip(value + channel->offset, channel->low, channel->high);
}

/* Pixels of bytes -> pixels of bytes. */
static void multiply(const struct matrix *matrix, uint32_t pixels, const uint8_t *from, uint8_t *to)
{
    for (; pixels; pixels--, from += matrix->inputs) {
        const int8_t *weight = matrix->weight;
        for (uint32_t o = 0; o < matrix->outputs; o++) {
            int32_t sum = matrix->channels[o].bias;
            for (uint32_t i = 0; i < matrix->inputs; i++) sum += *weight++ * from[i];
            *to++ = finished(sum, &matrix->channels[o]);
        }
    }
}
