/* Template: sums of 64-bit values (one tile). The values' halves are summed apart; squares are 128-bit
 * products, with carries by hand. */

enum { TFN(spill) = 65536 };

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

static void TFN(sum_row)(const char *base, size_t width, struct TFN(part) *restrict part,
                         size_t at)
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
        const uint64_t magnitude = SIGNED && x >> 63 ? (uint64_t)0 - x : x;
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
        total += (u128)(SIGNED ? (i128)(int64_t)part->high[i] : (i128)part->high[i]) << 32;
        total += part->low[i];
        low[i] = (uint64_t)total;
        high[i] = (uint64_t)(total >> 64);
    }
}
