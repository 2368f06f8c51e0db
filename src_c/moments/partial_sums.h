/* Template: partial sums of the rows of a tile, for one integer dtype.
 *
 * A `part` keeps them as narrow as they can be; it is converted to limbs (see mpimages.h)
 * after `spill` records at most. Each of the three sections defines, for its size of integers:
 *   struct TFN(part)                        TFN(reset), TFN(flush)
 *   TFN(sum_group), TFN(sum_row)            accumulate GROUP rows, or one row
 *   TFN(square_group), TFN(square_row)      the same with the squares
 */

enum { TFN(spill) = 65536 };
_Static_assert(GROUP == 8, "square_group adds up GROUP / 2 = 4 products before it widens them");

#if BITS <= 16
/* Partial sums of 8- and 16-bit values.
 *
 * Let u be the value as unsigned (a signed one biased by half the range) and
 * M = 2^BITS - 1. Then u (M - u) = u * ~u is at most M^2 / 4, so that FOUR of them still fit an
 * unsigned integer of twice the width (4 * 127 * 128 < 2^16, 4 * 32767 * 32768 < 2^32), where not
 * even two squares would. With P the sum of u ~u:   sum of u^2 = M * (sum of u) - P.
 * What is kept per pixel is the sum of u in 32 bits (65536 * 65535 < 2^32) and P in 32 bits for
 * 8-bit (65536 * 127 * 128 < 2^31) and 64 bits for 16-bit values; after `spill` records at most
 * these are converted to sums of the values themselves and added to the limbs. All of that is
 * done modulo 2^64, in which the true sums of so few records fit.
 */

#if BITS == 8
#define NARROW uint16_t /* one product, or the sum of a group */
#define PART_S uint32_t
#define PART_P uint32_t
#elif BITS == 16
#define NARROW uint32_t
#define PART_S uint32_t
#define PART_P uint64_t
#endif

struct TFN(part) {
    PART_S s[TILE];
    PART_P p[TILE];
};

static void TFN(reset)(struct TFN(part) *part, size_t width, struct mpim_limbs squares)
{
    (void)squares;
    memset(part->s, 0, width * sizeof *part->s);
    memset(part->p, 0, width * sizeof *part->p);
}

#if IS_SIGNED
#define BIASED(x) ((UT)((UT)(x) ^ (UT)(1u << (BITS - 1))))
#else
#define BIASED(x) ((UT)(x))
#endif
#define PRODUCT(u) ((NARROW)((NARROW)(u) * (NARROW)(UT) ~(u)))

static void TFN(sum_group)(const char *base, ptrdiff_t stride, size_t width,
                           struct TFN(part) *restrict part, size_t at)
{
    PART_S *restrict s = part->s + at;
    for (size_t i = 0; i < width; i++) {
        NARROW sum = 0;
#pragma GCC unroll 8
        for (int r = 0; r < GROUP; r++)
            sum = (NARROW)(sum + BIASED(ROW(r)[i]));
        s[i] += sum;
    }
}

static void TFN(sum_row)(const char *base, size_t width, struct TFN(part) *restrict part, size_t at)
{
    const ptrdiff_t stride = 0;
    PART_S *restrict s = part->s + at;
    for (size_t i = 0; i < width; i++)
        s[i] += BIASED(ROW(0)[i]);
}

static void TFN(square_group)(const char *base, ptrdiff_t stride, size_t width,
                              struct TFN(part) *restrict part, size_t at)
{
    PART_S *restrict s = part->s + at;
    PART_P *restrict p = part->p + at;
    for (size_t i = 0; i < width; i++) {
        NARROW sum = 0, low = 0, high = 0;
#pragma GCC unroll 4
        for (int r = 0; r < GROUP / 2; r++) {
            const UT u = BIASED(ROW(r)[i]), v = BIASED(ROW(r + GROUP / 2)[i]);
            sum = (NARROW)(sum + u + v);
            low = (NARROW)(low + PRODUCT(u));
            high = (NARROW)(high + PRODUCT(v));
        }
        s[i] += sum;
        p[i] += (PART_P)low + (PART_P)high;
    }
}

static void TFN(square_row)(const char *base, size_t width, struct TFN(part) *restrict part,
                            size_t at)
{
    const ptrdiff_t stride = 0;
    PART_S *restrict s = part->s + at;
    PART_P *restrict p = part->p + at;
    for (size_t i = 0; i < width; i++) {
        const UT u = BIASED(ROW(0)[i]);
        s[i] += u;
        p[i] += PRODUCT(u);
    }
}

/* With b the bias (0 or 2^(BITS-1)) and x = u - b over n records:
 * sum x = sum u - n b,  sum x^2 = (M - 2 b) sum u - P + n b^2. */
static void TFN(flush)(struct TFN(part) *restrict part, size_t n, size_t width,
                       struct mpim_limbs sums, struct mpim_limbs squares)
{
    const uint64_t bias = IS_SIGNED ? UINT64_C(1) << (BITS - 1) : 0;
    const uint64_t factor = ((UINT64_C(1) << BITS) - 1) - 2 * bias;
    uint64_t *restrict sum = sums.data, *restrict square = squares.data;
    if (sum)
        for (size_t i = 0; i < width; i++)
            sum[i] += part->s[i] - n * bias;
    if (square)
        for (size_t i = 0; i < width; i++)
            square[i] += factor * part->s[i] - part->p[i] + n * bias * bias;
}

#undef BIASED
#undef PRODUCT

#undef NARROW
#undef PART_S
#undef PART_P

#elif BITS == 32
/* Partial sums of 32-bit values. A square has 64 bits; its halves are summed
 * apart, each in 64 bits (2^16 * 2^32 < 2^64). */

struct TFN(part) {
    uint64_t s[TILE], low[TILE], high[TILE];
};

static void TFN(reset)(struct TFN(part) *part, size_t width, struct mpim_limbs squares)
{
    (void)squares;
    memset(part->s, 0, width * sizeof *part->s);
    memset(part->low, 0, width * sizeof *part->low);
    memset(part->high, 0, width * sizeof *part->high);
}

#if IS_SIGNED
#define WIDE(x) ((int64_t)(x))
#else
#define WIDE(x) ((uint64_t)(x))
#endif

static void TFN(sum_group)(const char *base, ptrdiff_t stride, size_t width,
                           struct TFN(part) *restrict part, size_t at)
{
    uint64_t *restrict s = part->s + at;
    for (size_t i = 0; i < width; i++) {
        uint64_t sum = s[i];
#pragma GCC unroll 8
        for (int r = 0; r < GROUP; r++)
            sum += (uint64_t)WIDE(ROW(r)[i]);
        s[i] = sum;
    }
}

static void TFN(sum_row)(const char *base, size_t width, struct TFN(part) *restrict part, size_t at)
{
    const ptrdiff_t stride = 0;
    uint64_t *restrict s = part->s + at;
    for (size_t i = 0; i < width; i++)
        s[i] += (uint64_t)WIDE(ROW(0)[i]);
}

static void TFN(square_group)(const char *base, ptrdiff_t stride, size_t width,
                              struct TFN(part) *restrict part, size_t at)
{
    uint64_t *restrict s = part->s + at;
    uint64_t *restrict low = part->low + at, *restrict high = part->high + at;
    for (size_t i = 0; i < width; i++) {
        uint64_t sum = s[i], lo = low[i], hi = high[i];
#pragma GCC unroll 8
        for (int r = 0; r < GROUP; r++) {
            const T x = ROW(r)[i];
            const uint64_t square = (uint64_t)(WIDE(x) * WIDE(x));
            sum += (uint64_t)WIDE(x);
            lo += (uint32_t)square;
            hi += square >> 32;
        }
        s[i] = sum;
        low[i] = lo;
        high[i] = hi;
    }
}

static void TFN(square_row)(const char *base, size_t width, struct TFN(part) *restrict part,
                            size_t at)
{
    const ptrdiff_t stride = 0;
    uint64_t *restrict s = part->s + at;
    uint64_t *restrict low = part->low + at, *restrict high = part->high + at;
    for (size_t i = 0; i < width; i++) {
        const T x = ROW(0)[i];
        const uint64_t square = (uint64_t)(WIDE(x) * WIDE(x));
        s[i] += (uint64_t)WIDE(x);
        low[i] += (uint32_t)square;
        high[i] += square >> 32;
    }
}

static void TFN(flush)(struct TFN(part) *restrict part, size_t n, size_t width,
                       struct mpim_limbs sums, struct mpim_limbs squares)
{
    uint64_t *restrict sum = sums.data, *restrict square = squares.data;
    (void)n;
    if (sum)
        for (size_t i = 0; i < width; i++)
            sum[i] += part->s[i];
    if (square) {
        uint64_t *restrict upper = square + squares.stride;
        for (size_t i = 0; i < width; i++) {
            const uint64_t low = part->low[i] + (part->high[i] << 32);
            const uint64_t before = square[i];
            square[i] = before + low;
            upper[i] += (part->high[i] >> 32) + (low < part->low[i]) + (square[i] < before);
        }
    }
}
#undef WIDE

#else
/* Sums of 64-bit values. The values' halves are summed apart; squares are 128-bit
 * products, with carries by hand. */

/* Halves of the values, summed apart: no carries, and it vectorises. */
struct TFN(part) {
    uint64_t low[TILE], high[TILE];
    struct mpim_limbs squares; /* the final ones */
};

static void TFN(reset)(struct TFN(part) *part, size_t width, struct mpim_limbs squares)
{
    part->squares = squares;
    memset(part->low, 0, width * sizeof *part->low);
    memset(part->high, 0, width * sizeof *part->high);
}

static void TFN(sum_group)(const char *base, ptrdiff_t stride, size_t width,
                           struct TFN(part) *restrict part, size_t at)
{
    uint64_t *restrict low = part->low + at, *restrict high = part->high + at;
    for (size_t i = 0; i < width; i++) {
        uint64_t lo = low[i], hi = high[i];
#pragma GCC unroll 8
        for (int r = 0; r < GROUP; r++) {
            const T x = ROW(r)[i];
            lo += (uint32_t)x;
            hi += (uint64_t)(x >> 32);
        }
        low[i] = lo;
        high[i] = hi;
    }
}

static void TFN(sum_row)(const char *base, size_t width, struct TFN(part) *restrict part, size_t at)
{
    const ptrdiff_t stride = 0;
    uint64_t *restrict low = part->low + at, *restrict high = part->high + at;
    for (size_t i = 0; i < width; i++) {
        const T x = ROW(0)[i];
        low[i] += (uint32_t)x;
        high[i] += (uint64_t)(x >> 32);
    }
}

static void TFN(square_row)(const char *base, size_t width, struct TFN(part) *restrict part,
                            size_t at)
{
    const TFN(in) *row = (const TFN(in) *)base;
    uint64_t *restrict a = part->squares.data + at, *restrict b = a + part->squares.stride;
    uint64_t *restrict c = b + part->squares.stride;
    TFN(sum_row)(base, width, part, at);
    for (size_t i = 0; i < width; i++) {
        const uint64_t x = (uint64_t)row[i];
        const uint64_t magnitude = IS_SIGNED && x >> 63 ? (uint64_t)0 - x : x;
        const u128 square = (u128)magnitude * magnitude;
        const u128 before = (u128)b[i] << 64 | a[i];
        const u128 after = before + square;
        a[i] = (uint64_t)after;
        b[i] = (uint64_t)(after >> 64);
        c[i] += after < before;
    }
}

static void TFN(square_group)(const char *base, ptrdiff_t stride, size_t width,
                              struct TFN(part) *restrict part, size_t at)
{
    for (int r = 0; r < GROUP; r++)
        TFN(square_row)((const char *)ROW(r), width, part, at);
}

static void TFN(flush)(struct TFN(part) *restrict part, size_t n, size_t width,
                       struct mpim_limbs sums, struct mpim_limbs squares)
{
    (void)n, (void)squares;
    if (!sums.data)
        return;
    uint64_t *restrict low = sums.data, *restrict high = low + sums.stride;
    for (size_t i = 0; i < width; i++) {
        u128 total = (u128)high[i] << 64 | low[i];
        total += (u128)(IS_SIGNED ? (i128)(int64_t)part->high[i] : (i128)part->high[i]) << 32;
        total += part->low[i];
        low[i] = (uint64_t)total;
        high[i] = (uint64_t)(total >> 64);
    }
}

#endif
