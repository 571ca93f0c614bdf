/* golden
   Made by actpress: maps stay packed in one arena, consumers unpack the rows that they need.
   actpress VERSION, 2 maps, arena 500 bytes. */
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
#define LONGEST_CHAIN 3
#define TALLEST_KERNEL 12

static uint32_t arena_words[NET_ARENA_BYTES / 4u];

static uint8_t *arena(uint32_t offset) { return (uint8_t *)arena_words + offset; }

static number *lines(uint32_t offset) { return (number *)(void *)arena(offset); }

static uint8_t *result; /* the row that is being computed */

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

/* A sum with what addends give to it. */
static wide joined(const struct stage *stage, uint32_t x, uint32_t output, wide total)
{
    for (uint32_t j = 0; j < stage->join_count; j++) {
        const struct join *join = &stage->joins[j];
        const uint32_t at = output - join->first; /* wraps below the first channel */
        if (at < join->reading->channels) {
            const number *line = lines(join->line_at) + x * (uint32_t)join->reading->channels;
            total += (wide)(line[at] - ZERO(join->reading, at)) * join->multiplier[at];
        }
    }
    return total;
}

/* A sum of a pixel becomes a byte of the row, or a logit; addends join it first. */
static inline void put(const struct stage *stage, const struct channel *channel, uint32_t x,
                       uint32_t output, int32_t sum)
{
    int64_t total = (int64_t)sum * channel->multiplier;
    if (stage->join_count) total = joined(stage, x, output, total);
    const int32_t value = scaled(total, channel->shift);
    if (stage->target)
        result[x * stage->outputs + output] =
            (uint8_t)clip(value + channel->offset, channel->low, channel->high);
    else
        ((int32_t *)(void *)result)[output] = value;
}

/* Bytes of pixels; they may stay where they are. */
NOT_INLINE static void look_up(const struct table *table, uint32_t pixels, uint32_t channels,
                               const uint8_t *from, uint8_t *to)
{
    const struct span *const spans = table->spans;
    for (; pixels; pixels--)
        for (uint32_t c = 0, s = 0; c < channels; s++) {
            const uint8_t *const values = table->values + (spans ? spans[s].start : 0u);
            const uint32_t end = spans ? spans[s].last + 1u : channels;
            for (; c < end; c++) *to++ = values[*from++];
        }
}

/* The last symbols of a run, too few for a whole step. */
static void unpack_rest(const uint8_t *from, uint32_t bits, uint32_t count,
                        const uint8_t *table, uint8_t *to)
{
    uint32_t word = 0, held = 0;
    for (; count; count--) {
        if (held < bits) {
            word |= (uint32_t)*from++ << held;
            held += 8u;
        }
        *to++ = table[word & ((1u << bits) - 1u)];
        word >>= bits;
        held -= bits;
    }
}

static void pack_rest(const uint8_t *from, uint32_t bits, uint32_t count, uint8_t *to)
{
    uint32_t word = 0, held = 0;
    for (; count; count--) {
        word |= (uint32_t)*from++ << held;
        for (held += bits; held >= 8u; held -= 8u) {
            *to++ = (uint8_t)word;
            word >>= 8;
        }
    }
    if (held) *to = (uint8_t)word;
}

static void unpack_8(const uint8_t *from, uint32_t count, const uint8_t *table, uint8_t *to)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = table[from[i]];
}

static void pack_8(const uint8_t *from, uint32_t count, uint8_t *to)
{
    memcpy(to, from, count);
}

NOT_INLINE static void unpack_run(const uint8_t *from, uint32_t bits, uint32_t count,
                                  const uint8_t *table, uint8_t *to)
{
    switch (bits) {
    case 8: unpack_8(from, count, table, to); return;
    default: unpack_rest(from, bits, count, table, to);
    }
}

NOT_INLINE static void pack_run(const uint8_t *from, uint32_t bits, uint32_t count, uint8_t *to)
{
    switch (bits) {
    case 8: pack_8(from, count, to); return;
    default: pack_rest(from, bits, count, to);
    }
}

#define BLOCK 32u /* symbols: a whole number of bytes at every width */

static const uint8_t same[256] = {
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49,
    50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73,
    74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, 97,
    98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116,
    117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 130, 131, 132, 133, 134, 135,
    136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147, 148, 149, 150, 151, 152, 153, 154,
    155, 156, 157, 158, 159, 160, 161, 162, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173,
    174, 175, 176, 177, 178, 179, 180, 181, 182, 183, 184, 185, 186, 187, 188, 189, 190, 191, 192,
    193, 194, 195, 196, 197, 198, 199, 200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211,
    212, 213, 214, 215, 216, 217, 218, 219, 220, 221, 222, 223, 224, 225, 226, 227, 228, 229, 230,
    231, 232, 233, 234, 235, 236, 237, 238, 239, 240, 241, 242, 243, 244, 245, 246, 247, 248, 249,
    250, 251, 252, 253, 254, 255,
};

/* A run of channels of a group of `count`. */
static inline uint32_t first_of(const struct run *runs, uint32_t r) { return runs ? runs[r].first : 0u; }

static inline uint32_t end_of(const struct run *runs, uint32_t r, uint32_t count)
{
    return runs ? (uint32_t)runs[r].first + runs[r].count : count;
}

/* Some channels of a row of pixels. */
static void unpack_members(const uint8_t *from, const struct map *map, const struct group *group,
                           const uint8_t *values, uint8_t *to)
{
    uint8_t bytes[BLOCK];
    const uint8_t *byte = bytes, *end = bytes;
    uint32_t left = (uint32_t)map->width * group->count;
    for (uint32_t x = 0; x < map->width; x++, to += map->channels)
        for (uint32_t r = 0; r < group->run_count; r++) {
            const uint32_t last = end_of(group->runs, r, group->count);
            for (uint32_t channel = first_of(group->runs, r); channel < last; channel++, byte++) {
                if (byte == end) {
                    const uint32_t count = left < BLOCK ? left : BLOCK;
                    unpack_run(from, group->bits, count, values, bytes);
                    from += BLOCK / 8u * group->bits;
                    left -= count;
                    byte = bytes, end = bytes + count;
                }
                to[channel] = *byte;
            }
        }
}

static void pack_members(const uint8_t *from, const struct map *map, const struct group *group,
                         uint8_t *to)
{
    uint8_t codes[BLOCK];
    uint32_t count = 0;
    for (uint32_t x = 0; x < map->width; x++, from += map->channels)
        for (uint32_t r = 0; r < group->run_count; r++) {
            const uint32_t last = end_of(group->runs, r, group->count);
            for (uint32_t channel = first_of(group->runs, r); channel < last; channel++) {
                codes[count++] = from[channel];
                if (count < BLOCK) continue;
                pack_run(codes, group->bits, BLOCK, to);
                to += BLOCK / 8u * group->bits;
                count = 0;
            }
        }
    pack_run(codes, group->bits, count, to);
}

static uint8_t *stored(const struct map *map, uint32_t y)
{
    return arena(map->offset + y * map->row_bytes);
}

/* A packed row of a map, through a table of codes; table 0 leaves codes as they are. */
static void unpack_groups(const struct map *map, const uint8_t *from, const struct table *table,
                          uint8_t *to)
{
    const uint8_t *const values = table && !table->spans ? table->values : same;
    for (uint32_t g = 0; g < map->group_count; g++) {
        const struct group *group = &map->groups[g];
        const uint8_t *const own = values + (table && table->group_start ? table->group_start[g] : 0u);
        if (!group->runs)
            unpack_run(from, group->bits, (uint32_t)map->width * group->count, own, to);
        else
            unpack_members(from, map, group, own, to);
        from += group->row_bytes;
    }
    if (table && table->spans) look_up(table, map->width, map->channels, to, to);
}

static void pack_groups(const struct map *map, const uint8_t *codes, uint8_t *to)
{
    for (uint32_t g = 0; g < map->group_count; g++) {
        const struct group *group = &map->groups[g];
        if (!group->bits) continue;
        if (!group->runs)
            pack_run(codes, group->bits, (uint32_t)map->width * group->count, to);
        else
            pack_members(codes, map, group, to);
        to += group->row_bytes;
    }
}

#define RANS_BITS 10u     /* of a slot */
#define RANS_LOW 65536u   /* states between symbols are RANS_LOW to 256 * RANS_LOW - 1 */
#define RANS_FULL 14u     /* a state of frequency << RANS_FULL gives off a byte before a symbol */
#define RANS_HEADER 2u    /* bytes of a stream; 0: a packed row follows */
#define RANS_STATE 3u     /* bytes of a state */
#define FIRST_SLOT(share) ((0u - (share)) & 0xffffu)

struct rans {
    uint32_t state;
    const uint8_t *from, *end;
};

/* A state without its last symbol. */
static inline uint32_t before(uint32_t state, uint32_t slot, uint32_t share)
{
#if defined(__ARM_FEATURE_SIMD32)
    int16x2_t factors; /* state >> RANS_BITS, and 1 */
    __asm("pkhbt %0, %1, %2, lsl #6" : "=r"(factors) : "r"(1u), "r"(state));
    return (uint32_t)__smlad((int16x2_t)share, factors, (int32_t)slot);
#else
    return (share >> 16) * (state >> RANS_BITS) + slot - FIRST_SLOT(share);
#endif
}

/* Decodes symbols through a table of bytes. Whatever the bytes are, symbols are those of the code,
   and nothing beyond `end` is read. */
NOT_INLINE static void decode_run(struct rans *rans, const struct code *code, uint32_t count,
                                  const uint8_t *table, uint8_t *to)
{
    const uint8_t *const symbol_at = code->symbol_at, *from = rans->from, *const end = rans->end;
    const uint32_t *const shares = code->shares;
    uint32_t state = rans->state;
    for (const uint8_t *const last = to + count; to != last;) {
        const uint32_t slot = state & ((1u << RANS_BITS) - 1u), symbol = symbol_at[slot];
        state = before(state, slot, shares[symbol]);
        *to++ = table[symbol];
        while (state < RANS_LOW) {
            if (RARE(from == end)) break; /* the row was damaged */
            state = state << 8 | *from++;
        }
    }
    rans->state = state;
    rans->from = from;
}

/* Some channels of a row of pixels. */
static void decode_members(struct rans *rans, const struct map *map,
                           const struct coded_group *group, const uint8_t *values, uint8_t *to)
{
    for (uint32_t x = 0; x < map->width; x++, to += map->channels)
        for (uint32_t r = 0; r < group->run_count; r++) {
            const uint32_t first = first_of(group->runs, r);
            const uint32_t count = end_of(group->runs, r, group->count) - first;
            uint8_t *const at = to + first;
            if (group->code) decode_run(rans, group->code, count, values, at);
            else memset(at, values[0], count);
        }
}

static void decode_row(const struct map *map, const uint8_t *from, const uint8_t *end,
                       const struct table *table, uint8_t *to)
{
    const uint8_t *const values = table && !table->spans ? table->values : same;
    struct rans rans = {0, from, end};
    for (uint32_t i = 0; i < RANS_STATE; i++)
        rans.state = rans.state << 8 | (rans.from != end ? *rans.from++ : 0u);
    for (uint32_t g = 0; g < map->coding->group_count; g++) {
        const struct coded_group *group = &map->coding->groups[g];
        if (!group->runs && group->code)
            decode_run(&rans, group->code, (uint32_t)map->width * group->count, values, to);
        else
            decode_members(&rans, map, group, values, to);
    }
    if (table && table->spans) look_up(table, map->width, map->channels, to, to);
}

/* Codes from the last to the first, so that they are decoded from the first on; the stream ends
   where the row ends. Returns its bytes; 0 if it is too long. */
NOT_INLINE static uint32_t encode_row(const struct map *map, const uint8_t *codes, uint8_t *row)
{
    uint8_t *const begin = row + RANS_HEADER, *const end = row + map->row_bytes, *to = end;
    uint32_t state = RANS_LOW;
    for (uint32_t g = map->coding->group_count; g--;) {
        const struct coded_group *group = &map->coding->groups[g];
        if (!group->code) continue;
        const uint32_t *const shares = group->code->shares;
        const uint8_t *pixel = codes + (size_t)map->width * map->channels;
        while (pixel != codes) {
            pixel -= map->channels;
            for (uint32_t r = group->run_count; r--;) {
                const uint8_t *const first = pixel + first_of(group->runs, r);
                for (const uint8_t *code = pixel + end_of(group->runs, r, group->count); code != first;) {
                    const uint32_t share = shares[*--code];
                    const uint32_t frequency = share >> 16, whole = frequency << RANS_FULL;
                    while (state >= whole) {
                        if (to == begin) return 0;
                        *--to = (uint8_t)state;
                        state >>= 8;
                    }
                    const uint32_t turns = state / frequency;
                    state = (turns << RANS_BITS) + (state - turns * frequency) + FIRST_SLOT(share);
                }
            }
        }
    }
    for (uint32_t i = 0; i < RANS_STATE; i++, state >>= 8) {
        if (to == begin) return 0;
        *--to = (uint8_t)state;
    }
    return (uint32_t)(end - to);
}

/* A packed row whose codes lack their lowest bits. */
NOT_INLINE static void unpack_dropped(const struct map *map, const uint8_t *from, const struct table *table,
                           uint8_t *to)
{
    unpack_groups(map, from, NULL, to);
    for (uint32_t i = 0; i < (uint32_t)map->width * map->channels; i++)
        to[i] = (uint8_t)(to[i] << map->coding->dropped);
    if (table) look_up(table, map->width, map->channels, to, to);
}

/* A row of a map, through a table of codes; table 0 leaves codes as they are. */
static void unpack_row(const struct map *map, uint32_t y, const struct table *table, uint8_t *to)
{
    const uint8_t *row = stored(map, y);
    if (!map->coding) {
        unpack_groups(map, row, table, to);
        return;
    }
    const uint8_t *const end = row + map->row_bytes;
    const uint32_t room = map->row_bytes - RANS_HEADER, said = row[0] | (uint32_t)row[1] << 8;
    if (said) decode_row(map, end - (said < room ? said : room), end, table, to);
    else if (map->coding->dropped) unpack_dropped(map, row + RANS_HEADER, table, to);
    else unpack_groups(map, row + RANS_HEADER, table, to);
}

/* Stores the codes of a row, which are no longer needed then. */
NOT_INLINE static void pack_row(const struct map *map, uint32_t y, uint8_t *codes)
{
    uint8_t *const row = stored(map, y);
    if (!map->coding) {
        pack_groups(map, codes, row);
        return;
    }
#ifdef NET_WATCH
    memset(row, 0, map->row_bytes);
#endif
    const uint32_t said = encode_row(map, codes, row);
    row[0] = (uint8_t)said;
    row[1] = (uint8_t)(said >> 8);
    if (said) return;
#ifdef NET_WATCH
    memset(row, 0, map->row_bytes);
#endif
    if (map->coding->dropped)
        for (uint32_t i = 0; i < (uint32_t)map->width * map->channels; i++)
            codes[i] = (uint8_t)(codes[i] >> map->coding->dropped);
    pack_groups(map, codes, row + RANS_HEADER);
}

/* Codes of a row -> line values. */
static void to_lines(const struct reading *reading, const uint8_t *codes, uint8_t *line)
{
    const struct map *map = reading->map;
    look_up(reading->table, map->width, map->channels, codes, line);
}

/* A row of a stored map -> line values. */
static void read_row(const struct reading *reading, uint32_t y, uint32_t codes_at, uint8_t *line)
{
    (void)codes_at;
    unpack_row(reading->map, y, reading->table, line);
}

/* A line buffer by the number of its row, rows of padding counted. */
static number *slot(const struct stage *stage, uint32_t row)
{
    return lines(stage->rows_at + row % stage->slots * stage->row_stride);
}

/* Where the rows that a row of the result sees lie. */
static void window_rows(const struct stage *stage, uint32_t row, const number *rows[])
{
    for (uint32_t i = 0; i < stage->kernel_height; i++)
        rows[i] = slot(stage, row * stage->stride_height + i * stage->dilation_height);
}

/* Sums of the windows of a row, which do not overlap: rows are absorbed one by one. */
static accumulator *window_sums(const struct stage *stage)
{
    return (accumulator *)(void *)arena(stage->sums_at);
}

static void begin_sums(const struct stage *stage)
{
    accumulator *sums = window_sums(stage);
    for (uint32_t i = 0; i < (uint32_t)stage->width * stage->outputs; i++) sums[i] = stage->begin;
}

static void hand_over(const struct stage *stage, uint32_t row)
{
    const accumulator *sum = window_sums(stage);
    (void)row;
    for (uint32_t x = 0; x < stage->width; x++)
        for (uint32_t c = 0; c < stage->outputs; c++) put(stage, &stage->channels[c], x, c, *sum++);
    begin_sums(stage);
}

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

/* Sums of four outputs of a pixel, so that an input is loaded once for four products; inputs by
   4, too. Weights: group, four outputs, kernel row, run, quad, output, input. A run is a stretch
   of inputs that lie one after the other. Returns where the next weights are. */
NOT_INLINE static const number *four_sums(const struct stage *stage, const number *const *rows,
                                          size_t first, const number *weight,
                                          const struct channel *channels, accumulator sums[4])
{
    accumulator s0 = channels[0].bias, s1 = channels[1].bias;
    accumulator s2 = channels[2].bias, s3 = channels[3].bias;
    const number *const *const last = rows + stage->kernel_height;
    for (; rows != last; rows++) {
        const number *from = *rows + first;
        for (uint32_t runs = stage->runs; runs; runs--) {
            const number *const end = from + 4u * stage->quads;
            for (; from != end; from += 4, weight += 16) {
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
            }
            from += stage->run_skip;
        }
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
    return weight;
}

static void convolve(const struct stage *stage, uint32_t row)
{
    const uint32_t inputs = stage->source->channels, group_inputs = inputs / stage->groups;
    const uint32_t group_outputs = stage->group_outputs;
    const number *rows[TALLEST_KERNEL];
    window_rows(stage, row, rows);
    for (uint32_t x = 0; x < stage->width; x++) {
        const struct channel *channels = stage->channels; /* by fours, too */
        const number *weight = stage->weight;
        size_t first = (size_t)x * stage->stride_width * inputs;
        uint32_t output = 0;
        for (uint32_t g = 0; g < stage->groups; g++, first += group_inputs)
            for (uint32_t left = group_outputs; left;) {
                const uint32_t count = left < 4u ? left : 4u;
                accumulator sums[4];
                weight = four_sums(stage, rows, first, weight, channels, sums);
                for (uint32_t i = 0; i < count; i++)
                    put(stage, &channels[i], x, output + i, sums[i]);
                channels += 4;
                output += count;
                left -= count;
            }
    }
}

/* The sum of line values minus their zeros over a window, for each channel. */
static void total(const struct stage *stage, uint32_t row)
{
    const uint32_t channels = stage->source->channels;
    const number *rows[TALLEST_KERNEL];
    window_rows(stage, row, rows);
    for (uint32_t x = 0; x < stage->width; x++)
        for (uint32_t c = 0; c < channels; c++) {
            accumulator sum = 0;
            for (uint32_t ky = 0; ky < stage->kernel_height; ky++)
                for (uint32_t kx = 0; kx < stage->kernel_width; kx++) {
                    const size_t at = (size_t)x * stage->stride_width + kx * stage->dilation_width;
                    sum += rows[ky][at * channels + c] - ZERO(stage->source, c);
                }
            put(stage, &stage->channels[c], x, c, sum);
        }
}

/* Adds a row to the sums of its windows, which do not overlap. */
static void absorb_total(const struct stage *stage)
{
    const uint32_t channels = stage->outputs;
    accumulator *sum = window_sums(stage);
    for (uint32_t x = 0; x < stage->width; x++, sum += channels) {
        const number *from = slot(stage, 0) + (size_t)x * stage->stride_width * channels;
        for (uint32_t kx = 0; kx < stage->kernel_width; kx++)
            for (uint32_t c = 0; c < channels; c++) sum[c] += *from++ - ZERO(stage->source, c);
    }
}

/* How far a stage is: rows of its result, and of its source with padding. */
struct progress {
    uint32_t made, seen;
};

static void fill(const struct stage *stage, number *to, uint32_t pixels)
{
    const uint32_t channels = stage->source->channels;
    for (; pixels; pixels--, to += channels) {
        if (stage->padding) memcpy(to, stage->padding, channels);
        else memset(to, INT8_MIN, channels);
    }
}

static uint32_t width_of_line(const struct stage *stage)
{
    return stage->row_stride / (stage->source->channels * (uint32_t)sizeof(number));
}

static void prepare(const struct stage *stage)
{
    if (!stage->source) return;
    for (uint32_t row = 0; row < stage->slots; row++) fill(stage, slot(stage, row), width_of_line(stage));
    if (stage->absorb) begin_sums(stage);
}

/* The line buffer that the next row of the source goes to. */
static uint8_t *next_line(const struct stage *stage, const struct progress *at)
{
    return (uint8_t *)(slot(stage, at->seen) + (size_t)stage->left * stage->source->channels);
}

static void took(const struct stage *stage, struct progress *at)
{
    if (stage->absorb && at->seen >= at->made * stage->stride_height) stage->absorb(stage);
    at->seen++;
}

/* Whether a stage can compute its next row. The first one of a chain reads what it needs. */
static int ready(const struct stage *stage, struct progress *at, int first)
{
    if (at->made == stage->height) return 0;
    if (!stage->source) return 1;
    const uint32_t begin = at->made * stage->stride_height;
    const uint32_t end = begin + (stage->kernel_height - 1u) * stage->dilation_height + 1u;
    if (first && at->seen < begin) at->seen = begin;
    while (at->seen < end) {
        const uint32_t y = at->seen - stage->top; /* wraps above the map */
        if (y >= stage->source->map->height) fill(stage, slot(stage, at->seen), width_of_line(stage));
        else if (first) read_row(stage->source, y, stage->codes_at, next_line(stage, at));
        else return 0;
        took(stage, at);
    }
    return 1;
}

/* Computes a row, at `to` where it has no place of its own; returns where its codes are. */
static uint8_t *compute(const struct stage *stage, uint32_t row, uint8_t *to)
{
    result = stage->row_at == IN_NEXT_LINE ? to : arena(stage->row_at);
    for (uint32_t j = 0; j < stage->join_count; j++) {
        const struct join *join = &stage->joins[j];
        read_row(join->reading, row, stage->codes_at, arena(join->line_at));
    }
    stage->compute(stage, row);
    return result;
}

/* Runs stages row by row; all but the last hand their rows to the next. */
NOT_INLINE static void run_chain(const struct stage *stages, uint32_t count)
{
    struct progress at[LONGEST_CHAIN];
    const uint32_t last = count - 1u;
    memset(at, 0, sizeof at);
    for (uint32_t i = 0; i < count; i++) prepare(&stages[i]);
    while (at[last].made < stages[last].height) {
        uint32_t i = last;
        while (!ready(&stages[i], &at[i], i == 0u)) i--;
        const struct stage *const next = &stages[i + 1u];
        uint8_t *const line = i < last ? next_line(next, &at[i + 1u]) : NULL;
        uint8_t *const codes = compute(&stages[i], at[i].made, line);
        if (i < last) {
            to_lines(next->source, codes, line);
            took(next, &at[i + 1u]);
        } else if (stages[i].target) {
            pack_row(stages[i].target, at[i].made, codes);
        }
        at[i].made++;
    }
}

static const struct group image_groups[] = {
    { 0, 1, 1, 12, 8 },
};
static const struct map image_map = { image_groups, 0, 0, 12, 1, 1, 12, 12 };
static const struct table image_lines = { image_lines_values, 0, 0 };
static const struct reading image_reading = { &image_map, &image_lines, 0, image_zero, 1 };
static const struct code code = { code_symbol_at, code_shares };
static const struct coded_group first_coded_groups[] = {
    { &code, first_coded, 3, 1 },
    { 0, first_coded_2, 1, 1 },
};
static const struct coding first_coding = { first_coded_groups, 2, 1 };
static const struct group first_groups[] = {
    { first_coded_2, 1, 1, 0, 0 },
    { first_of_1_bits, 1, 1, 2, 1 },
    { first_of_2_bits, 2, 1, 6, 2 },
};
static const struct map first_map = { first_groups, &first_coding, 344, 13, 3, 4, 12, 12 };
static const struct table first_lines = { first_lines_values, 0, 0 };
static const struct reading first_reading = { &first_map, &first_lines, 0, first_zero, 4 };
static const struct map second_map = { 0, 0, 0, 18, 0, 4, 12, 12 };
static const struct reading second_reading = { &second_map, &first_lines, 0, first_zero, 4 };
static const struct join add_joins[] = {
    { &first_reading, add_join_first, 224, 0 },
};
static const struct map joined_map = { 0, 0, 0, 24, 0, 4, 12, 12 };
static const struct table joined_lines = { joined_lines_values, 0, 0 };
static const struct reading joined_reading = { &joined_map, &joined_lines, 0, first_zero, 4 };
static const struct group pooled_groups[] = {
    { 0, 4, 1, 4, 8 },
};
static const struct map pooled_map = { pooled_groups, 0, 344, 4, 1, 4, 1, 1 };
static const struct reading pooled_reading = { &pooled_map, &image_lines, 0, pooled_zero, 4 };

static const struct stage stages[] = {
    { /* first: (1, 12, 12) -> first (4, 12, 12), window 3x3 */
        .compute = convolve,
        .source = &image_reading,
        .channels = first_channels,
        .target = &first_map,
        .rows_at = 144,
        .sums_at = 192,
        .row_at = 192,
        .codes_at = 240,
        .row_stride = 14,
        .slots = 3,
        .outputs = 4,
        .height = 12,
        .width = 12,
        .kernel_height = 3,
        .kernel_width = 3,
        .stride_height = 1,
        .stride_width = 1,
        .dilation_height = 1,
        .dilation_width = 1,
        .top = 1,
        .left = 1,
        .weight = first_weight,
        .groups = 1,
        .group_outputs = 4,
        .runs = 1,
        .quads = 1,
        .padding = image_zero,
    },
    { /* second: (4, 12, 12) -> second (4, 12, 12), window 3x3 */
        .compute = convolve,
        .source = &first_reading,
        .channels = second_channels,
        .target = &second_map,
        .sums_at = 172,
        .row_at = IN_NEXT_LINE,
        .codes_at = 172,
        .row_stride = 56,
        .slots = 3,
        .outputs = 4,
        .height = 12,
        .width = 12,
        .kernel_height = 3,
        .kernel_width = 3,
        .stride_height = 1,
        .stride_width = 1,
        .dilation_height = 1,
        .dilation_width = 1,
        .top = 1,
        .left = 1,
        .weight = second_weight,
        .groups = 1,
        .group_outputs = 4,
        .runs = 1,
        .quads = 3,
        .padding = first_zero,
    },
    { /* add: (4, 12, 12) -> joined (4, 12, 12), window 1x1 */
        .compute = total,
        .source = &second_reading,
        .channels = add_channels,
        .joins = add_joins,
        .target = &joined_map,
        .rows_at = 172,
        .sums_at = 272,
        .row_at = 224,
        .codes_at = 272,
        .row_stride = 48,
        .slots = 1,
        .join_count = 1,
        .outputs = 4,
        .height = 12,
        .width = 12,
        .kernel_height = 1,
        .kernel_width = 1,
        .stride_height = 1,
        .stride_width = 1,
        .dilation_height = 1,
        .dilation_width = 1,
        .padding = first_zero,
    },
    { /* pool: (4, 12, 12) -> pooled (4, 1, 1), window 12x12 */
        .compute = hand_over,
        .absorb = absorb_total,
        .source = &joined_reading,
        .channels = pool_channels,
        .target = &pooled_map,
        .rows_at = 272,
        .sums_at = 324,
        .row_at = 340,
        .codes_at = 344,
        .row_stride = 48,
        .slots = 1,
        .outputs = 4,
        .height = 1,
        .width = 1,
        .kernel_height = 12,
        .kernel_width = 12,
        .stride_height = 12,
        .stride_width = 12,
        .dilation_height = 1,
        .dilation_width = 1,
        .padding = first_zero,
    },
    { /* head: (4, 1, 1) -> logits (3, 1, 1), window 1x1 */
        .compute = convolve,
        .source = &pooled_reading,
        .channels = head_channels,
        .sums_at = 8,
        .row_at = 8,
        .codes_at = 20,
        .row_stride = 4,
        .slots = 1,
        .outputs = 3,
        .height = 1,
        .width = 1,
        .kernel_height = 1,
        .kernel_width = 1,
        .stride_height = 1,
        .stride_width = 1,
        .dilation_height = 1,
        .dilation_width = 1,
        .weight = head_weight,
        .groups = 1,
        .group_outputs = 3,
        .runs = 1,
        .quads = 1,
        .padding = pooled_zero,
    },
};

uint8_t *net_input(void) { return arena(image_map.offset); }

void net_run(net_output outputs[NET_OUTPUTS])
{
    run_chain(&stages[0], 1u); /* first */
#ifdef NET_WATCH
    net_watch(0u, arena(344u), 156u);
#endif
    run_chain(&stages[1], 3u); /* second + add + pool */
#ifdef NET_WATCH
    net_watch(1u, arena(344u), 4u);
#endif
    run_chain(&stages[4], 1u); /* head */
    memcpy(outputs, arena(stages[4].row_at), NET_OUTPUTS * sizeof outputs[0]);
}
