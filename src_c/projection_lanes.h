/* Template: the best of each of many rows that lie one after the other (the last axis). Included by
 * projection_best.h, which says what keys are.
 *
 * A row is first reduced to one lane of 16 bytes: rows are read as they lie, which is what the
 * prefetchers like best. Then SIDE lanes of as many rows are folded to one: interleaving two of
 * them and taking the better of the two halves leaves half as many keys of each row, and after
 * log2(SIDE) such stages each row has one key left, in the order of the rows.
 */

/* The better of two, key by key. Written out where the compiler does not find the instruction. */
#if ISA_LEVEL == 4 || (ISA_LEVEL == 3 && BITS < 64)
#define VECTOR_FN(prefix) PASTE(PASTE(prefix, BETTER), KEY_SUFFIX)
static inline TFN(lane) BFN(better)(TFN(lane) a, TFN(lane) b)
{
    return (TFN(lane))VECTOR_FN(_mm)((__m128i)a, (__m128i)b);
}
static inline VEC BFN(better_all)(VEC a, VEC b)
{
#if ISA_LEVEL == 4
    return VECTOR_FN(_mm512)(a, b);
#else
    return VECTOR_FN(_mm256)(a, b);
#endif
}
#undef VECTOR_FN
#else
static inline TFN(lane) BFN(better)(TFN(lane) a, TFN(lane) b)
{
    const TFN(lane) wins = (TFN(lane))(a BEATS b);
    return (a & wins) | (b & ~wins);
}
static inline VEC BFN(better_all)(VEC a, VEC b)
{
    const TFN(lanes) x = (TFN(lanes))a, y = (TFN(lanes))b, wins = (TFN(lanes))(x BEATS y);
    return (VEC)((x & wins) | (y & ~wins));
}
#endif

static inline TFN(lane) BFN(load)(const char *from)
{
    TFN(lane) x;
    memcpy(&x, from, sizeof x);
    return KEY_OF(TFN(lane), TFN(bare_lane), x);
}

/* The best of each row of n items, `whole` full lanes, lane by lane. The last items of a row are
 * taken together with some that were seen: twice makes no difference. */
static inline __attribute__((always_inline)) void
BFN(scan)(const char *from, size_t n, size_t whole, size_t rows, char *to)
{
    const size_t row = n * sizeof(T);
    for (size_t b = 0; b < rows; b++, from += row, to += LANE_BYTES) {
        TFN(lane) best = BFN(load)(from);
        size_t c = 1;
        if (whole >= 8) {
            TFN(lane) other[3];
            for (int k = 0; k < 3; k++)
                other[k] = BFN(load)(from + (size_t)(k + 1) * LANE_BYTES);
            for (c = 4; c + 4 <= whole; c += 4) {
                const char *at = from + c * LANE_BYTES;
                best = BFN(better)(best, BFN(load)(at));
                for (int k = 0; k < 3; k++)
                    other[k] = BFN(better)(other[k], BFN(load)(at + (k + 1) * LANE_BYTES));
            }
            best = BFN(better)(BFN(better)(best, other[0]), BFN(better)(other[1], other[2]));
        }
        for (; c < whole; c++)
            best = BFN(better)(best, BFN(load)(from + c * LANE_BYTES));
        if (row % LANE_BYTES)
            best = BFN(better)(best, BFN(load)(from + row - LANE_BYTES));
        memcpy(to, &best, sizeof best);
    }
}

/* The usual lengths are compiled apart: loops of one or two turns cost as much as what they do. */
static void BFN(scan_rows)(const char *from, size_t n, size_t rows, char *to)
{
    switch (n * sizeof(T)) {
    case LANE_BYTES:
        BFN(scan)(from, LANE_BYTES / sizeof(T), 1, rows, to);
        return;
    case 2 * LANE_BYTES:
        BFN(scan)(from, 2 * LANE_BYTES / sizeof(T), 2, rows, to);
        return;
    case 4 * LANE_BYTES:
        BFN(scan)(from, 4 * LANE_BYTES / sizeof(T), 4, rows, to);
        return;
    default:
        BFN(scan)(from, n, n * sizeof(T) / LANE_BYTES, rows, to);
    }
}

/* SIDE lanes of keys, LANES of them side by side in a vector, to one. */
static inline __attribute__((always_inline)) void BFN(fold_block)(const char *lanes, KEY *to)
{
    VEC a[BLOCK_FN(SIDE)];
#pragma GCC unroll 16
    for (size_t i = 0; i < BLOCK_FN(SIDE); i++)
        a[i] = LOAD(lanes + i * LANE_BYTES, BLOCK_FN(SIDE) * LANE_BYTES);
#pragma GCC unroll 4
    for (int half = BLOCK_FN(SIDE) / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            a[i] = BFN(better_all)(PASTE(LOW, ITEM)(a[i], a[i + half]),
                                      PASTE(HIGH, ITEM)(a[i], a[i + half]));
    memcpy(to, a, sizeof a[0]);
}

/* The best of each of `rows` rows of n >= SIDE items. */
static void BFN(best_lanes)(const char *from, size_t n, size_t rows, T *to)
{
    char lanes[LANE_ROWS * LANE_BYTES] __attribute__((aligned(64)));
    KEY keys[LANE_ROWS];
    for (size_t b = 0; b < rows; b += LANE_ROWS) {
        const size_t count = smaller(rows - b, LANE_ROWS);
        BFN(scan_rows)(from + b * n * sizeof(T), n, count, lanes);
        /* A block at the end folds lanes of no row: their keys are dropped. */
        memset(lanes + count * LANE_BYTES, 0, (LANE_ROWS - count) * LANE_BYTES);
        for (size_t i = 0; i < count; i += BLOCK_FN(BLOCK))
            BFN(fold_block)(lanes + i * LANE_BYTES, keys + i);
        BFN(values)(keys, count, to + b);
    }
}
