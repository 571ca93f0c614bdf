
static float finished(float sum, const struct channel *channel)
{
    return clip(sum * channel->multiplier + channel->offset, channel->low, channel->high);
}
