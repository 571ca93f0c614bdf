
/* Pixels of one kind of channels -> pixels of another. */
static void @NAME@(const struct matrix *matrix, uint32_t pixels, const @FROM@ *from, @TO@ *to)
{
    for (; pixels; pixels--, from += matrix->inputs) {
        const number *weight = matrix->weight;
        for (uint32_t o = 0; o < matrix->outputs; o++) {
            accumulator sum = matrix->channels[o].bias;
            for (uint32_t i = 0; i < matrix->inputs; i++) sum += *weight++ * from[i];
            *to++ = (@TO@)finished(sum, &matrix->channels[o]);
        }
    }
}
