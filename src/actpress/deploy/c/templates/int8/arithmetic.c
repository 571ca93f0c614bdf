
static inline int32_t clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

/* Divides by 2^shift and rounds half up. */
static inline int32_t scaled(int64_t sum, uint32_t shift)
{
    if (shift > 32u) /* the lower word does not matter */
        return ((int32_t)(sum >> 32) + ((int32_t)1 << (shift - 33u))) >> (shift - 32u);
    sum = (sum + ((int64_t)1 << (shift - 1u))) >> shift;
    return sum < INT32_MIN ? INT32_MIN : sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
}
