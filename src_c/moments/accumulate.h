/* Template: reduce a batch of one dtype, tile by tile: exact sums and extrema of integers, extrema
 * of floats. */
#include "moments/extrema.h"

#if !IS_FLOAT

typedef T UNALIGNED TFN(in);

#define ROW(r) ((const TFN(in) *)(base + (ptrdiff_t)(r) * stride))

#include "moments/partial_sums.h"

/* Where a tile's results go; what is NULL is not wanted. */
struct TFN(wanted) {
    struct mpim_limbs sums, squares;
    T *maxima, *minima;
};

/* Accumulate a group of rows, segment by segment, while the next one is prefetched. */
static void TFN(accumulate_group)(const char *base, ptrdiff_t stride, size_t width,
                                  struct prefetch next, struct TFN(part) *part,
                                  const struct TFN(wanted) *to)
{
    enum { STEP = SEGMENT / sizeof(T) };
    for (size_t at = 0; at < width; at += STEP, base += SEGMENT) {
        const size_t n = min_size(width - at, STEP);
        prefetch_group(next, stride, at * sizeof(T), (at + n) * sizeof(T));
        /* A whole segment is a width that the compiler knows: it needs no loop. */
        if (to->squares.data && n == STEP)
            TFN(square_group)(base, stride, STEP, part, at);
        else if (to->squares.data)
            TFN(square_group)(base, stride, n, part, at);
        else if (to->sums.data && n == STEP)
            TFN(sum_group)(base, stride, STEP, part, at);
        else if (to->sums.data)
            TFN(sum_group)(base, stride, n, part, at);
        if (to->maxima && n == STEP)
            TFN(max_rows)(base, stride, GROUP, STEP, to->maxima + at);
        else if (to->maxima)
            TFN(max_rows)(base, stride, GROUP, n, to->maxima + at);
        if (to->minima)
            TFN(min_rows)(base, stride, GROUP, n, to->minima + at);
    }
}

static void TFN(accumulate_row)(const char *base, size_t width, struct TFN(part) *part,
                                const struct TFN(wanted) *to)
{
    if (to->squares.data)
        TFN(square_row)(base, width, part, 0);
    else if (to->sums.data)
        TFN(sum_row)(base, width, part, 0);
    if (to->maxima)
        TFN(max_rows)(base, 0, 1, width, to->maxima);
    if (to->minima)
        TFN(min_rows)(base, 0, 1, width, to->minima);
}

/* Accumulate k rows of one tile, width <= TILE. */
static void TFN(accumulate_tile)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                                 struct prefetch next_tile, const struct TFN(wanted) *to)
{
    struct TFN(part) part;
    const int any = to->sums.data || to->squares.data;
    while (k) {
        const size_t n = min_size(k, TFN(spill));
        if (any)
            TFN(reset)(&part, width, to->squares);
        for (size_t r = 0; r < n;) {
            const size_t step = n - r >= GROUP ? GROUP : 1;
            if (step == GROUP)
                TFN(accumulate_group)(
                    base, stride, width,
                    next_group(base, stride, k - r - GROUP, width * sizeof(T), next_tile), &part,
                    to);
            else
                TFN(accumulate_row)(base, width, &part, to);
            base += (ptrdiff_t)step * stride;
            r += step;
        }
        if (any)
            TFN(flush)(&part, n, width, to->sums, to->squares);
        k -= n;
    }
}

static void TFN(accumulate)(const char *batch, size_t k, size_t m, ptrdiff_t stride,
                            struct mpim_limbs sums, struct mpim_limbs squares, void *maxima,
                            void *minima)
{
    struct TFN(wanted) to = {sums, squares, maxima, minima};
    for (size_t i = 0, width; i < m; i += width) {
        width = tile_width(batch, i, m, sizeof(T), TILE);
        const size_t after = min_size(m - i - width, TILE);
        const char *base = batch + i * sizeof(T);
        TFN(accumulate_tile)(base, stride, k, width,
                             (struct prefetch){base + width * sizeof(T), after * sizeof(T)}, &to);
        to.sums.data += to.sums.data ? width : 0;
        to.squares.data += to.squares.data ? width : 0;
        to.maxima += to.maxima ? width : 0;
        to.minima += to.minima ? width : 0;
    }
}
#undef ROW

#else

/* Extrema of a group of rows, or of fewer, segment by segment, while the next one is prefetched. */
static void TFN(extrema_group)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                               struct prefetch next, T *maxima, T *minima)
{
    enum { STEP = SEGMENT / sizeof(T) };
    for (size_t at = 0; at < width; at += STEP, base += SEGMENT) {
        const size_t n = min_size(width - at, STEP);
        prefetch_group(next, stride, at * sizeof(T), (at + n) * sizeof(T));
        /* Of whole groups and segments the compiler knows the width: they need no loop. */
        if (maxima && k == GROUP && n == STEP)
            TFN(max_rows)(base, stride, GROUP, STEP, maxima + at);
        else if (maxima)
            TFN(max_rows)(base, stride, k, n, maxima + at);
        if (minima)
            TFN(min_rows)(base, stride, k, n, minima + at);
    }
}

static void TFN(extrema)(const char *batch, size_t k, size_t m, ptrdiff_t stride, void *maxima,
                         void *minima)
{
    T *highest = maxima, *lowest = minima;
    for (size_t i = 0, width; i < m; i += width) {
        width = tile_width(batch, i, m, sizeof(T), TILE);
        const char *base = batch + i * sizeof(T);
        const size_t after = k < GROUP ? 0 : min_size(m - i - width, TILE);
        const struct prefetch next_tile = {base + width * sizeof(T), after * sizeof(T)};
        for (size_t r = 0, step; r < k; r += step) {
            step = min_size(k - r, GROUP);
            TFN(extrema_group)(base, stride, step, width,
                               next_group(base, stride, k - r - step, width * sizeof(T), next_tile),
                               highest ? highest + i : NULL, lowest ? lowest + i : NULL);
            base += (ptrdiff_t)step * stride;
        }
    }
}

#endif
