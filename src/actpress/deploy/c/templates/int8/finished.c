
static int32_t finished(int32_t sum, const struct channel *channel)
{
    const int32_t value = scaled((int64_t)sum * channel->multiplier, channel->shift);
    return clip(value + channel->offset, channel->low, channel->high);
}
