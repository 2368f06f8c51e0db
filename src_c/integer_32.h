/* Template: partial sums of 32-bit values (one tile). A square has 64 bits; its halves are summed
 * apart, each in 64 bits (2^16 * 2^32 < 2^64). */

enum { TFN(spill) = 65536 };

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

#if SIGNED
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

static void TFN(sum_row)(const char *base, size_t width, struct TFN(part) *restrict part,
                         size_t at)
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
