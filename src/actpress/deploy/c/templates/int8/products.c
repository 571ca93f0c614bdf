#if defined(__ARM_FEATURE_SIMD32)
                const uint32_t x = word(from);
                const int16x2_t even = __sxtb16(x), odd = odd_bytes(x);
                s0 = products(even, odd, word(weight), s0);
                s1 = products(even, odd, word(weight + 4), s1);
                s2 = products(even, odd, word(weight + 8), s2);
                s3 = products(even, odd, word(weight + 12), s3);
#else
                for (uint32_t i = 0; i < 4u; i++) {
                    s0 += from[i] * weight[i];
                    s1 += from[i] * weight[i + 4u];
                    s2 += from[i] * weight[i + 8u];
                    s3 += from[i] * weight[i + 12u];
                }
#endif
