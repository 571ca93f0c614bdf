
#if defined(__ARM_FEATURE_SIMD32)
/* The second and the fourth of four int8; the first and the third are __sxtb16(x). */
static inline int16x2_t odd_bytes(uint32_t x)
{
    int16x2_t found;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(found) : "r"(x));
    return found;
}

static inline uint32_t word(const int8_t *from)
{
    uint32_t found;
    memcpy(&found, from, 4);
    return found;
}

static inline int32_t products(int16x2_t even, int16x2_t odd, uint32_t weights, int32_t sum)
{
    return __smlad(odd, odd_bytes(weights), __smlad(even, __sxtb16(weights), sum));
}
#endif
