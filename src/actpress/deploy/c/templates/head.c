/* @TITLE@
   Made by actpress: maps stay packed in one arena, consumers unpack the rows that they need.
   @SUMMARY@ */
#include "net.h"

#include <stddef.h>
#include <string.h>

#include "weights.h"
#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h> /* two products an instruction; the same integers */
#endif

#if defined(__GNUC__)
#define NOT_INLINE __attribute__((noinline)) /* registers are few where it is called */
#define RARE(condition) __builtin_expect(condition, 0)
#else
#define NOT_INLINE
#define RARE(condition) (condition)
#endif
#define LONGEST_CHAIN @LONGEST_CHAIN@
#define TALLEST_KERNEL @TALLEST_KERNEL@

static @WORD@ arena_words[NET_ARENA_BYTES / 4u];

static uint8_t *arena(uint32_t offset) { return (uint8_t *)arena_words + offset; }

static number *lines(uint32_t offset) { return (number *)(void *)arena(offset); }

static uint8_t *result; /* the row that is being computed */
