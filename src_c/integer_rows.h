/* Template: add rows of one integer dtype to exact sums and sums of squares (one tile).
 *
 * Partial sums of a group of rows at a time are kept in a `part`, as narrow as they can be, and turned
 * into limbs after `spill` records at most; how is a matter of the dtype's size.
 */

typedef T UNALIGNED TFN(in);

#define ROW(r) ((const TFN(in) *)(base + (ptrdiff_t)(r) * stride))

#if BITS == 64
#include "integer_64.h"
#elif BITS == 32
#include "integer_32.h"
#else
#include "integer_narrow.h"
#endif

/* Where a tile's results go; what is NULL is not wanted. */
struct TFN(wanted) {
    struct mpim_limbs sums, squares;
    T *maxima, *minima;
};

/* Take in a group of rows, stretch by stretch, while the next one is fetched. */
static void TFN(add_group)(const char *base, ptrdiff_t stride, size_t width, struct ahead next,
                           struct TFN(part) *part, const struct TFN(wanted) *to)
{
    enum { STEP = STRETCH / sizeof(T) };
    for (size_t at = 0; at < width; at += STEP, base += STRETCH) {
        const size_t n = smaller(width - at, STEP);
        fetch(next, stride, at * sizeof(T), (at + n) * sizeof(T));
        /* A whole stretch is a width that the compiler knows: it needs no loop. */
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

static void TFN(add_row)(const char *base, size_t width, struct TFN(part) *part,
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

/* Add k rows of one tile, width <= TILE; `tile` is what comes after it. */
static void TFN(add_tile)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                          struct ahead tile, const struct TFN(wanted) *to)
{
    struct TFN(part) part;
    const int any = to->sums.data || to->squares.data;
    while (k) {
        const size_t n = smaller(k, TFN(spill));
        if (any)
            TFN(reset)(&part, width, to->squares);
        for (size_t r = 0; r < n;) {
            const size_t step = n - r >= GROUP ? GROUP : 1;
            if (step == GROUP)
                TFN(add_group)(base, stride, width,
                               ahead_of(base, stride, k - r - GROUP, width * sizeof(T), tile),
                               &part, to);
            else
                TFN(add_row)(base, width, &part, to);
            base += (ptrdiff_t)step * stride;
            r += step;
        }
        if (any)
            TFN(flush)(&part, n, width, to->sums, to->squares);
        k -= n;
    }
}

/* The same of a tile that nothing follows. */
static inline void TFN(add_rows)(const char *base, ptrdiff_t stride, size_t k, size_t width,
                                 struct mpim_limbs sums, struct mpim_limbs squares, T *maxima,
                                 T *minima)
{
    const struct TFN(wanted) to = {sums, squares, maxima, minima};
    TFN(add_tile)(base, stride, k, width, (struct ahead){base, 0}, &to);
}
#undef ROW
