/* Template: sums of 64-bit values (one tile). The values' halves are summed apart; squares are 128-bit
 * products, with carries by hand. */

enum { TFN(spill) = 65536 };

/* Halves of the values, summed apart: no carries, and it vectorises. */
struct TFN(part) {
    uint64_t low[TILE], high[TILE];
};

static void TFN(clear)(struct TFN(part) *part, size_t width)
{
    memset(part->low, 0, width * sizeof *part->low);
    memset(part->high, 0, width * sizeof *part->high);
}

static void TFN(sum_group)(const char *base, ptrdiff_t stride, size_t width,
                           struct TFN(part) *restrict part)
{
    uint64_t *restrict low = part->low, *restrict high = part->high;
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

static void TFN(sum_row)(const char *base, size_t width, struct TFN(part) *restrict part)
{
    const ptrdiff_t stride = 0;
    uint64_t *restrict low = part->low, *restrict high = part->high;
    for (size_t i = 0; i < width; i++) {
        const T x = ROW(0)[i];
        low[i] += (uint32_t)x;
        high[i] += (uint64_t)(x >> 32);
    }
}

static void TFN(flush)(struct TFN(part) *restrict part, size_t width, struct mpim_limbs sums)
{
    uint64_t *restrict low = sums.data, *restrict high = low + sums.stride;
    for (size_t i = 0; i < width; i++) {
        u128 total = (u128)high[i] << 64 | low[i];
        total += (u128)(SIGNED ? (i128)(int64_t)part->high[i] : (i128)part->high[i]) << 32;
        total += part->low[i];
        low[i] = (uint64_t)total;
        high[i] = (uint64_t)(total >> 64);
    }
}

static void TFN(add_squares)(const TFN(in) *row, size_t width, struct mpim_limbs squares)
{
    uint64_t *restrict a = squares.data, *restrict b = a + squares.stride;
    uint64_t *restrict c = b + squares.stride;
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

/* Add k rows of one tile, width <= TILE; the sums' data already point at it. */
static void TFN(add_rows)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                          struct mpim_limbs sums, struct mpim_limbs squares, T *maxima, T *minima)
{
    struct TFN(part) part;
    for (size_t done = 0; done < k;) {
        const size_t n = smaller(k - done, TFN(spill));
        if (sums.data)
            TFN(clear)(&part, width);
        for (size_t r = 0; r < n;) {
            const size_t step = n - r >= GROUP ? GROUP : 1;
            if (sums.data && step == GROUP)
                TFN(sum_group)(base, stride, width, &part);
            else if (sums.data)
                TFN(sum_row)(base, width, &part);
            for (size_t j = 0; squares.data && j < step; j++)
                TFN(add_squares)(ROW(j), width, squares);
            if (maxima)
                TFN(max_rows)(base, stride, step, width, maxima);
            if (minima)
                TFN(min_rows)(base, stride, step, width, minima);
            base += (ptrdiff_t)step * stride;
            r += step;
        }
        if (sums.data)
            TFN(flush)(&part, width, sums);
        done += n;
    }
}
