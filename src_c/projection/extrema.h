/* Template: maxima and minima of one dtype: of long rows, of short rows, along the last axis.
 *
 * Values are compared as keys of type KEY. Those of integers are the values themselves. A float's
 * key is a signed integer, the greater the better (of minima, too), with NaNs of either sign above
 * all: its bits, those below the sign flipped where it is set, are in the order of IEEE 754's
 * totalOrder. That order, seen as a circle, is cut between the worst infinity and the NaN next to
 * it, and keys count from there.
 *
 * `greatest` is 1 for maxima and 0 for minima: a constant wherever these functions are inlined.
 */
#include "moments/extrema.h"

typedef KEY UNALIGNED TFN(stored);
typedef KEY TFN(lane) __attribute__((vector_size(LANE_BYTES)));
typedef UT TFN(unsigned_lane) __attribute__((vector_size(LANE_BYTES)));
typedef KEY TFN(vector) __attribute__((vector_size(LANE_BYTES * LANES)));

#if IS_FLOAT
/* The bits below the sign flipped where it is set: there and back. */
#define FLIP(x) ((x) ^ (((x) >> (BITS - 1)) & (KEY)(SIGN_BIT - 1)))
#define ORIGIN ((UT)(INF_BITS + (UT)greatest + SIGN_BIT))
/* The key of x, of the type I (U without a sign): a value's bits or a vector of them. */
#define KEY_OF(I, U, x) ((I)(greatest ? (U)FLIP(x) + ORIGIN : ORIGIN - (U)FLIP(x)))
#define BITS_OF(key) ((KEY)(greatest ? (UT)(key) - ORIGIN : ORIGIN - (UT)(key)))
#define LAST_NUMBER ((KEY)(2 * INF_BITS + 1 + SIGN_BIT))
#define GREATER_WINS 1
#else
#define KEY_OF(I, U, x) ((I)(x))
#define GREATER_WINS greatest
#endif

static ALWAYS_INLINE KEY TFN(winner)(KEY a, KEY b, int greatest)
{
    (void)greatest;
    return (GREATER_WINS ? a > b : a < b) ? a : b;
}

/* The same lane by lane. Written out where the compiler does not find the instruction. */
#if ISA_LEVEL == 4 || (ISA_LEVEL == 3 && BITS < 64)
#define INTRINSIC_(width, operation, tag) _mm##width##_##operation##_ep##tag
#define INTRINSIC(width, operation, tag) INTRINSIC_(width, operation, tag)
static ALWAYS_INLINE TFN(lane) TFN(lane_winner)(TFN(lane) a, TFN(lane) b, int greatest)
{
    (void)greatest;
    return (TFN(lane))(GREATER_WINS ? INTRINSIC(, max, KEY_TAG)((__m128i)a, (__m128i)b)
                                    : INTRINSIC(, min, KEY_TAG)((__m128i)a, (__m128i)b));
}
static ALWAYS_INLINE VEC TFN(vector_winner)(VEC a, VEC b, int greatest)
{
    (void)greatest;
#if ISA_LEVEL == 4
    return GREATER_WINS ? INTRINSIC(512, max, KEY_TAG)(a, b) : INTRINSIC(512, min, KEY_TAG)(a, b);
#else
    return GREATER_WINS ? INTRINSIC(256, max, KEY_TAG)(a, b) : INTRINSIC(256, min, KEY_TAG)(a, b);
#endif
}
#undef INTRINSIC
#undef INTRINSIC_
#else
static ALWAYS_INLINE TFN(lane) TFN(lane_winner)(TFN(lane) a, TFN(lane) b, int greatest)
{
    (void)greatest;
    const TFN(lane) first = (TFN(lane))(GREATER_WINS ? a > b : a < b);
    return (a & first) | (b & ~first);
}
static ALWAYS_INLINE VEC TFN(vector_winner)(VEC a, VEC b, int greatest)
{
    (void)greatest;
    const TFN(vector) x = (TFN(vector))a, y = (TFN(vector))b;
    const TFN(vector) first = (TFN(vector))(GREATER_WINS ? x > y : x < y);
    return (VEC)((x & first) | (y & ~first));
}
#endif

/* The values that keys stand for. */
static ALWAYS_INLINE void TFN(store_values)(const KEY *restrict keys, size_t width, T *restrict to,
                                            int greatest)
{
    (void)greatest;
#if IS_FLOAT
    typedef UT UNALIGNED bits_t;
    bits_t *restrict bits = (bits_t *)to;
    for (size_t i = 0; i < width; i++) {
        const KEY ordered = BITS_OF(keys[i]);
        bits[i] = keys[i] > LAST_NUMBER ? NAN_BITS : (UT)FLIP(ordered);
    }
#else
    memcpy(to, keys, width * sizeof *to);
#endif
}

/* -- Short rows ------------------------------------------------------------------------------- */

static ALWAYS_INLINE void TFN(update)(const char *from, size_t width, KEY *restrict keys,
                                      int greatest)
{
    const TFN(stored) *x = (const TFN(stored) *)from;
    for (size_t i = 0; i < width; i++)
        keys[i] = TFN(winner)(KEY_OF(KEY, UT, x[i]), keys[i], greatest);
}

/* Reduce n rows of `inner` items. r of them, a power of two and at most n, are taken as one row,
 * whose r parts are reduced at the end. They are read as they lie, not several in step, which would
 * keep the hardware prefetcher from following any of their runs. The last may be read twice: it
 * makes no difference. */
static ALWAYS_INLINE void TFN(reduce_plane)(const char *from, size_t n, size_t inner, size_t r,
                                            T *to, int greatest)
{
    KEY keys[SHORT_BYTES / sizeof(KEY)];
    const size_t row = inner * sizeof(T);
    const TFN(stored) *x = (const TFN(stored) *)from;
    for (size_t i = 0; i < r * inner; i++)
        keys[i] = KEY_OF(KEY, UT, x[i]);
    size_t done = r;
    for (; done + r <= n; done += r)
        TFN(update)(from + done * row, r * inner, keys, greatest);
    if (done < n)
        TFN(update)(from + (n - r) * row, r * inner, keys, greatest);
    for (size_t half = r / 2 * inner; half >= inner; half /= 2)
        for (size_t i = 0; i < half; i++)
            keys[i] = TFN(winner)(keys[half + i], keys[i], greatest);
    TFN(store_values)(keys, inner, to, greatest);
}

static ALWAYS_INLINE void TFN(reduce_short_rows)(const char *from, size_t n, size_t inner,
                                                 size_t planes, T *to, int greatest)
{
    const size_t row = inner * sizeof(T);
    size_t r = 1;
    while (4 * r <= n && 2 * r * row <= JOINED_BYTES)
        r *= 2;
    for (size_t p = 0; p < planes; p++)
        TFN(reduce_plane)(from + p * n * row, n, inner, r, to + p * inner, greatest);
}

/* -- The last axis ---------------------------------------------------------------------------- *
 * A row is first reduced to one lane of 16 bytes: rows are read as they lie, which suits the
 * hardware prefetcher. Then SIDE lanes of as many rows are reduced to one: interleaving two of them
 * and taking the winners of the two halves leaves half as many keys of each row, and after
 * log2(SIDE) such stages each row has one key left, in the order of the rows. */

/* Rows that are reduced to lanes before these are reduced. */
enum { TFN(LANE_ROWS) = 256 };
#define BLOCK_FN(name) FN_OF(name, UTAG)

static ALWAYS_INLINE TFN(lane) TFN(load)(const char *from, int greatest)
{
    (void)greatest;
    TFN(lane) x;
    memcpy(&x, from, sizeof x);
    return KEY_OF(TFN(lane), TFN(unsigned_lane), x);
}

/* Reduce each row of n items, `whole` full lanes, to a lane. The last items of a row are taken
 * together with some that were seen: twice makes no difference. */
static ALWAYS_INLINE void TFN(reduce_to_lanes)(const char *from, size_t n, size_t whole,
                                               size_t rows, char *to, int greatest)
{
    const size_t row = n * sizeof(T);
    for (size_t b = 0; b < rows; b++, from += row, to += LANE_BYTES) {
        TFN(lane) lane = TFN(load)(from, greatest);
        size_t c = 1;
        if (whole >= 8) {
            TFN(lane) other[3];
            for (int k = 0; k < 3; k++)
                other[k] = TFN(load)(from + (size_t)(k + 1) * LANE_BYTES, greatest);
            for (c = 4; c + 4 <= whole; c += 4) {
                const char *at = from + c * LANE_BYTES;
                lane = TFN(lane_winner)(lane, TFN(load)(at, greatest), greatest);
                for (int k = 0; k < 3; k++)
                    other[k] = TFN(lane_winner)(
                        other[k], TFN(load)(at + (k + 1) * LANE_BYTES, greatest), greatest);
            }
            lane = TFN(lane_winner)(TFN(lane_winner)(lane, other[0], greatest),
                                    TFN(lane_winner)(other[1], other[2], greatest), greatest);
        }
        for (; c < whole; c++)
            lane = TFN(lane_winner)(lane, TFN(load)(from + c * LANE_BYTES, greatest), greatest);
        if (row % LANE_BYTES)
            lane = TFN(lane_winner)(lane, TFN(load)(from + row - LANE_BYTES, greatest), greatest);
        memcpy(to, &lane, sizeof lane);
    }
}

/* SIDE lanes of keys, LANES of them side by side in a vector, to one. */
static ALWAYS_INLINE void TFN(reduce_block)(const char *lanes, KEY *to, int greatest)
{
    VEC a[BLOCK_FN(SIDE)];
#pragma GCC unroll 16
    for (size_t i = 0; i < BLOCK_FN(SIDE); i++)
        a[i] = LOAD(lanes + i * LANE_BYTES, BLOCK_FN(SIDE) * LANE_BYTES);
#pragma GCC unroll 4
    for (int half = BLOCK_FN(SIDE) / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            a[i] = TFN(vector_winner)(PASTE(LOW, UTAG)(a[i], a[i + half]),
                                      PASTE(HIGH, UTAG)(a[i], a[i + half]), greatest);
    memcpy(to, a, sizeof a[0]);
}

/* Reduce each of `rows` rows of n >= SIDE items. */
static ALWAYS_INLINE void TFN(reduce_last_axis)(const char *from, size_t n, size_t rows, T *to,
                                                int greatest)
{
    char lanes[TFN(LANE_ROWS) * LANE_BYTES] __attribute__((aligned(64)));
    KEY keys[TFN(LANE_ROWS)];
    const size_t row = n * sizeof(T), items = LANE_BYTES / sizeof(T);
    for (size_t b = 0; b < rows; b += TFN(LANE_ROWS)) {
        const size_t count = min_size(rows - b, TFN(LANE_ROWS));
        const char *at = from + b * row;
        /* The usual lengths are compiled apart: a loop of one or two turns costs as much as its
         * body. */
        if (row == LANE_BYTES)
            TFN(reduce_to_lanes)(at, items, 1, count, lanes, greatest);
        else if (row == 2 * LANE_BYTES)
            TFN(reduce_to_lanes)(at, 2 * items, 2, count, lanes, greatest);
        else if (row == 4 * LANE_BYTES)
            TFN(reduce_to_lanes)(at, 4 * items, 4, count, lanes, greatest);
        else
            TFN(reduce_to_lanes)(at, n, row / LANE_BYTES, count, lanes, greatest);
        /* A block at the end reduces lanes of no row: their keys are dropped. */
        memset(lanes + count * LANE_BYTES, 0, (TFN(LANE_ROWS) - count) * LANE_BYTES);
        for (size_t i = 0; i < count; i += BLOCK_FN(BLOCK))
            TFN(reduce_block)(lanes + i * LANE_BYTES, keys + i, greatest);
        TFN(store_values)(keys, count, to + b, greatest);
    }
}

/* -- What projection.c calls ------------------------------------------------------------------- */

/* Long rows in groups: the results are loaded and stored once for all rows of one. Row 0 is
 * compared twice, so that the groups begin with it: a multiple of 8 rows leaves no single ones. */
static void TFN(max_long_rows)(const char *from, size_t n, size_t stride, size_t width, void *to)
{
    memcpy(to, from, width * sizeof(T));
    TFN(max_rows)(from, (ptrdiff_t)stride, n, width, to);
}
static void TFN(min_long_rows)(const char *from, size_t n, size_t stride, size_t width, void *to)
{
    memcpy(to, from, width * sizeof(T));
    TFN(min_rows)(from, (ptrdiff_t)stride, n, width, to);
}
static void TFN(max_short_rows)(const char *from, size_t n, size_t inner, size_t planes, void *to)
{
    TFN(reduce_short_rows)(from, n, inner, planes, to, 1);
}
static void TFN(min_short_rows)(const char *from, size_t n, size_t inner, size_t planes, void *to)
{
    TFN(reduce_short_rows)(from, n, inner, planes, to, 0);
}
static void TFN(max_last_axis)(const char *from, size_t n, size_t inner, size_t rows, void *to)
{
    (void)inner;
    TFN(reduce_last_axis)(from, n, rows, to, 1);
}
static void TFN(min_last_axis)(const char *from, size_t n, size_t inner, size_t rows, void *to)
{
    (void)inner;
    TFN(reduce_last_axis)(from, n, rows, to, 0);
}

/* out[at ...] = maxima + minima. */
static int TFN(add_extrema)(const void *maxima, const void *minima, size_t width, void *out,
                            size_t at)
{
    const T *high = maxima, *low = minima;
    WIDE_T *sums = (WIDE_T *)out + at;
    for (size_t i = 0; i < width; i++) {
#if IS_FLOAT
        const T sum = high[i] + low[i];
        sums[i] = sum == sum ? sum : (T)NAN;
#elif BITS == 64
        if (__builtin_add_overflow(high[i], low[i], &sums[i]))
            return MPIM_OVERFLOW;
#else
        sums[i] = (WIDE_T)((WIDE_T)high[i] + (WIDE_T)low[i]);
#endif
    }
    return MPIM_OK;
}

#undef FLIP
#undef ORIGIN
#undef KEY_OF
#undef BITS_OF
#undef LAST_NUMBER
#undef GREATER_WINS
#undef BLOCK_FN
